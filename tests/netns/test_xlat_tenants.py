"""rules/xlat/tenants*.nft: two tenants with the same IPv4 addresses, told apart by their interfaces.

host4 --- router4 --- [eth1]
                             translator --- router6 --- host6
                blue --- [eth2]

host4 is tenant red's, `blue` has its address; the link to it has a smaller MTU, and so has host4's second one. In each
of the `WAYS` the same holds. Where each tenant has a VRF, an address of this node in one is a host's in the other.
Those run in the virtual machine (tests/vm) where the kernel here has no VRFs.
"""

import contextlib
from collections.abc import Iterator

import pytest
from vrfs import join, make

from nfxlat import config
from nfxlat.lab.datagram import UdpEcho, exchange, icmp_error, path_mtu
from nfxlat.lab.netns import Namespace, link
from nfxlat.lab.probe import ping, traceroute
from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.rules import complaints, example, in_lab, translating
from nfxlat.lab.topology import HOST4, HOST4_NARROW, HOST6, NARROW_MTU, TRANSLATOR, Lab
from nfxlat.nft.language.program import program
from nfxlat.nft.shipped import RULES

XLAT = RULES / "xlat"
SERVICE4 = "198.51.100.2"  # HOST6, to either
DEVICES = {'"eth0"': '"to-r6"', '"eth1"': '"to-r4"', '"eth2"': '"to-blue"'}
TABLES = """\
rule add fwmark 1 lookup 101
route add 192.0.2.0/26 via 192.0.2.17 table 101
route add 198.51.100.0/28 dev red table 101
rule add fwmark 2 lookup 102
route add 192.0.2.0/26 dev to-blue table 102
route add 198.51.100.0/28 dev blue table 102
"""
LEAKED = """\
route add unreachable default metric 4278198272 vrf vrf-{tenant}
-6 route add unreachable default metric 4278198272 vrf vrf-{tenant}
-6 route add 2001:db8:2::/64 via 2001:db8:1::2 dev to-r6 vrf vrf-{tenant}
-6 route add 2001:db8:64:{number}::/96 dev vrf-{tenant}
"""
TENANT_MTU = 1300  # of blue's link
WAYS = {  # rules of one's own, or arguments for `nfxlat run --setup`
    "marks": None,
    "vrf": None,
    "vrf-setup": (),
    "vrf-device-model": ("--model", "device"),
}
HOPS = {"marks": 4, "vrf": 4, "vrf-setup": 5, "vrf-device-model": 5}  # from host6 to host4
IN_VRFS = [name for name in WAYS if name.startswith("vrf")]


def seen6(tenant: int, address4: str) -> str:
    """A tenant's host in IPv6."""
    octets = bytes(map(int, address4.split(".")))
    return f"2001:db8:64:{tenant}::{octets[:2].hex().lstrip('0')}:{octets[2:].hex().lstrip('0')}"


RED, BLUE = seen6(1, HOST4), seen6(2, HOST4)
NODE_RED, NODE_BLUE = TRANSLATOR[0], HOST4_NARROW  # this node in each VRF, and hosts of the other


Tenants = tuple[Lab, Namespace]


@pytest.fixture(scope="module", params=WAYS)
def tenants(request: pytest.FixtureRequest) -> Iterator[Tenants]:
    with Lab() as lab, Namespace("blue") as blue:
        link(lab.translator, "to-blue", blue, "to-x", TENANT_MTU)
        blue.sysctl("net.ipv6.conf.all.disable_ipv6", 1)
        blue.ip(f"address add {HOST4}/26 dev to-x")
        with marked(lab, blue) if request.param == "marks" else in_vrfs(lab, blue, request.param):
            yield lab, blue


@contextlib.contextmanager
def marked(lab: Lab, blue: Namespace) -> Iterator[None]:
    toml = XLAT / "tenants.toml"
    found = program(in_lab(XLAT / "tenants.nft", DEVICES), "/lab/tenants.nft", config.load(toml).domains)
    blue.ip("route add default via 192.0.2.1")
    lab.translator.ip("address add 192.0.2.1/32 dev to-blue")
    with translating(lab, found, toml):
        lab.translator.ip_batch(TABLES.splitlines())
        lab.translator.sysctl("net.ipv4.fwmark_reflect", 1)
        assert {finding.code for finding in complaints(lab.translator, found)} <= {"fwmark-reflect"}
        yield


@contextlib.contextmanager
def in_vrfs(lab: Lab, blue: Namespace, way: str) -> Iterator[None]:
    node = lab.translator
    blue.ip_batch([f"address add {NODE_RED}/26 dev to-x", f"route add default via {NODE_BLUE}"])
    node.ip(f"address add {NODE_BLUE}/26 dev to-blue")
    for number, (tenant, device) in enumerate((("red", "to-r4"), ("blue", "to-blue")), 1):
        make(node, f"vrf-{tenant}", 100 + number)
        join(node, device, f"vrf-{tenant}")
        for line in LEAKED.format(number=number, tenant=tenant).splitlines():
            node.ip(line)
    with contextlib.ExitStack() as stack:
        arguments = WAYS[way]
        if arguments is None:
            stack.enter_context(example(lab, "tenants-vrf", DEVICES))
        else:
            for queue, tenant in ((7, "red"), (9, "blue")):
                (lab.directory / tenant).mkdir()
                options = ("--config", str(XLAT / "tenants-vrf.toml"), "--domain", tenant, *arguments)
                queued = None if "--model" in arguments else queue
                stack.enter_context(TranslatorProcess(node, lab.directory / tenant, *options, queue=queued))
        yield


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


def test_rules_that_take_it_where_it_comes_in_are_a_hop_less(tenants: Tenants, request: pytest.FixtureRequest) -> None:
    lab, _ = tenants
    hops = [hop.address for hop in lab.host6.call(traceroute, RED, HOST6)]
    assert len(hops) == HOPS[request.node.callspec.params["tenants"]], hops
    assert hops[-1] == RED


@pytest.mark.parametrize("tenants", IN_VRFS, indirect=True, scope="module")
def test_an_address_of_this_node_in_one_vrf_is_a_host_s_in_the_other(tenants: Tenants) -> None:
    lab, blue = tenants
    for host, source in ((lab.host4, NODE_BLUE), (blue, NODE_RED)):
        assert host.call(ping, SERVICE4, source).ok
    with UdpEcho(blue, NODE_RED) as echo:
        assert lab.host6.call(exchange, seen6(2, NODE_RED), echo.port, 3000, HOST6).ok
        assert lab.host6.call(icmp_error, seen6(1, NODE_RED), echo.port, HOST6) == "ECONNREFUSED"  # this node
