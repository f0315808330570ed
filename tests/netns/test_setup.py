"""`--setup`: what it makes, that it takes exactly that down, and what it does with what a killed run left.

v4 host 10.9.4.2 --- v4  [ node: Setup of siit0 ]  v6 --- (nobody) 2001:db8:9::/64
"""

import contextlib
import json
import os
import select
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from pathlib import Path

import pytest
from pyroute2 import IPRoute

from nfxlat.errors import OperatorError
from nfxlat.host import addresses, device, links, netns, routes
from nfxlat.host.addresses import AddressWatch, local_addresses
from nfxlat.host.mtu import egress_mtu
from nfxlat.lab.netns import Namespace, link, wait_for
from nfxlat.nft import load
from nfxlat.service import setup as service_setup
from nfxlat.service.setup import Setup
from nfxlat.wire.checksum import internet_checksum
from nfxlat.xlat.domain import Domain
from nfxlat.xlat.eamt import Eamt

pytestmark = pytest.mark.netns

DOMAIN = Domain(
    prefix6=IPv6Network("2001:db8:64::/96"),
    pool4=(IPv4Network("198.51.100.0/24"),),
    eamt=Eamt([(IPv4Network("203.0.113.2"), IPv6Network("2001:db8:2::2"))]),
    rfc6791_v4=(IPv4Network("203.0.113.240/28"),),
)

OTHER = Domain(
    prefix6=DOMAIN.prefix6,
    pool4=(IPv4Network("192.0.2.0/24"),),
    eamt=Eamt([(IPv4Network("203.0.113.7"), IPv6Network("2001:db8:2::7"))]),
)

KILLED = """
import sys
sys.path.insert(0, {path!r})
from test_setup import DOMAIN, OTHER, Setup, routes
setup = Setup(DOMAIN, queue=7, role={role!r}, report=print)
setup.up()
{then}
print("up", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def node() -> Iterator[Namespace]:
    with Namespace("host") as host, Namespace("node") as node:
        link(node, "v4", host, "eth0")
        node.ip("address add 10.9.4.1/24 dev v4")
        host.ip("address add 10.9.4.2/24 dev eth0")
        host.ip("route add default via 10.9.4.1")
        node.ip("link add v6 type veth peer name v6p")
        node.ip("link set v6 up")
        node.ip("link set v6p up")
        node.ip("-6 address add 2001:db8:9::1/64 dev v6 nodad")
        node.wait_ready()
        with node.entered():
            yield node
            leave_nothing()


@pytest.fixture
def host(node: Namespace) -> Namespace:
    """The IPv4 host behind `node`."""
    found = Namespace("host")  # by name only: `node` made it and removes it
    assert os.path.exists(found.path)
    return found


def leave_nothing() -> None:
    device.remove_named("siit0")
    for left in (Path("/run/nfxlat") / f"siit0-{netns.own_inode()}.json",):
        left.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # somebody else's files are in it, or it is gone
        Path("/run/nfxlat").rmdir()


def output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout


def snapshot() -> dict[str, object]:
    """All that Setup may touch, as text, in the calling thread's namespace."""
    inode = str(netns.own_inode())
    sysctls = {}
    for file in [*Path("/proc/sys/net/ipv4").rglob("*"), *Path("/proc/sys/net/ipv6").rglob("*")]:
        if file.is_file() and os.access(file, os.R_OK) and "stable_secret" not in file.name:
            sysctls[str(file)] = file.read_text()
    return {
        "routes": output("ip", "route", "show", "table", "all"),
        "routes6": output("ip", "-6", "route", "show", "table", "all"),
        "rules": output("nft", "list", "ruleset"),
        "links": [entry["ifname"] for entry in json.loads(output("ip", "-j", "link"))],
        "addresses": [line.partition(": ")[2] for line in output("ip", "-o", "address").splitlines()],
        "pinned": sorted(name for name in os.listdir("/run/netns") if inode in name),
        "states": sorted(path.name for path in Path("/run/nfxlat").glob(f"*{inode}*")),
        "sysctls": sysctls,
    }


def made(role: str = "router", domain: Domain = DOMAIN, report: Callable[[str], None] = lambda line: None) -> Setup:
    return Setup(domain, queue=7, role=role, report=report)


@pytest.mark.parametrize("role", ["router", "host"])
def test_down_leaves_everything_as_it_was(node: Namespace, role: str) -> None:
    node.sysctl("net.ipv4.conf.v6.forwarding", 1)  # set by hand on one interface, with ip_forward still 0
    before = snapshot()
    lines: list[str] = []
    setup = made(role, report=lines.append)
    setup.up()
    assert snapshot() != before
    setup.down()
    assert snapshot() == before
    assert "device siit0 removed" in lines
    setup.down()  # twice is harmless


def test_router_reports_each_step_and_does_it(node: Namespace) -> None:
    lines: list[str] = []
    setup = made(report=lines.append)
    setup.up()
    try:
        assert "route 198.51.100.0/24 dev siit0 mtu 1480" in lines
        assert "sysctl net.ipv4.ip_forward 0 -> 1" in lines
        assert setup.rule_path == ("native" if load.queue_expression_available() else "compat")
        assert node.sysctl("net.ipv4.ip_forward") == node.sysctl("net.ipv6.conf.all.forwarding") == "1"
        route = node.ip("route show 198.51.100.0/24")
        assert "dev siit0 proto 118" in route
        assert "mtu 1480" in route  # "mtu lock 1480" would clear DF on all local packets
        assert "unreachable" in route
        assert setup.device is not None
        assert setup.device.far_namespace in os.listdir("/run/netns")
    finally:
        setup.down()


def test_host_gets_its_address_and_a_default_route_and_does_not_forward(node: Namespace) -> None:
    setup = made("host")
    setup.up()
    try:
        assert IPv4Address("203.0.113.2").packed in local_addresses()
        assert "dev siit0" in node.ip("route get 192.0.2.1")
        assert "src 203.0.113.2" in node.ip("route get 192.0.2.1")
        assert node.sysctl("net.ipv4.ip_forward") == "0"
    finally:
        setup.down()


def test_only_what_differs_is_changed(node: Namespace) -> None:
    node.sysctl("net.ipv4.ip_forward", 1)
    node.sysctl("net.ipv6.conf.all.forwarding", 1)
    lines: list[str] = []
    setup = made(report=lines.append)
    setup.up()
    setup.down()
    assert not [line for line in lines if line.startswith("sysctl")]
    assert node.sysctl("net.ipv4.ip_forward") == "1"


def test_default_router_learnt_by_advertisement_survives_forwarding(node: Namespace) -> None:
    node.sysctl("net.ipv6.conf.v6.accept_ra", 1)
    node.ip("-6 route add default via fe80::1 dev v6 proto ra metric 1024")
    setup = made()
    setup.up()
    assert node.sysctl("net.ipv6.conf.v6.accept_ra") == "2"
    assert "via fe80::1" in node.ip("-6 route show default")
    setup.down()
    assert node.sysctl("net.ipv6.conf.v6.accept_ra") == "1"
    assert "via fe80::1" in node.ip("-6 route show default")


def killed(node: Namespace, role: str = "router", then: str = "") -> None:
    """Run a set-up in a process, and kill it with SIGKILL when it is up and has done `then`."""
    script = KILLED.format(path=str(Path(__file__).parent), role=role, then=then)
    process = node.popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert "up\n" in iter(process.stdout.readline, "")
    process.kill()
    process.wait()


@pytest.mark.parametrize("role", ["router", "host"])
def test_what_a_killed_run_leaves_is_taken_over_and_the_originals_come_back(node: Namespace, role: str) -> None:
    before = snapshot()
    killed(node, role)
    left = snapshot()
    assert left["pinned"]
    assert left["rules"]
    lines: list[str] = []
    setup = made(role, report=lines.append)
    setup.up()
    up = snapshot()
    assert lines[0].startswith("taking over")
    assert any(line.startswith("device siit0 taken over") for line in lines)
    assert {key: up[key] for key in ("routes", "routes6", "rules", "links", "sysctls")} == {
        key: left[key] for key in ("routes", "routes6", "rules", "links", "sysctls")
    }
    setup.down()
    assert snapshot() == before


def test_take_over_with_another_configuration_removes_the_former_s_routes(node: Namespace) -> None:
    before = snapshot()
    killed(node)
    setup = made(domain=Domain(prefix6=DOMAIN.prefix6, pool4=(IPv4Network("192.0.2.0/24"),)))
    setup.up()
    assert node.ip("route show 198.51.100.0/24") == ""
    assert "dev siit0" in node.ip("route show 192.0.2.0/24")
    setup.down()
    assert snapshot() == before


RELOAD_STEPS = {
    "before the first route": "routes.add = lambda *which: None\nsetup.extend(OTHER)",
    "among the routes": "add = routes.add\nroutes.add = lambda some, there: add(some[:3], there)\nsetup.extend(OTHER)",
    "behind the routes": "setup.extend(OTHER)",
    "with the rules": "setup.extend(OTHER)\nsetup.load_rules()",
    "at the end": "setup.cut(setup.extend(OTHER))",
}


@pytest.mark.parametrize("role", ["router", "host"])
@pytest.mark.parametrize("domain", [DOMAIN, OTHER], ids=["former", "new"])
@pytest.mark.parametrize("step", RELOAD_STEPS)
def test_run_that_is_killed_in_a_reload_is_taken_over_with_either_configuration(
    node: Namespace, step: str, domain: Domain, role: str
) -> None:
    before = snapshot()
    undisturbed = made(role, domain)
    undisturbed.up()
    up = snapshot()
    undisturbed.down()
    killed(node, role, RELOAD_STEPS[step])
    setup = made(role, domain)
    setup.up()
    assert snapshot() == up
    setup.down()
    assert snapshot() == before


def test_second_set_up_of_a_living_domain_is_refused_and_harms_nothing(node: Namespace) -> None:
    script = KILLED.format(path=str(Path(__file__).parent), role="router", then="")
    process = node.popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert "up\n" in iter(process.stdout.readline, "")
    living = snapshot()
    with pytest.raises(OperatorError, match="another nfxlat"):
        made().up()
    assert snapshot() == living
    process.kill()
    process.wait()
    successor = made()
    successor.up()
    successor.down()


def test_conflicting_route_is_named_and_the_earlier_steps_are_undone(node: Namespace) -> None:
    node.ip("route add 198.51.100.0/24 dev v4")
    before = snapshot()
    with pytest.raises(OperatorError, match="there already") as caught:
        made().up()
    assert caught.value.where == "route 198.51.100.0/24 dev siit0 mtu 1480"
    assert snapshot() == before


def test_device_of_somebody_else_is_left_alone(node: Namespace) -> None:
    node.ip("link add siit0 type veth peer name other")
    before = snapshot()
    with pytest.raises(OperatorError, match="not a domain device"):
        made().up()
    assert snapshot() == before
    node.ip("link del siit0")


@pytest.mark.parametrize("error", [OperatorError("no queue"), KeyboardInterrupt()])
def test_failure_at_the_last_step_undoes_all(
    node: Namespace, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    before = snapshot()

    def refuse(*arguments: object) -> None:
        assert "siit0" in snapshot()["links"]  # type: ignore[operator]
        raise error

    monkeypatch.setattr(service_setup.load, "queue_expression_available", lambda: False)
    monkeypatch.setattr(service_setup.compat, "insert_queue_rule", refuse)
    with pytest.raises(type(error)):
        made().up()
    assert snapshot() == before


def test_half_made_device_is_made_anew(node: Namespace) -> None:
    first, created = device.create_or_adopt("siit0", report=lambda line: None)
    assert created
    netns.unpin(first.far_namespace)
    second, created = device.create_or_adopt("siit0", report=lambda line: None)
    assert created
    with device.in_namespace(second.far_namespace):
        assert socket.if_nametoindex(second.far_interface)
    device.remove(second)


def test_near_end_that_the_dying_far_namespace_takes_along_is_no_failure(
    node: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel tears an unpinned namespace down some time later: here between nfxlat's look and its own deletion."""
    first, _ = device.create_or_adopt("siit0", report=lambda line: None)
    netns.unpin(first.far_namespace)
    judge = device._is_whole

    def slow(*arguments: object) -> bool:
        found = judge(*arguments)  # type: ignore[arg-type]
        wait_for(lambda: all(name != "siit0" for _, name in socket.if_nameindex()), "the namespace to be torn down")
        return found

    monkeypatch.setattr(device, "_is_whole", slow)
    second, created = device.create_or_adopt("siit0", report=lambda line: None)
    assert created
    device.remove(second)


def test_link_that_somebody_else_deletes_first_is_no_failure(node: Namespace, monkeypatch: pytest.MonkeyPatch) -> None:
    node.ip("link add goes type veth peer name gone")
    index = socket.if_nametoindex("goes")
    with IPRoute() as ipr:
        there = links.link_of(ipr, "goes")
        assert there is not None
        assert there["index"] == index
        links.delete(ipr, there)
        links.delete(ipr, there)
        assert links.link_of(ipr, "goes") is None
        monkeypatch.setattr(socket, "if_nametoindex", lambda name: index)  # known a moment ago
        assert links.link_of(ipr, "goes") is None
    addresses.remove_address("goes", "192.0.2.1")
    assert routes.delete([routes.Route("198.51.100.0/24", "goes", 0)]) == []


def test_routes_into_a_device_that_is_gone_are_refused_before_the_first_is_made(node: Namespace) -> None:
    before = snapshot()
    wanted = [routes.Route("198.51.100.0/24", None, 0), routes.Route("198.51.100.0/24", "gone", 7)]
    with pytest.raises(OperatorError, match="No such device") as caught:
        routes.add(wanted, ())
    assert caught.value.where == "route 198.51.100.0/24 dev gone metric 7"
    assert snapshot() == before


def test_device_says_nothing_of_its_own_and_counts_what_dies_in_it(node: Namespace) -> None:
    node.sysctl("net.ipv6.conf.all.forwarding", 1)
    found, _ = device.create_or_adopt("siit0", report=lambda line: None)
    try:
        node.ip("route add 198.51.100.0/24 dev siit0")
        node.ip("-6 route add 2001:db8:64::/96 dev siit0")
        assert found.unexpected_packets() == 0
        for family, address in ((socket.AF_INET, "198.51.100.1"), (socket.AF_INET6, "2001:db8:64::1")):
            with socket.socket(family, socket.SOCK_DGRAM) as sender:
                sender.sendto(b"x", (address, 9))
        wait_for(lambda: found.unexpected_packets() == 2, "both to be counted")
    finally:
        device.remove(found)


def test_sweep_unpins_only_namespaces_whose_device_is_gone() -> None:
    with Namespace("dies") as dies:
        gone = dies.call(device.create_or_adopt, "siit0", report=lambda line: None)[0]
        with Namespace("lives") as lives:
            kept = lives.call(device.create_or_adopt, "siit0", report=lambda line: None)[0]
            dies.ip("link del siit0")
            swept = device.sweep()
            assert gone.far_namespace in swept
            assert kept.far_namespace not in swept
            lives.call(device.remove, kept)


def udp4(source: str, destination: str, ttl: int = 9) -> bytes:
    """An IPv4 UDP datagram from port 7 to port 9, without a UDP checksum."""
    payload = b"crossed"
    udp = struct.pack("!HHHH", 7, 9, 8 + len(payload), 0) + payload
    addresses = IPv4Address(source).packed + IPv4Address(destination).packed
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 1, 0, ttl, 17, 0) + addresses
    return head[:10] + struct.pack("!H", internet_checksum(head)) + head[12:] + udp


@pytest.mark.parametrize("rp_filter", [0, 1, 2])
@pytest.mark.parametrize("source", ["198.51.100.7", "203.0.113.2", "203.0.113.241", "192.0.0.8"])
def test_injected_packets_pass_every_rp_filter(node: Namespace, host: Namespace, rp_filter: int, source: str) -> None:
    node.sysctl("net.ipv4.conf.all.rp_filter", rp_filter)
    setup = made()
    setup.up()
    with host.entered():
        receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        receiver.bind(("10.9.4.2", 9))
    try:
        assert setup.device is not None
        with device.in_namespace(setup.device.far_namespace):
            far = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            far.bind((setup.device.far_interface, 0))
        with far:
            frame = setup.device.near_mac + setup.device.far_mac + b"\x08\0" + udp4(source, "10.9.4.2")
            far.send(frame)
        assert select.select([receiver], [], [], 5)[0]
        assert receiver.recvfrom(100) == (b"crossed", (source, 7))
    finally:
        receiver.close()
        setup.down()
    assert node.sysctl("net.ipv4.conf.all.rp_filter") == str(rp_filter)


def test_egress_mtu_is_the_route_s(node: Namespace) -> None:
    node.ip("route add 192.0.2.0/24 dev v4 mtu 1300")
    node.ip("-6 route add 2001:db8:1::/64 dev v6 mtu 1350")
    assert egress_mtu(IPv4Address("192.0.2.1").packed) == 1300
    assert egress_mtu(IPv4Address("10.9.4.2").packed) == 1500
    assert egress_mtu(IPv6Network("2001:db8:1::1")[0].packed) == 1350
    assert egress_mtu(IPv4Address("192.0.3.1").packed) is None


def test_address_watch_wakes_when_an_address_comes(node: Namespace) -> None:
    with AddressWatch() as watch:
        assert not select.select([watch], [], [], 0)[0]
        node.ip("address add 10.9.5.1/24 dev v4")
        assert select.select([watch], [], [], 5)[0]
        watch.drain()
        assert not select.select([watch], [], [], 0)[0]
    assert IPv4Address("10.9.5.1").packed in local_addresses()
