"""rules/xlat/limit.nft: a client that floods is cut down to its share, and the one beside it loses nothing.

host4 --- router4 --- translator --- router6 --- host6
"""

import re
import socket
from collections.abc import Iterator

import pytest
from lossless import without_loss

from nfxlat.lab.datagram import UdpEcho, exchange, icmp_error, path_mtu
from nfxlat.lab.plats import rules
from nfxlat.lab.probe import ping, traceroute
from nfxlat.lab.rules import translating
from nfxlat.lab.topology import HOST4, HOST4_6, HOST6, HOST6_4, HOST6_NARROW, HOST6_NARROW_4, NARROW_MTU, Lab
from nfxlat.nft.shipped import RULES

pytestmark = pytest.mark.quiet

GREEDY = "192.0.2.3"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        lab.host4.ip(f"address add {GREEDY}/28 dev to-r4")
        with translating(lab, rules("limit"), RULES / "xlat" / "limit.toml"):
            yield lab


def test_all_kinds_of_traffic_cross_both_ways(lab: Lab) -> None:
    assert lab.host4.call(ping, HOST6_4).ok
    assert lab.host6.call(ping, HOST4_6, HOST6).ok
    with UdpEcho(lab.host6, "::") as echo:
        assert lab.host4.call(exchange, HOST6_4, echo.port, 3000).ok
    with UdpEcho(lab.host4, HOST4) as echo:
        assert lab.host6.call(exchange, HOST4_6, echo.port, 3000, HOST6).ok
    assert lab.host4.call(icmp_error, HOST6_4, 9) == "ECONNREFUSED"
    assert lab.host4.call(traceroute, HOST6_4)[-1].address == HOST6_4
    with UdpEcho(lab.host6, HOST6_NARROW) as echo:
        assert lab.host4.call(path_mtu, HOST6_NARROW_4, echo.port).mtu == NARROW_MTU - 20
    listed = {name: lab.translator.run(["nft", "list", "set", "inet", "shares", name]).stdout for name in SETS}
    assert HOST4 in listed["clients4"]
    assert "2001:db8:2::" in listed["clients6"]


SETS = ("clients4", "clients6")


def dropped(lab: Lab) -> int:
    """Packets of IPv4 that the limit has cost."""
    text = lab.translator.run(["nft", "list", "chain", "inet", "shares", "clients"]).stdout
    found = re.search(r"@clients4 .* counter packets (\d+)", text)
    assert found
    return int(found[1])


def test_the_one_beside_a_client_that_floods_loses_nothing(lab: Lab) -> None:
    before = dropped(lab)
    without_loss(lab, lambda: flood(lab), [HOST6_4], 200, [HOST4])
    assert dropped(lab) > before


def flood(lab: Lab, datagrams: int = 20_000) -> None:
    """As fast as the greedy client can, to a port that nobody has."""
    with lab.host4.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind((GREEDY, 0))
        for _ in range(datagrams):
            udp.sendto(b"mine, all mine", (HOST6_4, 4001))
