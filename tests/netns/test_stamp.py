"""The stamp: a superframe's gso_size arrives with it in the queue, and nobody else sees a trace of it."""

import itertools
import os
import re
import select
import socket
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

import pytest
from pinned import on_one_processor
from pyroute2 import IPRoute
from stamp_net import (
    INGRESS,
    OTHER,
    POOL4,
    PORT,
    PREFIX6,
    WAYS,
    Net,
    set_up,
    stamp_net,
    tcp_superframe,
)

from nfxlat.datapath.nfqueue import NetlinkQueue
from nfxlat.host import bpf
from nfxlat.host.stamp import How
from nfxlat.lab.netns import Namespace, wait_for
from nfxlat.nft.kernel import load
from nfxlat.wire.nfqueue import SKB_GSO
from nfxlat.wire.stamp import MAGIC, MASK, gso_size_of, is_udp

pytestmark = pytest.mark.netns


@pytest.fixture
def net() -> Iterator[Net]:
    with stamp_net() as made:
        yield made


def queue(net: Net, number: int) -> NetlinkQueue:
    with net.node.entered():
        return NetlinkQueue(number, superframes=number == 8)


def take(source: NetlinkQueue, count: int = 1) -> list[tuple[int, int, bytes]]:
    """(priority, skb_info, packet) of the next `count` packets of the queue, dropped there."""
    found: list[tuple[int, int, bytes]] = []
    deadline = time.monotonic() + 5
    while len(found) < count:
        assert select.select([source], [], [], max(0.0, deadline - time.monotonic()))[0], f"{len(found)} of {count}"
        for start, length, priority, kind in source.receive():
            found.append((priority, kind.skb_info, bytes(source.buffer[start : start + length])))
        source.conclude(())
    return found


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("destination", [POOL4, PREFIX6])
def test_gso_size_of_a_udp_superframe_arrives_in_the_queue(
    net: Net, monkeypatch: pytest.MonkeyPatch, how: How, destination: str
) -> None:
    with set_up(net, monkeypatch, how), closing(queue(net, 8)) as superframes:
        net.send_datagrams(destination, 9, 500)
        priority, info, packet = take(superframes)[0]
    assert info & SKB_GSO
    assert len(packet) == (40 if ":" in destination else 20) + 8 + 9 * 500
    assert gso_size_of(priority) == 500
    assert is_udp(priority)


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("destination", [POOL4, PREFIX6])
@pytest.mark.parametrize("udp", [True, False])
def test_gso_size_of_a_tcp_superframe_arrives_in_the_queue(
    net: Net, monkeypatch: pytest.MonkeyPatch, how: How, destination: str, udp: bool
) -> None:
    with set_up(net, monkeypatch, how, udp=udp), closing(queue(net, 8)) as superframes:
        net.send_tcp(destination, 20000, 1234)
        priority, info, packet = take(superframes)[0]
    assert info & SKB_GSO
    assert len(packet) == (40 if ":" in destination else 20) + 20 + 20000
    assert gso_size_of(priority) == 1234
    assert not is_udp(priority)


@pytest.mark.parametrize("destination", [POOL4, PREFIX6])
def test_udp_superframes_and_single_datagrams_keep_their_order_in_one_queue(
    net: Net, monkeypatch: pytest.MonkeyPatch, destination: str
) -> None:
    with set_up(net, monkeypatch, WAYS[0]), closing(queue(net, 8)) as superframes, closing(queue(net, 7)) as plain:
        with on_one_processor([]):
            for number in range(10):
                net.send_datagrams(destination, 3, 100)
                net.send_datagram(destination, b"%d" % number)
        taken = take(superframes, 20)
        assert not select.select([plain], [], [], 0)[0]
    assert [bool(info & SKB_GSO) for _, info, _ in taken] == [True, False] * 10
    assert [packet[-1:] for _, _, packet in taken[1::2]] == [b"%d" % number for number in range(10)]
    assert [gso_size_of(priority) for priority, _, _ in taken] == [100, 0] * 10
    assert all(is_udp(priority) for priority, _, _ in taken)


def test_udp_superframes_are_segmented_on_the_plain_queue_unless_udp_is_asked_for(
    net: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    with set_up(net, monkeypatch, WAYS[0], udp=False), closing(queue(net, 7)) as plain:
        net.send_datagrams(PREFIX6, 4, 700)
        taken = take(plain, 4)
    assert [int.from_bytes(packet[48:], "big") for _, _, packet in taken] == [0, 1, 2, 3]


def test_superframe_of_a_udp_tunnel_is_not_taken_for_a_row_of_datagrams(
    net: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    net.client.ip(f"link add vx type vxlan id 7 remote {POOL4} dstport 4789 dev eth0 udpcsum")
    net.client.sysctl("net.ipv6.conf.vx.disable_ipv6", 1)  # no multicast of its own
    net.client.ip("link set vx up")
    inner = tcp_superframe("10.9.7.1", "10.9.7.2", 6000)
    with set_up(net, monkeypatch, WAYS[0]), closing(queue(net, 7)) as plain, closing(queue(net, 8)) as superframes:
        net.send_frame("vx", bytes.fromhex("020000000007"), inner, 1000)
        taken = take(plain, 6)
        assert not select.select([superframes], [], [], 0)[0]
    assert {gso_size_of(priority) for priority, _, _ in taken} == {1000}, "it came as one superframe"
    assert not any(is_udp(priority) for priority, _, _ in taken)
    # each is a whole VXLAN packet around one segment: the kernel has cut it
    assert [len(packet) for _, _, packet in taken] == [20 + 8 + 8 + 14 + 20 + 20 + 1000] * 6


WITNESS = """
table inet witness {
    chain before {
        type filter hook prerouting priority -451
        meta priority & 0x6ffc0000 == 0x6e640000 udp dport 4000 counter
    }
    chain after {
        type filter hook prerouting priority -448
        meta priority PRIORITY udp dport 4000 counter
    }
    chain post {
        type filter hook postrouting priority 0
        meta priority PRIORITY udp dport 4000 counter
    }
}
"""


def counters(net: Net, namespace: Namespace | None = None) -> dict[str, int]:
    """Packets that each of the witness's chains has seen, on the node unless told otherwise."""
    with (namespace or net.node).entered():
        listed = load.run("list table inet witness")
    return {name: int(n) for name, n in re.findall(r"chain (\w+) {.*?counter packets (\d+)", listed, re.DOTALL)}


@contextmanager
def receiver(net: Net, family: socket.AddressFamily) -> Iterator[socket.socket]:
    with net.server.entered():
        found = socket.socket(family, socket.SOCK_DGRAM)
    with found:
        found.bind((OTHER[family], PORT))
        found.settimeout(5)
        yield found


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_transit_gets_its_priority_0_back_and_keeps_its_order(
    net: Net, monkeypatch: pytest.MonkeyPatch, how: How, family: socket.AddressFamily
) -> None:
    with set_up(net, monkeypatch, how), receiver(net, family) as server:
        with net.node.entered():
            load.run(WITNESS.replace("PRIORITY", "0"))
        with on_one_processor([]):
            for number in range(20):
                if number % 2:
                    net.send_datagram(OTHER[family], number.to_bytes(100, "big"))
                else:
                    net.send_datagrams(OTHER[family], 5, 100)
        arrived = [int.from_bytes(server.recv(1000), "big") for _ in range(10 * 5 + 10)]
        assert arrived == list(itertools.chain(*([0, 1, 2, 3, 4, n] for n in range(1, 20, 2))))
        assert counters(net) == {"before": 20, "after": 20, "post": 20}  # a superframe is one packet to netfilter


@contextmanager
def somebody_else(net: Net, how: How) -> Iterator[None]:
    """A program of another's, at the node's ingress before ours, that gives every packet the class 1:3."""
    # r2 = 0x10003; skb->priority = r2; r0 = TC_ACT_UNSPEC; exit (RFC 9669 section 4)
    registers = 0x21 if sys.byteorder == "little" else 0x12
    program_of_theirs = b"".join(
        struct.pack("=BBhi", *fields)
        for fields in (
            (0xB7, 2 if sys.byteorder == "little" else 0x20, 0, 0x10003),
            (0x63, registers, 32, 0),
            (0xB7, 0, 0, -1),
            (0x95, 0, 0, 0),
        )
    )
    with ExitStack() as stack:
        with net.node.entered():
            program = bpf.load(program_of_theirs, "classify")
            stack.callback(os.close, program)
            index = socket.if_nametoindex("in")
            if how == "tcx":
                stack.callback(os.close, bpf.link_tcx_ingress(program, index))
            else:
                with IPRoute() as ipr:
                    ipr.tc("add", "clsact", index=index)
                    ipr.tc("add-filter", "bpf", index, 0, fd=program, name="theirs", parent=INGRESS, direct_action=True)
        yield


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_transit_keeps_a_priority_that_somebody_else_has_set(
    net: Net, monkeypatch: pytest.MonkeyPatch, how: How, family: socket.AddressFamily
) -> None:
    with somebody_else(net, how), set_up(net, monkeypatch, how), receiver(net, family) as server:
        with net.node.entered():
            load.run(WITNESS.replace("PRIORITY", "1:3"))
        net.send_datagrams(OTHER[family], 5, 100)
        net.send_datagram(OTHER[family], b"alone")
        for _ in range(6):
            server.recv(1000)
        # IPv4 forwarding rewrites it by TOS (ip_forward.c), stamp or no stamp
        kept = 2 if family == socket.AF_INET6 else 0
        assert counters(net) == {"before": 0, "after": 2, "post": kept}


def test_what_the_queue_accepts_gets_its_priority_0_back(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    with set_up(net, monkeypatch, WAYS[0]), closing(queue(net, 8)) as superframes:
        with net.node.entered():
            load.run(WITNESS.replace("PRIORITY", "0"))
        net.send_datagrams(PREFIX6, 5, 100)
        assert select.select([superframes], [], [], 5)[0]
        ((_, _, priority, _),) = superframes.receive()
        assert priority & MASK == MAGIC
        superframes.conclude([0])
        deadline = time.monotonic() + 5
        while not counters(net)["after"]:
            assert time.monotonic() < deadline, counters(net)
        assert counters(net)["before"] == 1


def test_what_passes_by_to_a_macvlan_in_another_namespace_is_not_stamped(
    net: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    net.node.ip(f"link add mv link in netns {net.server.name} type macvlan mode bridge")
    net.server.ip("address add 10.9.1.9/24 dev mv")
    net.server.ip("link set mv up")
    net.server.wait_ready()
    with net.server.entered():
        load.run(WITNESS.replace("PRIORITY", "0"))
        receiving = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        receiving.bind(("10.9.1.9", PORT))
    with receiving, set_up(net, monkeypatch, WAYS[0]):
        receiving.settimeout(5)
        net.send_datagrams("10.9.1.9", 5, 100)
        for _ in range(5):
            receiving.recv(1000)
        assert counters(net, net.server) == {"before": 0, "after": 1, "post": 0}


def test_what_is_not_ip_is_not_stamped(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    with set_up(net, monkeypatch, WAYS[0]):
        with net.node.entered():
            load.run("table netdev witness { chain c { type filter hook ingress device in priority 0; }; }")
            for protocol in ("0x88b5", "ip"):
                load.run(f"add rule netdev witness c meta protocol {protocol} meta priority 0 counter")
        mac = net.node.mac("in")
        with net.client.entered(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sender:
            sender.bind(("eth0", 0))
            sender.send(mac + bytes(6) + b"\x88\xb5" + bytes(46))

        def counted() -> list[str]:
            with net.node.entered():
                return re.findall(r"counter packets (\d+)", load.run("list table netdev witness"))

        with receiver(net, socket.AF_INET) as server:
            net.send_datagram(OTHER[socket.AF_INET], b"stamped")
            server.recv(100)
        wait_for(lambda: counted()[0] != "0", "the frame that is no IP")
        assert counted() == ["1", "0"]
