"""Each translation point takes its share of one hop."""

import pytest

from nfxlat.datapath.hops import hops_of
from nfxlat.wire.nfqueue import LOCAL_OUT, POSTROUTING, PREROUTING


@pytest.mark.parametrize(
    ("hook", "indev", "device", "local", "hops"),
    [
        (PREROUTING, 3, True, False, 0),  # the kernel's forwarding takes one off
        (PREROUTING, 3, True, True, 1),  # nobody forwards what ends here
        (PREROUTING, 3, False, False, 1),
        (LOCAL_OUT, 0, True, False, 0),
        (LOCAL_OUT, 0, False, False, 1),
        (POSTROUTING, 0, False, False, 1),  # the host's own
        (POSTROUTING, 3, False, False, 0),  # forwarded: one is off already
        (POSTROUTING, 0, True, False, 0),
    ],
)
def test_each_translation_point_takes_its_share_of_one_hop(
    hook: int, indev: int, device: bool, local: bool, hops: int
) -> None:
    assert hops_of(hook, indev, device=device, result_is_local=local) == hops
