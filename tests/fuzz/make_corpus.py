"""Makes the seeds in corpus/: `python make_corpus.py`. Packets are real ones, built by scapy; names tell what they are.

Inputs that once found something are kept beside them, under names that begin with `found-`.
"""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from struct import pack

import dpkt
from fuzz_core import CHECKSUMS, CONTROL, FITTING, HOSTS4, HOSTS6, LENGTHS, ONE_HOP, STRETCH
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
)
from scapy.packet import Raw

from nfxlat.datapath import nfqueue
from nfxlat.lab.topology import DOMAIN
from nfxlat.wire import netlink
from nfxlat.wire import nfqueue as nl

CORPUS = Path(__file__).parent / "corpus"
MPLS = bytes.fromhex("2000ca0d0008010103e81101")
A4, B4 = "192.0.2.2", "203.0.113.2"
A6, B6 = "2001:db8:64::c000:202", "2001:db8:2::2"

OPTIONS = {
    "record-route": b"\x07\x07\x04\0\0\0\0\0",
    "router-alert": b"\x94\x04\0\0",
    "lsrr": b"\x83\x07\x04\xc0\0\x02\x01\0",
    "ssrr-expired": b"\x89\x07\x08\xc0\0\x02\x01\0",
}


def quote4(**fields: object) -> bytes:
    return bytes(IP(src=B4, dst=A4, **fields) / UDP(sport=53, dport=4711) / bytes(100))


def quote6(**fields: object) -> bytes:
    return bytes(IPv6(src=B6, dst=A6, **fields) / UDP(sport=53, dport=4711) / bytes(100))


def packets4() -> Iterator[tuple[str, bytes]]:
    """Of hosts that have mappings in the first domain of fuzz_core."""
    header = {"src": A4, "dst": B4}
    yield "tcp", bytes(IP(**header, flags="DF") / TCP(options=[("MSS", 1460), ("WScale", 7)]))
    yield "tcp-data", bytes(IP(**header, tos=3, flags="DF") / TCP(flags="PA") / bytes(range(200)))
    yield "udp", bytes(IP(**header, id=77) / UDP() / b"data")
    yield "udp-0", bytes(IP(**header) / UDP(chksum=0) / b"data")
    yield "udp-lite", bytes(IP(**header, proto=136) / Raw(b"\1\2\3\4\0\x08\x12\x34data"))
    yield "dccp", bytes(IP(**header, proto=33) / Raw(b"\1\2\3\4\5\6\x12\x34\x01\x02\x03\x04data"))
    yield "sctp", bytes(IP(**header, proto=132) / Raw(bytes(32)))
    yield "esp", bytes(IP(**header, proto=50) / Raw(bytes(range(40))))
    yield "echo", bytes(IP(**header) / ICMP(type=8, id=3, seq=4) / b"ping")
    yield "igmp", bytes(IP(**header, proto=2) / Raw(b"\x16\0\0\0\0\0\0\0"))
    yield "first", bytes(IP(**header, id=9, flags="MF") / UDP() / bytes(88))
    yield "later", bytes(IP(**header, id=9, frag=12, proto=17) / Raw(bytes(33)))
    yield "ttl-1", bytes(IP(**header, ttl=1) / UDP() / b"data")
    for name, options in OPTIONS.items():
        yield name, bytes(IP(**header, options=options) / UDP() / b"data")
    for kind, code, rest in (
        *((3, code, bytes(4)) for code in (0, 1, 2, 3, 10, 13)),
        (3, 4, pack("!HH", 0, 1400)),
        (3, 4, pack("!HH", 0, 576)),
        (3, 4, bytes(4)),
        (11, 0, bytes(4)),
        (12, 0, b"\x08\0\0\0"),
        (12, 2, b"\x01\0\0\0"),
    ):
        message = bytes((kind, code, 0, 0)) + rest + quote4()
        yield f"error-{kind}-{code}-{rest.hex()}", bytes(IP(**header, proto=1) / Raw(message))
    padded = quote4()[:128].ljust(128, b"\0")
    yield "error-mpls", bytes(IP(**header, proto=1) / Raw(bytes((11, 0, 0, 0, 0, 32, 0, 0)) + padded + MPLS))
    quoted_echo = bytes(IP(src=B4, dst=A4) / ICMP(type=8) / b"ping")
    yield "error-echo", bytes(IP(**header, proto=1) / Raw(bytes((3, 1, 0, 0, 0, 0, 0, 0)) + quoted_echo))
    fragment = quote4(flags="MF", id=7)
    yield "error-fragment", bytes(IP(**header, proto=1) / Raw(bytes((3, 4, 0, 0, 0, 0, 2, 0)) + fragment))


def packets6() -> Iterator[tuple[str, bytes]]:
    header = IPv6(src=B6, dst=A6)
    yield "tcp", bytes(header / TCP(options=[("MSS", 1440)]))
    yield "tcp-data", bytes(header / TCP(flags="PA") / bytes(range(200)))
    yield "udp", bytes(IPv6(src=B6, dst=A6, tc=5, fl=99) / UDP() / b"data")
    yield "udp-0", bytes(header / UDP(chksum=0) / b"data")
    yield "udp-lite", bytes(IPv6(src=B6, dst=A6, nh=136) / Raw(b"\1\2\3\4\0\x08\x12\x34data"))
    yield "sctp", bytes(IPv6(src=B6, dst=A6, nh=132) / Raw(bytes(32)))
    yield "echo", bytes(header / ICMPv6EchoRequest(id=3, seq=4, data=b"ping"))
    yield "hop-by-hop", bytes(header / IPv6ExtHdrHopByHop() / UDP() / b"data")
    yield "destination", bytes(header / IPv6ExtHdrDestOpt() / TCP())
    yield "routing", bytes(header / IPv6ExtHdrRouting(segleft=0) / UDP() / b"data")
    yield "segments-left", bytes(header / IPv6ExtHdrHopByHop() / IPv6ExtHdrRouting(segleft=1) / UDP())
    yield "atomic", bytes(header / IPv6ExtHdrFragment(id=0x12345678) / UDP() / b"data")
    yield "first", bytes(header / IPv6ExtHdrFragment(m=1, id=7) / UDP() / bytes(88))
    yield "later", bytes(header / IPv6ExtHdrFragment(offset=12, id=7, nh=17) / Raw(bytes(33)))
    yield "destination-behind-fragment", bytes(header / IPv6ExtHdrFragment(id=7) / IPv6ExtHdrDestOpt() / UDP())
    yield "hop-limit-1", bytes(IPv6(src=B6, dst=A6, hlim=1) / UDP() / b"data")
    for kind, code, rest in (
        *((1, code, bytes(4)) for code in range(6)),
        (2, 0, pack("!I", 1400)),
        (2, 0, pack("!I", 1280)),
        (3, 0, bytes(4)),
        (4, 0, pack("!I", 6)),
        (4, 1, pack("!I", 40)),
    ):
        message = bytes((kind, code, 0, 0)) + rest + quote6()
        yield f"error-{kind}-{code}-{rest.hex()}", bytes(IPv6(src=B6, dst=A6, nh=58) / Raw(message))
    padded = quote6()[:128].ljust(128, b"\0")
    yield "error-mpls", bytes(IPv6(src=B6, dst=A6, nh=58) / Raw(bytes((3, 0, 0, 0, 16, 0, 0, 0)) + padded + MPLS))
    quoted_echo = bytes(IPv6(src=A6, dst=B6) / ICMPv6EchoRequest(data=b"ping"))
    yield "error-echo", bytes(IPv6(src=B6, dst=A6, nh=58) / Raw(bytes((1, 3, 0, 0, 0, 0, 0, 0)) + quoted_echo))
    fragment = bytes(IPv6(src=A6, dst=B6) / IPv6ExtHdrFragment(m=1, id=7) / UDP() / bytes(88))
    yield "error-fragment", bytes(IPv6(src=B6, dst=A6, nh=58) / Raw(bytes((2, 0, 0, 0, 0, 0, 5, 20)) + fragment))


def packets() -> Iterator[tuple[str, bytes]]:
    yield from ((f"4-{name}", packet) for name, packet in packets4())
    yield from ((f"6-{name}", packet) for name, packet in packets6())


def controlled(number: int, packet: bytes, flags: int = FITTING, stretch: int = 0) -> bytes:
    """A packet behind a control block; the domain goes round with the number."""
    outer, inner = (0x02, 0x20) if packet[0] >> 4 == 4 else (0x20, 0x02)
    flags |= ONE_HOP * (number & 1) | (STRETCH if stretch else 0)
    return CONTROL.pack(number % 8, flags, 0, 0, outer, inner, stretch) + packet


def cases() -> Iterator[tuple[str, bytes]]:
    for number, (name, packet) in enumerate(packets()):
        yield name, controlled(number, packet)
        yield f"{name}-as-it-is", controlled(8, packet, LENGTHS | CHECKSUMS)
    large4 = bytes(IP(src=A4, dst=B4, id=5) / UDP() / b"data")
    large6 = bytes(IPv6(src=B6, dst=A6) / TCP())
    for name, packet in (("4-large", large4), ("6-large", large6)):
        for stretch in (1212, 1240, 1500, 4000):
            yield f"{name}-{stretch}", controlled(0, packet, stretch=stretch)
    hairpin = IPv6(src=B6, dst="2001:db8:64::cb00:7103")
    yield "6-hairpin", controlled(8, bytes(hairpin / UDP() / b"data"), CHECKSUMS)
    quoted = bytes(IPv6(src="2001:db8:64::cb00:7103", dst=B6) / UDP() / b"data")
    error = IPv6(src=B6, dst="2001:db8:64::cb00:7103", nh=58) / Raw(bytes((1, 4, 0, 0, 0, 0, 0, 0)) + quoted)
    yield "6-hairpin-error", controlled(8, bytes(error), CHECKSUMS)


def fast_cases() -> Iterator[tuple[str, bytes]]:
    for name, packet in packets():
        if "-tcp" in name or "-udp" in name:
            for asked, stretch in ((0, 0), (1, 0), (2, 3000), (6, 3000)):
                block = bytes((asked, 1)) + (1200).to_bytes(2, "big")
                yield f"{name}-{asked}", block + controlled(0, packet, stretch=stretch)


def worker_cases() -> Iterator[tuple[str, bytes]]:
    for number, (name, packet) in enumerate(packets()):
        block = bytes((0, number % 12, 0, number % 5, 3, 1, 4, 176))
        yield name, block + controlled(0, packet)
    packet = bytes(IP(src=A4, dst=B4) / UDP() / b"data")
    attributes = netlink.attribute(nl.NFQA_PACKET_HDR, b"\0\0\0\1\x08\0\0")
    attributes += netlink.be32(nl.NFQA_MARK, 7) + netlink.be32(nl.NFQA_CAP_LEN, 1 << 16)
    attributes += netlink.attribute(nl.NFQA_PAYLOAD, packet)
    message = netlink.message(nl.TYPE_PACKET, 0, 0, netlink.nfgenmsg(0) + attributes)
    error = netlink.message(netlink.NLMSG_ERROR, 0, 0, pack("=i", -2) + bytes(16))
    assert len(message) < nfqueue.SLOT_SIZE
    yield "messages", b"\1\0" + b"".join(len(m).to_bytes(2, "big") + m for m in (message, error, message))


def captures() -> Iterator[tuple[str, bytes]]:
    some = [bytes(IP(src=A4, dst=B4) / UDP() / b"data"), bytes(IPv6(src=B6, dst=A6) / TCP())]
    ether = [bytes(12) + pack("!H", 0x800 if p[0] >> 4 == 4 else 0x86DD) + p for p in some]
    tagged = [p[:12] + b"\x81\x00\0\x07" + p[12:] for p in ether]
    for name, link_type, frames in (("raw", 101, some), ("ether", 1, ether), ("vlan", 1, tagged)):
        file = BytesIO()
        writer = dpkt.pcap.Writer(file, linktype=link_type)
        for frame in frames:
            writer.writepkt(frame, 1700000000.5)
        yield f"pcap-{name}", file.getvalue()
        classic = file.getvalue()
    yield (
        "pcap-big-endian",
        pack(">IHHIIII", 0xA1B23C4D, 2, 4, 0, 0, 65535, 101) + pack(">IIII", 1, 2, 32, 32) + some[0],
    )
    yield "pcap-cut", classic[:-3]
    file = BytesIO()
    ng = dpkt.pcapng.Writer(file, linktype=1)
    for frame in ether:
        ng.writepkt(frame, 1700000000.5)
    yield "pcapng", file.getvalue()
    for order in "<>":
        section = pack(order + "IIIHHqI", 0x0A0D0D0A, 28, 0x1A2B3C4D, 1, 0, -1, 28)
        options = pack(order + "HHB3x", 9, 1, 9) + pack(order + "HHq", 14, 8, 5) + bytes(4)
        interface = pack(order + "IIHHI", 1, 20 + len(options), 101, 0, 65535) + options
        interface += pack(order + "I", 20 + len(options))
        data = some[0] + bytes(-len(some[0]) % 4)
        enhanced = pack(order + "IIIIIII", 6, 32 + len(data), 0, 1, 2, len(some[0]), len(some[0])) + data
        enhanced += pack(order + "I", 32 + len(data))
        simple = pack(order + "III", 3, 16 + len(data), len(some[0])) + data + pack(order + "I", 16 + len(data))
        name = "little" if order == "<" else "big"
        yield f"pcapng-{name}", section + interface + enhanced + simple


CONFIGURATION = """\
[domain.siit0]
prefix6 = "2001:db8:64::/96"
eam = [["192.0.2.128/25", "2001:db8:1::80/121"], ["192.0.2.1", "2001:db8::1"]]
pool4 = ["198.51.100.0/24"]
eam-file = "siit.eam"
denylist4 = ["10.0.0.0/8"]
address4 = "192.0.2.1"
address6 = "2001:db8::1"
rfc6791-v4 = ["203.0.113.8/32"]
rfc6791-v6 = ["2001:db8:6791::/96"]
lowest-ipv6-mtu = 1280
mtu4 = 1500
mtu6 = 1500
mtu-plateaus = [65535, 32000, 1492, 68]
udp-zero-checksum = "compute"
well-known-prefix = "lax"
hairpin = "simple"
traffic-class = 16
reverse-path = "strict"
"""


def configurations() -> Iterator[tuple[str, bytes]]:
    yield "default", DOMAIN.encode()
    yield (
        "every-key",
        CONFIGURATION.encode() + b"\x00203.0.113.0/24 2001:db8:7::/120 # comment\n203.0.114.1 2001:db8:8::\n",
    )
    yield "two-domains", b'[domain.a]\nprefix6 = "64:ff9b::/96"\n[domain.b]\neam = [["1.1.1.1", "2001:db8::1"]]\n'
    yield "wrong-key", b'[domain.siit0]\nprefix = "2001:db8:64::/96"\n'
    yield "wrong-type", b"[domain.siit0]\nmtu4 = 1.5\n"
    yield "no-toml", b"[domain.siit0\n"


def wires() -> Iterator[tuple[str, bytes]]:
    for name, options in OPTIONS.items():
        yield f"options-{name}", b"\0" + options
    for name, packet in packets6():
        yield f"chain-{name}", b"\1" + packet[4:120]
    yield "extension", b"\2" + bytes((32, 100, 0)) + bytes(128) + MPLS
    yield "extension-6", b"\2" + bytes((32, 10, 1)) + bytes(128) + MPLS
    yield "pieces", b"\3" + pack("!HHH", 1480, 1232, 0x2005)
    strings = b"\0sk_buff\0gso_size\0gso_type\0"
    types = pack("=III", 1, 4 << 24 | 2, 16) + pack("=IIIIII", 9, 0, 32, 18, 0, 64)
    header = pack("=HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(types), len(types), len(strings))
    yield "btf", b"\4" + header + types + strings
    listed = netlink.attribute(1, b"odd") + netlink.nested(2, netlink.u32(3, 4))
    refusal = netlink.message(netlink.NLMSG_ERROR, 0, 1, pack("=i", -16) + bytes(16))
    yield "answer", b"\5" + netlink.message(24, 2, 1, listed) + refusal
    yield "stamp", b"\6" + pack("!I", 0x6E6705DC)
    yield "udp", b"\7" + bytes(UDP() / b"data")


def main() -> None:
    seeds = {
        "core": cases(),
        "fast-path": fast_cases(),
        "superframe": fast_cases(),
        "worker": worker_cases(),
        "wire": wires(),
        "explain": cases(),
        "capture": captures(),
        "configuration": configurations(),
    }
    assert len(HOSTS4) == len(HOSTS6) == 16
    for target, inputs in seeds.items():
        folder = CORPUS / target
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in inputs:
            (folder / name).write_bytes(data)


if __name__ == "__main__":
    main()
