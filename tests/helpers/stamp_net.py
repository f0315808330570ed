"""Three nodes, whose middle one stamps what comes in.

client 10.9.1.2, 2001:db8:9:1::2 --- in [ node: Setup of siit0 ] out --- server 10.9.2.2, 2001:db8:9:2::2

The client's superframes cross the veth whole.
"""

import platform
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

import pytest
from packets import raw4, raw6

from nfxlat.host import stamp
from nfxlat.host.stamp import How
from nfxlat.lab.netns import Namespace, link
from nfxlat.lab.probe import family_of
from nfxlat.queues import Queues
from nfxlat.service.setup import Setup
from nfxlat.wire import vnet
from nfxlat.wire.checksum import internet_checksum
from nfxlat.xlat.domain import Domain

DOMAIN = Domain(prefix6=IPv6Network("2001:db8:64::/96"), pool4=(IPv4Network("198.51.100.0/24"),))
POOL4, PREFIX6 = "198.51.100.9", "2001:db8:64::a09:202"
OTHER = {socket.AF_INET: "10.9.2.2", socket.AF_INET6: "2001:db8:9:2::2"}
ORIGIN = {socket.AF_INET: "10.9.1.2", socket.AF_INET6: "2001:db8:9:1::2"}
PORT = 4000
UDP_SEGMENT = 103  # linux/udp.h
SOL_PACKET, PACKET_VNET_HDR = 263, 15  # linux/socket.h, linux/if_packet.h
INGRESS = 0xFFFFFFF2  # of clsact (linux/pkt_sched.h)
# tcx came with 6.6
WAYS: tuple[How, ...] = stamp.HOW if tuple(map(int, platform.release().split(".")[:2])) >= (6, 6) else ("cls_bpf",)


@dataclass
class Net:
    client: Namespace
    node: Namespace
    server: Namespace

    def send_datagrams(self, destination: str, count: int, size: int) -> None:
        """One UDP superframe of `count` datagrams of `size` octets."""
        with self.client.entered(), socket.socket(family_of(destination), socket.SOCK_DGRAM) as sender:
            sender.setsockopt(socket.SOL_UDP, UDP_SEGMENT, size)
            sender.sendto(b"".join(number.to_bytes(size, "big") for number in range(count)), (destination, PORT))

    def send_datagram(self, destination: str, payload: bytes) -> None:
        with self.client.entered(), socket.socket(family_of(destination), socket.SOCK_DGRAM) as sender:
            sender.sendto(payload, (destination, PORT))

    def send_tcp(self, destination: str, length: int, gso_size: int) -> None:
        """One TCP superframe of `length` octets of payload, of no connection."""
        packet = tcp_superframe(ORIGIN[family_of(destination)], destination, length)
        self.send_frame("eth0", self.node.mac("in"), packet, gso_size)

    def send_frame(self, device: str, mac: bytes, packet: bytes, gso_size: int) -> None:
        v6 = packet[0] >> 4 == 6
        kind, header = (vnet.GSO_TCPV6, 40) if v6 else (vnet.GSO_TCPV4, 20)
        head = vnet.pack(vnet.NEEDS_CSUM, kind, 14 + header + 20, gso_size, 14 + header, 16)
        with self.client.entered(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sender:
            sender.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
            sender.bind((device, 0))
            sender.send(head + mac + self.client.mac(device) + (b"\x86\xdd" if v6 else b"\x08\0") + packet)


def tcp_superframe(source: str, destination: str, length: int) -> bytes:
    """A TCP packet whose checksum field holds the folded pseudo-header sum."""
    family = family_of(source)
    addresses = socket.inet_pton(family, source) + socket.inet_pton(family, destination)
    pseudo = 0xFFFF - internet_checksum(addresses + struct.pack("!II", 20 + length, socket.IPPROTO_TCP))
    tcp = struct.pack("!HHIIBBHHH", 9, PORT, 1, 1, 5 << 4, 0x10, 65535, pseudo, 0) + bytes(length)
    if family == socket.AF_INET6:
        return raw6(source, destination, socket.IPPROTO_TCP, tcp)
    return raw4(source, destination, socket.IPPROTO_TCP, tcp, word=0x4000)


@contextmanager
def stamp_net() -> Iterator[Net]:
    """The three of them, forwarding on."""
    with Namespace("client") as client, Namespace("node") as node, Namespace("server") as server:
        link(client, "eth0", node, "in")
        link(node, "out", server, "eth0")
        for namespace, device, subnet, host in (
            (client, "eth0", 1, 2),
            (node, "in", 1, 1),
            (node, "out", 2, 1),
            (server, "eth0", 2, 2),
        ):
            namespace.ip(f"address add 10.9.{subnet}.{host}/24 dev {device}")
            namespace.ip(f"-6 address add 2001:db8:9:{subnet}::{host}/64 dev {device} nodad")
        for namespace, subnet in ((client, 1), (server, 2)):
            namespace.ip(f"route add default via 10.9.{subnet}.1")
            namespace.ip(f"-6 route add default via 2001:db8:9:{subnet}::1")
        node.sysctl("net.ipv4.ip_forward", 1)
        node.sysctl("net.ipv6.conf.all.forwarding", 1)
        for namespace in (client, node, server):
            namespace.wait_ready()
        yield Net(client, node, server)


@contextmanager
def set_up(net: Net, monkeypatch: pytest.MonkeyPatch, how: How, *, udp: bool = True) -> Iterator[Setup]:
    """The router's set-up on the node, with the stamp attached in this way."""
    monkeypatch.setattr(stamp, "HOW", (how,))
    with net.node.entered():
        setup = Setup(DOMAIN, queues=Queues(), role="router", report=lambda line: None, udp_superframes=udp)
        setup.up()
    try:
        assert setup.stamp is not None
        assert setup.stamp.how == how
        yield setup
    finally:
        with net.node.entered():
            setup.down()
