"""The rules of rules/ on real packets: what is queued where, what is untouched, that nothing leaks.

    client 10.9.1.2, 2001:db8:9:1::2 --- in [ node ] out --- server 10.9.2.2, 2001:db8:9:2::2

The server also owns one address of each translated prefix, and the node's default routes lead to it: a packet that is
not intercepted arrives there, which each test of "dropped" shows first.
"""

import itertools
import select
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

import pytest
from packets import raw, raw4, udp
from pinned import on_one_processor

from nfxlat.datapath.nfqueue import NetlinkQueue
from nfxlat.lab.netns import Namespace, link
from nfxlat.nft.kernel import load, ruleset
from nfxlat.nft.language.builtin import compile_builtin
from nfxlat.nft.shipped import RULES
from nfxlat.queues import Queues
from nfxlat.service.setup import Setup
from nfxlat.wire.stamp import INJECTED_MARK
from nfxlat.xlat.domain import Domain

pytestmark = pytest.mark.netns

DOMAIN = Domain(prefix6=IPv6Network("2001:db8:64::/96"), pool4=(IPv4Network("198.51.100.0/24"),))
POOL4, PREFIX6, NATIVE6 = "198.51.100.9", "2001:db8:64::a09:202", "2001:db8:64::c633:6409"
OTHER = {socket.AF_INET: "10.9.2.2", socket.AF_INET6: "2001:db8:9:2::2"}
PORT = 4000


@dataclass
class Net:
    client: Namespace
    node: Namespace
    receivers: dict[socket.AddressFamily, socket.socket]
    numbers: Iterator[int]

    def send(self, source: Namespace, destination: str) -> bytes:
        """One numbered UDP datagram; returns its payload."""
        family = socket.AF_INET6 if ":" in destination else socket.AF_INET
        payload = b"%d" % next(self.numbers)
        with source.entered(), socket.socket(family, socket.SOCK_DGRAM) as sender:
            sender.sendto(payload, (destination, PORT))
        return payload

    def arrives(self, source: Namespace, destination: str) -> bool:
        """Whether a datagram to `destination` reaches the server, ahead of a later one to the server's own address."""
        family = socket.AF_INET6 if ":" in destination else socket.AF_INET
        with on_one_processor([]):
            probe, control = self.send(source, destination), self.send(source, OTHER[family])
        received = []
        while control not in received:
            assert select.select([self.receivers[family]], [], [], 5)[0], "the control datagram is missing"
            received.append(self.receivers[family].recv(100))
        return probe in received


@pytest.fixture
def net() -> Iterator[Net]:
    with Namespace("client") as client, Namespace("node") as node, Namespace("server") as server:
        link(client, "eth0", node, "in")
        link(node, "out", server, "eth0")
        for namespace, device, number in (
            (client, "eth0", "1.2"),
            (node, "in", "1.1"),
            (node, "out", "2.1"),
            (server, "eth0", "2.2"),
        ):
            subnet, host = number.split(".")
            namespace.ip(f"address add 10.9.{number}/24 dev {device}")
            namespace.ip(f"-6 address add 2001:db8:9:{subnet}::{host}/64 dev {device} nodad")
        for namespace, network, gateway in ((client, 1, 1), (node, 2, 2), (server, 2, 1)):
            namespace.ip(f"route add default via 10.9.{network}.{gateway}")
            namespace.ip(f"-6 route add default via 2001:db8:9:{network}::{gateway}")
        node.ip(f"-6 route add {NATIVE6} via 2001:db8:9:2::2")
        for address in (f"{POOL4}/32", f"{PREFIX6}/128", f"{NATIVE6}/128"):
            server.ip(f"address add {address} dev lo")
        node.sysctl("net.ipv4.ip_forward", 1)
        node.sysctl("net.ipv6.conf.all.forwarding", 1)
        for namespace in (client, node, server):
            namespace.wait_ready()
        with server.entered():
            receivers = {family: socket.socket(family, socket.SOCK_DGRAM) for family in OTHER}
        try:
            receivers[socket.AF_INET6].setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            for family, receiver in receivers.items():
                receiver.bind(("0.0.0.0" if family == socket.AF_INET else "::", PORT))
            yield Net(client, node, receivers, itertools.count(1000))
        finally:
            for receiver in receivers.values():
                receiver.close()


@pytest.fixture
def up(net: Net) -> Iterator[Setup]:
    with net.node.entered():
        setup = Setup(DOMAIN, queues=Queues(), role="router", report=lambda line: None)
        setup.up()
    try:
        yield setup
    finally:
        with net.node.entered():
            setup.down()


def queue(net: Net, number: int) -> NetlinkQueue:
    with net.node.entered():
        return NetlinkQueue(number, superframes=False)


def take(source: NetlinkQueue, count: int = 1) -> list[bytes]:
    """The next `count` packets of the queue, dropped there."""
    found: list[bytes] = []
    deadline = time.monotonic() + 5
    while len(found) < count:
        assert select.select([source], [], [], max(0.0, deadline - time.monotonic()))[0], f"{len(found)} of {count}"
        for start, length, _, _ in source.receive():
            found.append(bytes(source.buffer[start : start + length]))
        source.conclude(())
    return found


@pytest.mark.parametrize("destination", [POOL4, PREFIX6])
@pytest.mark.parametrize("origin", ["client", "node"])
def test_udp_to_a_translated_address_is_queued_plain(net: Net, up: Setup, destination: str, origin: str) -> None:
    with closing(queue(net, 7)) as plain, closing(queue(net, 8)) as tcp:
        payload = net.send(getattr(net, origin), destination)
        assert take(plain)[0].endswith(payload)
        assert not select.select([tcp], [], [], 0)[0]


@pytest.mark.parametrize("destination", [POOL4, PREFIX6])
@pytest.mark.parametrize("origin", ["client", "node"])
def test_tcp_to_a_translated_address_is_queued_for_superframes(
    net: Net, up: Setup, destination: str, origin: str
) -> None:
    family = socket.AF_INET6 if ":" in destination else socket.AF_INET
    with closing(queue(net, 7)) as plain, closing(queue(net, 8)) as tcp:
        with getattr(net, origin).entered(), socket.socket(family, socket.SOCK_STREAM) as connecting:
            connecting.setblocking(False)
            connecting.connect_ex((destination, PORT))
            packet = take(tcp)[0]
        assert packet[9 if family == socket.AF_INET else 6] == socket.IPPROTO_TCP
        assert not select.select([plain], [], [], 0)[0]


@pytest.mark.parametrize("offset", [0x2000, 0x0001])  # more fragments; the last one
def test_fragments_of_tcp_go_where_their_flow_goes(net: Net, up: Setup, offset: int) -> None:
    packet = raw4("10.9.1.2", POOL4, socket.IPPROTO_TCP, bytes(24), word=offset)
    with closing(queue(net, 8)) as tcp:
        with net.client.entered(), socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as sender:
            sender.sendto(packet, (POOL4, 0))
        assert take(tcp)[0][6:8] == struct.pack("!H", offset)


@pytest.mark.parametrize("destination", [POOL4, PREFIX6])
@pytest.mark.parametrize("origin", ["client", "node"])
def test_nothing_leaks_without_a_listener(net: Net, destination: str, origin: str) -> None:
    source = getattr(net, origin)
    assert net.arrives(source, destination)
    with net.node.entered():
        setup = Setup(DOMAIN, queues=Queues(), role="router", report=lambda line: None)
        setup.up()
    try:
        assert not net.arrives(source, destination)
    finally:
        with net.node.entered():
            setup.down()
    assert net.arrives(source, destination)


@pytest.mark.parametrize("destination", [POOL4, PREFIX6])
def test_nothing_leaks_when_somebody_flushes_the_rules(net: Net, up: Setup, destination: str) -> None:
    with net.node.entered():
        load.run("flush ruleset")
    assert not net.arrives(net.client, destination)
    with net.node.entered():
        assert up.device is not None
        assert up.device.ended_packets() == 1


@pytest.mark.parametrize("destination", [POOL4, PREFIX6])
def test_nothing_leaks_when_rules_and_device_are_gone(net: Net, up: Setup, destination: str) -> None:
    with net.node.entered():
        load.run("flush ruleset")
    net.node.ip("link del siit0")
    assert not net.arrives(net.client, destination)


def test_ipv6_hosts_inside_the_prefix_are_reached_without_translation(net: Net, up: Setup) -> None:
    assert net.arrives(net.client, NATIVE6)
    assert net.arrives(net.node, NATIVE6)


def test_ipv6_host_inside_the_prefix_without_a_route_is_unreachable(net: Net, up: Setup) -> None:
    with net.client.entered(), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.IPPROTO_IPV6, 25, 1)  # IPV6_RECVERR: tell even of errors that may pass
        sender.connect(("2001:db8:64::c633:64ff", PORT))
        sender.send(b"x")
        assert select.select([sender], [], [], 5)[0]
        with pytest.raises(OSError, match="unreachable"):
            sender.recv(10)


@pytest.mark.parametrize(("address", "local"), [(POOL4, "10.9.1.1"), (PREFIX6, "2001:db8:9:1::1")])
def test_a_source_that_claims_this_node_s_address_is_dropped(net: Net, up: Setup, address: str, local: str) -> None:
    family, length = (socket.AF_INET6, 128) if ":" in address else (socket.AF_INET, 32)
    packet = raw(local, address, socket.IPPROTO_UDP, udp(b"", 9, PORT))
    with closing(queue(net, 7)) as plain:
        with net.client.entered(), socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW) as forger:
            forger.sendto(packet, (address, 0))
        honest = net.send(net.client, address)
        assert take(plain)[0].endswith(honest)
    with net.node.entered():
        rules = load.run(f"list table {'ip' if length == 32 else 'ip6'} nfxlat_siit0")
    assert [" packets 1 " in line for line in rules.splitlines() if "forged-source" in line] == [True]


@pytest.mark.parametrize("address", [POOL4, PREFIX6])
def test_an_address_of_this_node_inside_a_translated_prefix_stays_its_own(net: Net, up: Setup, address: str) -> None:
    family, length = (socket.AF_INET6, 128) if ":" in address else (socket.AF_INET, 32)
    net.node.ip(f"address add {address}/{length} dev lo {'nodad' if length == 128 else ''}".strip())
    net.node.wait_ready()
    with net.node.entered(), socket.socket(family, socket.SOCK_DGRAM) as receiver:
        receiver.bind((address, PORT))
        payload = net.send(net.client, address)
        assert select.select([receiver], [], [], 5)[0]
        assert receiver.recv(100) == payload


@pytest.mark.parametrize("destination", [POOL4, PREFIX6])
def test_what_nfxlat_sends_by_raw_socket_is_not_intercepted_again_and_loses_its_mark(
    net: Net, up: Setup, destination: str
) -> None:
    family = socket.AF_INET6 if ":" in destination else socket.AF_INET
    with net.node.entered():
        load.run(
            "table inet seen { chain output { type filter hook output priority 0; udp dport 4000 mark 0 counter\n }\n }"
        )
    with closing(queue(net, 7)) as plain, net.node.entered():
        with socket.socket(family, socket.SOCK_DGRAM) as sender:
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, INJECTED_MARK)
            sender.sendto(b"injected", (destination, PORT))
        assert "counter packets 1" in load.run("list table inet seen")
        assert not select.select([plain], [], [], 0)[0]


@pytest.mark.parametrize("file", sorted(RULES.glob("*.nft")), ids=lambda path: path.name)
def test_files_of_rules_load_as_they_are_and_again(file: Path) -> None:
    with Namespace("load") as namespace, namespace.entered():
        load.run(file.read_text())
        first = load.run("list ruleset")
        assert first.count("table ip") == 2
        load.run(file.read_text())
        assert load.run("list ruleset") == first


def test_loading_again_replaces_the_table() -> None:
    with Namespace("load") as namespace, namespace.entered():
        rules = compile_builtin(DOMAIN, "router", "hook", Queues(), native=ruleset.native()).text
        load.run(rules)
        first = load.run("list ruleset")
        load.run(rules)
        assert load.run("list ruleset") == first
        assert load.unload("ip", "nfxlat_siit0")
        assert not load.unload("ip", "nfxlat_siit0")
