"""rules/xlat/tenants.nft: two tenants with the same IPv4 addresses, told apart by their interfaces.

host4 --- router4 --- [eth1]
                             translator --- router6 --- host6
                blue --- [eth2]

host4 is tenant red's, `blue` has its address; the link to it has a smaller MTU, and so has host4's second one.
"""

from collections.abc import Iterator

import pytest

from nfxlat import config
from nfxlat.lab.datagram import UdpEcho, exchange, icmp_error, path_mtu
from nfxlat.lab.netns import Namespace, link
from nfxlat.lab.probe import ping, traceroute
from nfxlat.lab.rules import complaints, in_lab, translating
from nfxlat.lab.topology import HOST4, HOST4_NARROW, HOST6, NARROW_MTU, Lab
from nfxlat.nft.language.program import program
from nfxlat.nft.shipped import RULES

XLAT = RULES / "xlat"
SERVICE4 = "198.51.100.2"  # HOST6, to either
DEVICES = {'"eth1"': '"to-r4"', '"eth2"': '"to-blue"'}
TABLES = """\
rule add fwmark 1 lookup 101
route add 192.0.2.0/26 via 192.0.2.17 table 101
route add 198.51.100.0/28 dev red table 101
rule add fwmark 2 lookup 102
route add 192.0.2.0/26 dev to-blue table 102
route add 198.51.100.0/28 dev blue table 102
"""
TENANT_MTU = 1300  # of blue's link


def seen6(tenant: int, address4: str) -> str:
    """A tenant's host in IPv6."""
    octets = bytes(map(int, address4.split(".")))
    return f"2001:db8:64:{tenant}::{octets[:2].hex().lstrip('0')}:{octets[2:].hex().lstrip('0')}"


RED, BLUE = seen6(1, HOST4), seen6(2, HOST4)


Tenants = tuple[Lab, Namespace]


@pytest.fixture(scope="module")
def tenants() -> Iterator[Tenants]:
    toml = XLAT / "tenants.toml"
    found = program(in_lab(XLAT / "tenants.nft", DEVICES), "/lab/tenants.nft", config.load(toml).domains)
    with Lab() as lab, Namespace("blue") as blue:
        link(lab.translator, "to-blue", blue, "to-x", TENANT_MTU)
        blue.ip_batch([f"address add {HOST4}/26 dev to-x", "route add default via 192.0.2.1"])
        lab.translator.ip("address add 192.0.2.1/32 dev to-blue")
        blue.sysctl("net.ipv6.conf.all.disable_ipv6", 1)
        with translating(lab, found, toml):
            lab.translator.ip_batch(TABLES.splitlines())
            lab.translator.sysctl("net.ipv4.fwmark_reflect", 1)
            assert {finding.code for finding in complaints(lab.translator, found)} <= {"fwmark-reflect"}
            yield lab, blue


def test_both_reach_the_services_and_are_reached(tenants: Tenants) -> None:
    lab, blue = tenants
    for host, address6 in ((lab.host4, RED), (blue, BLUE)):
        assert host.call(ping, SERVICE4).ok
        assert lab.host6.call(ping, address6, HOST6).ok
        with UdpEcho(host, HOST4) as echo:
            assert lab.host6.call(exchange, address6, echo.port, 3000, HOST6).ok
        assert host.call(icmp_error, SERVICE4, 9) == "ECONNREFUSED"
        assert lab.host6.call(icmp_error, address6, 9, HOST6) == "ECONNREFUSED"
        assert host.call(traceroute, SERVICE4)[-1].address == SERVICE4


def test_each_is_itself_to_the_services(tenants: Tenants) -> None:
    lab, blue = tenants
    with UdpEcho(lab.host4, HOST4) as echo:
        assert lab.host6.call(exchange, RED, echo.port, 100, HOST6).ok
        assert lab.host6.call(icmp_error, BLUE, echo.port, HOST6) == "ECONNREFUSED"
    with UdpEcho(lab.host6, HOST6) as echo:
        for host in (lab.host4, blue):
            assert host.call(exchange, SERVICE4, echo.port, 3000).ok


def test_an_icmp_error_of_a_router_or_of_this_node_is_about_the_right_tenant(tenants: Tenants) -> None:
    lab, blue = tenants
    with UdpEcho(lab.host4, HOST4_NARROW) as echo:  # router4 says so
        assert lab.host6.call(path_mtu, seen6(1, HOST4_NARROW), echo.port, HOST6).mtu == NARROW_MTU + 20
    with UdpEcho(blue, HOST4) as echo:  # the translator's own kernel
        assert lab.host6.call(path_mtu, BLUE, echo.port, HOST6).mtu == TENANT_MTU + 20
    with UdpEcho(lab.host4, HOST4) as echo:  # which has said nothing of red
        assert lab.host6.call(path_mtu, RED, echo.port, HOST6).steps[0] == 1500
