"""What the program at ingress never translates, though it knows the pair: it takes the queue, and what becomes of it is
what becomes of it without offload. What has a mark or a priority: property/test_offload.py.

Frames are sent by the last router before the translator, each kind with a pair of its own:

    router4, 192.0.2.64 + n   --- to-r4  translator  to-r6 ---   router6, 198.51.100.64 + n inside prefix6
"""

import itertools
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

import pytest
from offloaded import OFFLOAD, Node
from pinned import on_one_processor
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    PadN,
)
from scapy.layers.sctp import SCTP
from scapy.packet import Packet, Raw

from nfxlat.datapath.inject import DeviceInjector
from nfxlat.lab.capture import Capture
from nfxlat.lab.netns import wait_for
from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.topology import HOST4, HOST4_6, HOST6_EAM4, TRANSLATOR, Lab, in_prefix6
from nfxlat.terms import Direction
from nfxlat.wire import vnet

DIRECTIONS: dict[int, Direction] = {4: "4to6", 6: "6to4"}
# the hosts take what comes and say nothing
SILENT = """table inet silent { chain input {
    type filter hook input priority 0; policy drop;
    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
}; }"""
OWN4 = "198.51.100.60"  # an IPv6 address of the translator, as IPv4 sees it
_numbers = itertools.count()


class Frame(NamedTuple):
    """`to`: its destination, the translator by default; `tag`: a VLAN's, in front of the type."""

    packet: bytes
    offload: bytes = vnet.NOTHING
    to: bytes = b""
    tag: bytes = b""


@dataclass(frozen=True)
class Pair:
    """A sender of its own, of IPv4 or IPv6, and one destination. `target`: instead of the host on the other side."""

    version: int
    number: int
    target: str = ""

    @property
    def source4(self) -> str:
        return str(IPv4Address("192.0.2.64" if self.version == 4 else "198.51.100.64") + self.number)

    @property
    def arrives_from(self) -> bytes:
        """The source of what comes out."""
        if self.version == 6:
            return IPv4Address(self.source4).packed
        return IPv6Address(in_prefix6(self.source4)).packed

    def around(self, layer: Packet, **fields: object) -> bytes:
        """A packet from one to the other."""
        if self.version == 4:
            return bytes(IP(**{"src": self.source4, "dst": self.target or HOST6_EAM4, "flags": "DF"} | fields) / layer)
        fields = {"src": in_prefix6(self.source4), "dst": self.target or HOST4_6} | fields
        return bytes(IPv6(**fields) / layer)


def udp(payload: bytes = b"datagram", **fields: object) -> Packet:
    return UDP(sport=9, dport=9, **fields) / Raw(payload)


def tcp(payload: bytes = b"segment") -> Packet:
    return TCP(sport=9, dport=9, flags="A") / Raw(payload)


class Wire:
    """Both links, seen from the routers in front of the translator and from the hosts behind it."""

    def __init__(self, lab: Lab, node: Node, stack: ExitStack) -> None:
        self.lab, self.node = lab, node
        routers = {4: lab.router4, 6: lab.router6}
        self._macs = {version: lab.translator.mac(f"to-r{version}") for version in routers}
        self._from = {version: router.mac("to-x") for version, router in routers.items()}
        self._sockets = {
            version: stack.enter_context(router.call(DeviceInjector.open_socket, "to-x"))
            for version, router in routers.items()
        }
        self.arrivals = {
            4: stack.enter_context(Capture(lab.host6, "to-r6")),
            6: stack.enter_context(Capture(lab.host4, "to-r4")),
        }
        self.marker = {version: Pair(version, 100) for version in routers}

    def put(self, version: int, frame: Frame) -> None:
        link = (frame.to or self._macs[version]) + self._from[version] + frame.tag
        link += b"\x08\x00" if version == 4 else b"\x86\xdd"
        self._sockets[version].send(frame.offload + link + frame.packet)

    def arrived(self, pair: Pair) -> list[bytes]:
        """All of the pair that has come to the other side so far."""
        at = 8 if pair.version == 4 else 12
        sources = ((seen[at : at + len(pair.arrives_from)], seen) for seen in self.arrivals[pair.version].drain())
        return [seen for source, seen in sources if source == pair.arrives_from and seen[0] >> 4 != pair.version]

    def behind(self, version: int) -> None:
        """Wait for what has been sent: something else comes out behind it, through the same queue."""
        mark = f"mark {next(_numbers)}".encode()
        marker = self.marker[version]
        layer = ICMP() if version == 4 else ICMPv6EchoRequest()
        self.put(version, Frame(marker.around(layer / Raw(mark))))
        self.arrivals[version].wait(lambda seen: mark in seen)

    def learn(self, pair: Pair) -> None:
        """Send plain packets of the pair until the kernel translates them."""
        direction = DIRECTIONS[pair.version]
        for layer in (udp, tcp):
            before = self.node.counted("translated", direction)

            def crosses(layer: Callable[[], Packet] = layer, before: int = before) -> bool:
                self.put(pair.version, Frame(pair.around(layer())))
                self.behind(pair.version)
                return self.node.counted("translated", direction) > before

            wait_for(crosses, "a packet that crosses in the kernel", 30.0)


@pytest.fixture(scope="module")
def wire(shared_bare_lab: Lab) -> Iterator[Wire]:
    lab = shared_bare_lab
    for host in (lab.host4, lab.host6):
        host.run(["nft", SILENT])
    lab.translator.ip(f"address add {in_prefix6(OWN4)}/128 dev lo")
    with TranslatorProcess(lab.translator, lab.directory, *OFFLOAD) as process, ExitStack() as stack:
        stack.enter_context(on_one_processor(process.workers()))  # what is behind something has not overtaken it
        yield Wire(lab, Node(process), stack)


def fragments(pair: Pair, layer: Packet) -> list[Frame]:
    """The first piece of it, and the rest."""
    if pair.version == 4:
        first, rest = ({"flags": "MF", "id": 7}, {"flags": 0, "frag": 2, "id": 7})
        protocol = 6 if TCP in layer else 17
        whole = pair.around(layer)[20:]
        return [
            Frame(pair.around(Raw(part), proto=protocol, **fields))
            for fields, part in ((first, whole[:16]), (rest, whole[16:]))
        ]
    whole, number = pair.around(layer)[40:], 6 if TCP in layer else 17
    pieces = (
        (IPv6ExtHdrFragment(nh=number, m=1, id=7), whole[:16]),
        (IPv6ExtHdrFragment(nh=number, offset=2, id=7), whole[16:]),
    )
    return [Frame(pair.around(header / Raw(part))) for header, part in pieces]


def superframe(pair: Pair, gso_size: int, octets: int, **fields: object) -> Frame:
    """TCP with its checksum left to the device, of segments of so many octets."""
    packet = bytearray(pair.around(tcp(bytes(octets)), **fields))
    at, kind = (20, vnet.GSO_TCPV4) if pair.version == 4 else (40, vnet.GSO_TCPV6)
    addresses = packet[12:20] if pair.version == 4 else packet[8:40]
    pseudo = (int.from_bytes(addresses, "big") + 6 + len(packet) - at) % 0xFFFF
    struct.pack_into("!H", packet, at + 16, pseudo)
    return Frame(bytes(packet), vnet.pack(vnet.NEEDS_CSUM, kind, 14 + at + 20, gso_size, 14 + at, 16))


def unfinished_inside(pair: Pair) -> Frame:
    """A datagram around another, whose checksum is the one that the device is to finish."""
    packet, at = pair.around(udp(bytes(64))), 20 if pair.version == 4 else 40
    return Frame(packet, vnet.pack(vnet.NEEDS_CSUM, vnet.GSO_NONE, 0, 0, 14 + at + 8 + 40, 6))


@dataclass(frozen=True)
class Kind:
    """`outcome`: what the program counts it as, None: it does not look at it; `crosses`: it comes out."""

    make: Callable[[Pair], list[Frame]]
    versions: tuple[int, ...] = (4, 6)
    outcome: str | None = "unfit"
    crosses: bool = True


def one(layer: Packet, **fields: object) -> Callable[[Pair], list[Frame]]:
    return lambda pair: [Frame(pair.around(layer, **fields))]


def hops(left: int) -> Callable[[Pair], list[Frame]]:
    return lambda pair: [Frame(pair.around(udp(), **{"ttl" if pair.version == 4 else "hlim": left}))]


PADDING = [PadN(optdata=b"\0\0\0\0")]
KINDS = {
    "fragments of UDP": Kind(lambda pair: fragments(pair, udp(bytes(40))), outcome="diverted"),
    "fragments of TCP": Kind(lambda pair: fragments(pair, tcp(bytes(40)))),
    "IPv4 options": Kind(one(udp(), options=[IPOption(b"\x01\x01\x01\x00")]), versions=(4,)),
    "hop-by-hop options": Kind(one(IPv6ExtHdrHopByHop(options=PADDING) / udp()), versions=(6,)),
    "destination options": Kind(one(IPv6ExtHdrDestOpt(options=PADDING) / tcp()), versions=(6,)),
    "ICMP": Kind(one(ICMP() / Raw(b"echo")), versions=(4,)),
    "ICMPv6": Kind(one(ICMPv6EchoRequest(data=b"echo")), versions=(6,)),
    "another protocol": Kind(one(SCTP(sport=9, dport=9) / Raw(b"data"))),
    "IPv4 UDP without a checksum": Kind(one(udp(chksum=0)), versions=(4,), crosses=False),
    "IPv6 UDP without a checksum": Kind(one(udp(chksum=0)), versions=(6,)),
    "the last hop": Kind(hops(1), crosses=False),
    "DF=0 that has to be cut": Kind(one(udp(bytes(1300)), flags=0), versions=(4,), outcome="diverted"),
    "DF=0 in a superframe of segments that have to be cut": Kind(
        lambda pair: [superframe(pair, 1300, 2600, flags=0)], versions=(4,), outcome="diverted"
    ),
    "a checksum that is unfinished inside": Kind(lambda pair: [unfinished_inside(pair)]),
    "a frame for somebody else": Kind(
        lambda pair: [Frame(pair.around(udp()), to=b"\2else\1")], outcome=None, crosses=False
    ),
    "a VLAN's": Kind(lambda pair: [Frame(pair.around(udp()), tag=b"\x81\x00\x00\x07")], outcome=None, crosses=False),
}
CASES = [(name, version) for name, kind in KINDS.items() for version in kind.versions]


@pytest.mark.parametrize(("name", "version"), CASES, ids=lambda value: str(value).replace(" ", "-"))
def test_it_is_not_the_program_s(wire: Wire, name: str, version: int) -> None:
    kind, direction = KINDS[name], DIRECTIONS[version]
    pair = Pair(version, list(KINDS).index(name))
    wire.learn(pair)
    came, before = len(wire.arrived(pair)), wire.node.outcomes(direction)
    frames = kind.make(pair)
    for frame in frames:
        wire.put(version, frame)
    wire.behind(version)
    if kind.crosses:
        wait_for(lambda: len(wire.arrived(pair)) > came, "what was sent")
    else:
        assert len(wire.arrived(pair)) == came
    after = wire.node.outcomes(direction)
    assert after["translated"] == before["translated"]
    if kind.outcome is not None:
        assert after[kind.outcome] - before[kind.outcome] >= len(frames)


def test_superframes_that_fit_are_the_program_s(wire: Wire) -> None:
    """So it is not for being superframes that others are not."""
    for version, fields in ((4, {"flags": 0}), (4, {"flags": "DF"}), (6, {})):
        pair = Pair(version, 80 + len(fields))
        wire.learn(pair)
        came, before = len(wire.arrived(pair)), wire.node.outcomes(DIRECTIONS[version])
        wire.put(version, superframe(pair, 1000, 2500, **fields))
        wait_for(lambda pair=pair, came=came: len(wire.arrived(pair)) > came, "the superframe")  # type: ignore[misc]
        after = wire.node.outcomes(DIRECTIONS[version])
        assert (after["translated"] - before["translated"], after["segments"] - before["segments"]) == (1, 3)


@pytest.mark.parametrize(
    ("version", "target"),
    [
        pytest.param(4, OWN4, id="an address of this node"),
        pytest.param(6, in_prefix6(TRANSLATOR[0]), id="an IPv4 address of this node"),
        pytest.param(6, in_prefix6(HOST6_EAM4), id="a hairpin"),
    ],
)
def test_a_pair_of_which_the_core_sees_every_packet_is_not_learnt(wire: Wire, version: int, target: str) -> None:
    pair = Pair(version, 90, target)
    before, taught = wire.node.outcomes(DIRECTIONS[version]), wire.node.process.summary()["totals"]["taught"]
    for _ in range(10):
        wire.put(version, Frame(pair.around(udp())))
        wire.behind(version)
    after = wire.node.outcomes(DIRECTIONS[version])
    assert after["translated"] == before["translated"]
    assert after["missed"] - before["missed"] >= 10
    assert wire.node.process.summary()["totals"]["taught"] == taught


def test_a_pair_whose_path_is_narrow_is_forgotten_and_not_learnt_again(wire: Wire) -> None:
    """RFC 7915 5.1: below 1260 octets the core clears DF and cuts."""
    pair = Pair(6, 95)
    wire.learn(pair)
    quote = IP(src=pair.source4, dst=HOST4, flags="DF", len=1400) / UDP(sport=9, dport=9, len=1380, chksum=1)
    error = IP(src="192.0.2.1", dst=pair.source4) / ICMP(type=3, code=4, nexthopmtu=576) / quote
    wire.put(4, Frame(bytes(error)))
    wire.behind(4)
    before, taught = wire.node.outcomes("6to4"), wire.node.process.summary()["totals"]["taught"]
    for _ in range(10):
        wire.put(6, Frame(pair.around(udp())))
        wire.behind(6)
    after = wire.node.outcomes("6to4")
    assert after["translated"] == before["translated"]
    assert wire.node.process.summary()["totals"]["taught"] == taught
    assert len(wire.arrived(pair)) >= 10
