"""From the notation to octets: natural values for what is left out, checksums included; free fields as they were found.

A packet that is wanted is built around the one that was received: a free field takes the received bits, and checksums
are computed over them, so that all octets can be compared, and a free Identification still needs a right checksum.

Natural values (sent): TTL and Hop Limit 64, Identification 0x4d2, Echo: identifier the case's number, sequence 7; ports
0x4000 + case and 5001; octets of data 3, 10, 17, ... In a quote: TTL and Hop Limit 55. Wanted: TTL and Hop Limit as
they were sent less the translator's hops; Identification free, except in IPv6; DF of a quote free; of what comes from
T, N or POOL the TOS, Traffic Class, Flow Label, DF and TTL are free where not given, and the TTL of the quote is.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from nfxlat.conformance.hosts import OWN, Hosts
from nfxlat.conformance.notation import FREE, WHOLE, Layer, Packet, Value
from nfxlat.conformance.parts import (
    ECHO,
    HEADER,
    LARGEST_ERROR,
    LENGTH_UNIT,
    NUMBERS,
    PORT,
    QUOTED_HOPS,
    TO_PORT,
    WRONG,
    Net,
    number_in,
    number_of,
    octets_in,
    ones_sum,
    pattern,
)
from nfxlat.errors import OperatorError


@dataclass(slots=True)
class Builder:
    """Builds packets of one case. `received`: what a wanted packet is built around; `hop`: TTL of the outermost."""

    hosts: Hosts
    want: bool = False
    hop: int = 64
    received: bytes = b""
    names: set[str] = field(default_factory=set)  # hosts that were asked for
    _unfinished: bool = False  # the checksum is left to the device: only the pseudo-header's sum is there
    _own: bool = False  # the translator chooses the source: it may add an extension
    _span: int = 0  # octets that such an extension leaves for the quote

    def build(self, packet: Packet) -> bytes:
        """The octets. Raises OperatorError where a case says what cannot be."""
        self._own = self.want and packet[0].about[0] in OWN
        self._unfinished = "super" in packet[0].fields
        tail = octets_in(packet[-1].fields["octets"]) if packet[-1].kind == "tail" else b""
        return self._network(packet[:-1] if tail else packet, 0, 0) + tail

    # ---- fields ----------------------------------------------------------------------------------------------------

    def _pack(self, at: int, *fields: tuple[int, Value]) -> bytes:
        """Fields of (width in bits, value), from octet `at` of the packet on."""
        total, position = 0, at * 8
        for width, value in fields:
            if value == FREE:
                value = self._found(position, width)
            if not isinstance(value, int) or value >> width:
                raise OperatorError(f"{value!r} does not fit {width} bits")
            total, position = total << width | value, position + width
        return total.to_bytes((position - at * 8) // 8, "big")

    def _found(self, position: int, width: int) -> int:
        if position + width > len(self.received) * 8:
            return 0
        behind = len(self.received) * 8 - position - width
        return int.from_bytes(self.received, "big") >> behind & ((1 << width) - 1)

    def _ends(self, layer: Layer, at: int, family: int) -> bytes:
        """Both addresses, the first of which stands at octet `at`."""
        size = 4 if family == 4 else 16
        octets = b""
        for name in layer.about:
            found = self.received[at : at + size]
            if name == FREE or name in OWN:
                whole = found if len(found) == size else None
                octets += (whole or bytes(size)) if name == FREE else self.hosts.may_be(name, family, whole)
            else:
                self.names.add(name)
                octets += self.hosts.address(name, family)
            at += size
        return octets

    def _sum(self, layer: Layer, at: int, octets: bytes, pseudo: bytes = b"", *, udp: bool = False) -> bytes:
        """The checksum of `octets`, whose own field is zero."""
        given = layer.fields.get("sum")
        if self._unfinished and layer.kind in ("tcp", "udp"):
            return ones_sum(pseudo).to_bytes(2, "big")
        if isinstance(given, int):
            return given.to_bytes(2, "big")
        if given == FREE:
            return self._found(at * 8, 16).to_bytes(2, "big")
        value = 0xFFFF - ones_sum(pseudo + octets)
        if given == "wrong":
            value = 0xFFFF - ones_sum((0xFFFF - value).to_bytes(2, "big") + WRONG.to_bytes(2, "big"))
        return (0xFFFF if udp and not value else value).to_bytes(2, "big")

    # ---- headers ---------------------------------------------------------------------------------------------------

    def _network(self, layers: Packet, at: int, depth: int) -> bytes:
        return (self._ip if layers[0].kind == "ip" else self._ip6)(layers, at, depth)

    def _defaults(self, layer: Layer, depth: int, *names: str) -> tuple[Value, ...]:
        """TOS and its like, and TTL, where not given."""
        free = self._own and not depth
        hop: Value = FREE if self._own else QUOTED_HOPS if depth else self.hop
        *classes, hops = names
        return (*(layer.fields.get(name, FREE if free else 0) for name in classes), layer.fields.get(hops, hop))

    def _ip(self, layers: Packet, at: int, depth: int) -> bytes:
        layer, f = layers[0], layers[0].fields
        options = octets_in(f.get("opt", b""))
        options += bytes(-len(options) % 4)
        size = 20 + len(options)
        addresses = self._ends(layer, at + 12, 4)
        payload, offset, more = self._carried(layers, at + size, depth, Net(4, addresses, layer.about), "mf")
        tos, ttl = self._defaults(layer, depth, "tos", "ttl")
        free_df = FREE if self.want and (depth or self._own) else 0
        header = self._pack(
            at,
            (4, f.get("version", 4)),
            (4, f.get("ihl", size // 4)),
            (8, tos),
            (16, f.get("len", size + len(payload))),
            (16, f.get("id", FREE if self.want else 0x4D2)),
            (1, f.get("res", 0)),
            (1, f.get("df", free_df)),
            (1, more),
            (13, offset),
            (8, ttl),
            (8, f.get("proto", number_of(layers[1:]))),
            (16, 0),
        )
        header += addresses + options
        checksum = self._sum(layer, at + 10, header)
        return header[:10] + checksum + header[12:] + payload

    def _ip6(self, layers: Packet, at: int, depth: int) -> bytes:
        layer, f = layers[0], layers[0].fields
        addresses = self._ends(layer, at + 8, 6)
        payload = self._chain(layers[1:], at + 40, depth, Net(6, addresses, layer.about))
        tclass, flow, hlim = self._defaults(layer, depth, "tclass", "flow", "hlim")
        header = self._pack(
            at,
            (4, f.get("version", 6)),
            (8, tclass),
            (20, flow),
            (16, f.get("len", len(payload))),
            (8, f.get("next", number_of(layers[1:]))),
            (8, hlim),
        )
        return header + addresses + payload

    def _carried(self, layers: Packet, at: int, depth: int, net: Net, flag: str) -> tuple[bytes, Value, Value]:
        """(data, offset in 8 octets, more fragments) of layers[0], which may be a fragment."""
        f = layers[0].fields
        part = f.get("part")
        start, end = part[:2] if isinstance(part, tuple) else (0, WHOLE)
        payload = self._chain(layers[1:], at - start, depth, net)
        offset, more = f.get("off", start // 8), f.get(flag, int(end < len(payload)))
        return payload[start:end], offset, more

    def _chain(self, layers: Packet, at: int, depth: int, net: Net) -> bytes:
        """What stands behind an IP header."""
        if not layers:
            return b""
        layer, kind, f = layers[0], layers[0].kind, layers[0].fields
        if kind in ("ip", "ip6"):
            return self._network(layers, at, depth + 1)
        if kind in ("hbh", "dstopt", "rt"):
            return self._extension(layers, at, depth, net)
        if kind == "frag":
            payload, offset, more = self._carried(layers, at + 8, depth, net, "more")
            header = self._pack(
                at,
                (8, f.get("next", number_of(layers[1:]))),
                (8, f.get("res", 0)),
                (13, offset),
                (2, f.get("res2", 0)),
                (1, more),
                (32, f.get("id", 0x4D2)),
            )
            return header + payload
        if kind == "quote":
            quote = self._quote(layer, at, depth, net.family)
            return quote + self._chain(layers[1:], at + len(quote), depth, net)
        if kind == "obj":
            return self._extension_structure(layers, at)
        if kind == "data":
            octets = pattern(number_in(f["size"]), number_in(f.get("from", 0)))
            return octets + self._chain(layers[1:], at + len(octets), depth, net)
        if kind == "fit":
            return b"\0\0"
        if kind == "hex":
            octets = octets_in(f["octets"])
            return octets + self._chain(layers[1:], at + len(octets), depth, net)
        return self._transport(layers, at, depth, net)

    def _extension(self, layers: Packet, at: int, depth: int, net: Net) -> bytes:
        """Hop-by-Hop, Destination Options (padded by PadN), Routing."""
        layer, f = layers[0], layers[0].fields
        if layer.kind == "rt":
            body = self._pack(at + 2, (8, f.get("type", 0)), (8, f.get("left", 0))) + octets_in(f.get("body", bytes(4)))
        else:
            body = octets_in(f.get("opt", b""))
            missing = -(len(body) + 2) % 8 or (8 if not body else 0)
            body += b"\0" if missing == 1 else bytes((1, missing - 2)) + bytes(missing - 2) if missing else b""
        length = f.get("len", (len(body) + 2) // 8 - 1)
        head = self._pack(at, (8, f.get("next", number_of(layers[1:]))), (8, length))
        return head + body + self._chain(layers[1:], at + 2 + len(body), depth, net)

    def _quote(self, layer: Layer, at: int, depth: int, family: int) -> bytes:
        quote = self._network(layer.inner, at, depth + 1)
        cut, pad = layer.fields.get("cut"), number_in(layer.fields.get("pad", 0))
        if cut == FREE:  # RFC 792, RFC 1812 4.3.2.3: its header and eight octets at least, as much as fits at most
            least = HEADER[4 if layer.inner[0].kind == "ip" else 6] + 8
            cut = self._span or max(least, min(len(self.received), LARGEST_ERROR[family]) - at)
        if isinstance(cut, int):
            quote = quote[:cut]
        return quote.ljust(max(pad, self._span), b"\0")

    def _extension_structure(self, layers: Packet, at: int) -> bytes:
        """RFC 4884 7: the header, and all objects."""
        objects = b""
        for layer in layers:
            data = octets_in(layer.fields.get("data", b""))
            if "node" in layer.fields:  # draft-ietf-intarea-extended-icmp-nodeid: AFI 2, reserved, the address
                name = str(layer.fields["node"])
                self.names.add(name)
                data = bytes((0, 2, 0, 0)) + self.hosts.address(name, 6)
            about = (int(part) for part in layer.about)
            objects += (len(data) + 4).to_bytes(2, "big") + bytes(about) + data
        structure = b"\x20\0\0\0" + objects
        return structure[:2] + self._sum(layers[0], at + 2, structure) + structure[4:]

    # ---- transport -------------------------------------------------------------------------------------------------

    def _transport(self, layers: Packet, at: int, depth: int, net: Net) -> bytes:
        layer, kind, f = layers[0], layers[0].kind, layers[0].fields
        if kind in ("icmp", "icmp6"):
            return self._icmp(layers, at, depth, net)
        options = octets_in(f.get("opt", b"")) if kind == "tcp" else b""
        size = {"udp": 8, "udplite": 8, "tcp": 20 + len(options), "dccp": 16}[kind]
        payload = self._chain(layers[1:], at + size, depth, net)
        length = size + len(payload)
        sport, dport = (int(p) for p in layer.about) if layer.about else (PORT + self.hosts.number, TO_PORT)
        ports = self._pack(at, (16, sport), (16, dport))
        covered, field_at = length, 6
        if kind == "udp":
            head = ports + self._pack(at + 4, (16, f.get("len", length)), (16, 0))
        elif kind == "udplite":
            coverage = number_in(f.get("cov", 0))
            covered = coverage or length
            head = ports + self._pack(at + 4, (16, coverage), (16, 0))
        elif kind == "dccp":  # RFC 4340 5.1: a Request of a long sequence number, all of which is covered
            head = ports + bytes((size // 4, 0, 0, 0, 1, 0)) + bytes((0, 0, 0, 0, 0, 9))
        else:
            field_at = 16
            head = ports + self._pack(
                at + 4,
                (32, f.get("seq", 1000)),
                (32, f.get("ack", 0)),
                (4, size // 4),
                (12, f.get("flags", 0x10)),
                (16, f.get("win", 0xFAF0)),
                (16, 0),
                (16, f.get("urg", 0)),
            )
            head += options
        segment = head + payload
        if layers[-1].kind == "fit":
            segment = segment[:-2] + self._fit(segment, NUMBERS[kind], net.names)
        pseudo = net.pseudo(length, NUMBERS[kind])
        checksum = self._sum(layer, at + field_at, segment[:covered], pseudo, udp=kind in ("udp", "udplite"))
        return segment[:field_at] + checksum + segment[field_at + 2 :]

    def _fit(self, segment: bytes, number: int, names: tuple[str, ...]) -> bytes:
        """The last two octets of a segment of even length whose checksum comes to 0 between these hosts in IPv6."""
        addresses = b"".join(self.hosts.address(name, 6) for name in names)
        pseudo = Net(6, addresses, names).pseudo(len(segment), number)
        return (0xFFFF - ones_sum(pseudo + segment)).to_bytes(2, "big")

    def _icmp(self, layers: Packet, at: int, depth: int, net: Net) -> bytes:
        layer, kind, f = layers[0], layers[0].kind, layers[0].fields
        icmp_type = int(layer.about[0])
        code = self._found((at + 1) * 8, 8) if layer.about[1] == FREE else int(layer.about[1])
        length, extension = self._free_extension(layer, at) if self._own and not depth else (0, b"")
        body = self._chain(layers[1:], at + 8, depth, net) + extension
        f = {"len": length, **f} if length else f
        rest: tuple[tuple[int, Value], ...]
        if "rest" in f:
            rest = ((32, int.from_bytes(octets_in(f["rest"]), "big")),)
        elif icmp_type in ECHO[kind] or "id" in f:
            rest = ((16, f.get("id", self.hosts.number)), (16, f.get("seq", 7)))
        elif kind == "icmp":
            rest = ((8, f.get("ptr", 0)), (8, f.get("len", 0)), (16, f.get("mtu", 0)))
        elif icmp_type in (2, 4):
            rest = ((32, f.get("mtu", f.get("ptr", 0))),)
        else:
            rest = ((8, f.get("len", 0)), (24, 0))
        message = bytes((icmp_type, code, 0, 0)) + self._pack(at + 4, *rest) + body
        pseudo = net.pseudo(len(message), NUMBERS[kind]) if kind == "icmp6" else b""
        return message[:2] + self._sum(layer, at + 2, message, pseudo) + message[4:]

    def _free_extension(self, layer: Layer, at: int) -> tuple[int, bytes]:
        """Length attribute and extension that the translator has put into an error of its own (RFC 4884 7): as found,
        if it is whole and its checksum right; (0, b"") without one."""
        kind, icmp_type = layer.kind, int(layer.about[0])
        self._span = 0
        if icmp_type not in LENGTH_UNIT[kind] or "len" in layer.fields:
            return 0, b""
        place, unit = LENGTH_UNIT[kind][icmp_type]
        length = self._found((at + place) * 8, 8)
        extension = self.received[at + 8 + length * unit :]
        if not length or extension[:1] != b"\x20" or ones_sum(extension) != 0xFFFF:
            return 0, b""
        self._span = length * unit
        return length, extension
