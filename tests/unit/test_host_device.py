"""Names of a domain device."""

import pytest

from nfxlat.host.device import far_interface


@pytest.mark.parametrize(("name", "far"), [("siit0", "siit0p"), ("fifteen-chars-1", "fifteen-chars-p")])
def test_far_interface_fits_the_kernel_s_limit(name: str, far: str) -> None:
    assert far_interface(name) == far
    assert len(far) <= 15
