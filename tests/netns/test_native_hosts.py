"""IPv6 hosts inside prefix6: with an EAM, they are reached from IPv4 by translation and from IPv6 without."""

import pytest

from nfxlat.lab.probe import ping
from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.topology import HOST6, HOST6_EAM4, Lab


@pytest.mark.parametrize("model", ["hook", "route", "device"])
def test_an_eam_host_inside_prefix6_keeps_its_ipv6(bare_lab: Lab, model: str) -> None:
    """The operator's own /32 is the prefix."""
    lab = bare_lab
    arguments = ("--prefix6", "2001:db8::/32", "--eam", f"{HOST6_EAM4}={HOST6}", "--model", model)
    with TranslatorProcess(lab.translator, lab.directory, *arguments) as process:
        assert lab.host4.call(ping, HOST6_EAM4).ok
        before = process.summary()["totals"]["packets"]
        assert lab.translator.call(ping, HOST6).ok
        assert process.summary()["totals"]["packets"] == before
