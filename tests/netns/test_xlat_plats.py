"""rules/xlat/plats.nft: flows by one of two NAT64s, and one of them drained and taken out.

host4 --- router4 --- translator --- router6 --- host6
"""

import socket
from collections.abc import Iterator, Mapping

import pytest
from lossless import without_loss

from nfxlat.lab import plats
from nfxlat.lab.capture import Capture
from nfxlat.lab.plats import CLIENTS, PLATS
from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.rules import load
from nfxlat.lab.topology import HOST4, HOST6_4, Lab

pytestmark = pytest.mark.quiet

OTHER = "198.51.101.2"  # a server that the set does not have
BOTH = "ct mark != 2 xlat to plat1\n\t\txlat to plat2"
Running = tuple[Lab, Mapping[str, TranslatorProcess]]


@pytest.fixture
def running() -> Iterator[Running]:
    with plats.running("plats", [OTHER]) as found:
        yield found


def test_a_plat_is_chosen_by_destination_drained_and_taken_out_under_load(running: Running) -> None:
    lab, processes = running
    assert plats.ways(lab, [HOST4]) == {HOST4: "plat2"}
    assert plats.ways(lab, [HOST4], OTHER) == {HOST4: "plat1"}
    for plat in PLATS:
        plats.crosses(lab, plat, OTHER if plat.name == "plat1" else HOST6_4)
    plats.narrows(lab, PLATS[1])

    def drained_and_taken_out() -> None:
        if processes["plat2"].alive():  # else this is another attempt
            _drain(lab)
        _take_out(lab, processes["plat2"])

    without_loss(lab, drained_and_taken_out, [OTHER], 100, CLIENTS[:10])
    assert plats.ways(lab, CLIENTS[:3]) == dict.fromkeys(CLIENTS[:3], "plat1")
    plats.crosses(lab, PLATS[0])


def _drain(lab: Lab) -> None:
    """Nothing new goes by the second one, and what it has goes on."""
    with (
        Capture(lab.host6, "to-r6") as capture,
        lab.host4.entered(),
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as old,
    ):
        old.bind((HOST4, 0))
        assert plats.way(capture, old) == "plat2"
        lab.translator.run(["nft", "flush set ip plats second"])
        assert plats.ways(lab, CLIENTS[:3]) == dict.fromkeys(CLIENTS[:3], "plat1")
        assert plats.way(capture, old) == "plat2"


def _take_out(lab: Lab, process: TranslatorProcess) -> None:
    """The file without it, and then its translator."""
    without = plats.rules("plats", BOTH, "xlat to plat1", "ip6 daddr 2001:db8:c:2::/120 xlat from plat2\n", "")
    assert load(lab.translator, without)[1] in ("in place", "elements")
    process.stop()
