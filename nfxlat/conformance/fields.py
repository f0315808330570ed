"""What octets say, field by field, and where two packets differ.

Reads any octets, as far as they go: what comes out of a translator under test may be anything.
"""

from __future__ import annotations

import itertools
import socket
from collections.abc import Iterable, Iterator
from typing import Final

Field = tuple[str, str]  # name with its layer, value

_EXTENSIONS: Final = {0: "hbh", 43: "rt", 60: "dstopt"}
_PORTS: Final = (("sport", 0, 2), ("dport", 2, 2))
_TCP: Final = (("seq", 4, 4), ("ack", 8, 4), ("flags", 12, 2), ("win", 14, 2), ("sum", 16, 2), ("urg", 18, 2))
_TRANSPORT: Final = {
    6: (*_PORTS, *_TCP),
    17: (*_PORTS, ("len", 4, 2), ("sum", 6, 2)),
    33: (*_PORTS, ("cov", 5, 1), ("sum", 6, 2)),
    136: (*_PORTS, ("cov", 4, 2), ("sum", 6, 2)),
}
_NAMES: Final = {6: "tcp", 17: "udp", 33: "dccp", 136: "udplite"}
_QUOTING: Final = {1: (3, 4, 5, 11, 12), 58: (1, 2, 3, 4)}
_SHOWN = 12  # octets of data

# RFC 7915, by family of what came out: what a field must be, whatever else a case is about
_CLAUSES: Final[dict[int, dict[str, str]]] = {
    4: {"ip.df": "5, 5.1", "ip.id": "5.1, 5.1.1", "ip.src": "5.1, 6", "ip.dst": "5.1, 6", "ip": "5.1", "quote": "5.3"},
    6: {"ip6.src": "4.1, 6", "ip6.dst": "4.1, 6", "ip6": "4.1", "frag": "4.1", "quote": "4.3"},
}


def named_in(lines: Iterable[str]) -> set[str]:
    """The fields that lines of `differences` are about, without checksums, which follow from others."""
    names = {line.split(maxsplit=1)[0].rstrip(":") for line in lines}
    return {name for name in names if not name.endswith(".sum")} or names


def fields_of(packet: bytes) -> list[Field]:
    """All fields of a packet, in order; the last are its data."""
    return list(_packet(packet, ""))


def differences(wanted: bytes, found: bytes) -> list[str]:
    """One line for each field that is not what it should be."""
    lines = []
    left, right = dict(fields_of(wanted)), dict(fields_of(found))
    for name in dict.fromkeys((*left, *right)):
        if left.get(name) != right.get(name):
            clauses = _CLAUSES[4 if wanted[0] >> 4 == 4 else 6]
            clause = clauses.get(name) or clauses.get(name.partition(".")[0])
            where = f" (RFC 7915 {clause})" if clause else ""
            lines.append(_line(name, left.get(name), right.get(name)) + where)
    if not lines and wanted != found:
        lines.append(f"{len(wanted)} octets wanted, {len(found)} came")
    return lines


def _line(name: str, wanted: str | None, found: str | None) -> str:
    if found is None:
        return f"{name} missing, {wanted} wanted"
    if wanted is None:
        return f"{name} {found}, none wanted"
    if name.endswith("data"):
        ours, theirs = bytes.fromhex(wanted), bytes.fromhex(found)
        at = next(
            (i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs))
        )
        if ours[at:] == b"" or theirs[at:] == b"":
            return f"{name}: {len(theirs)} octets, {len(ours)} wanted"
        there = f"{theirs[at : at + _SHOWN].hex()} from octet {at} on, {ours[at : at + _SHOWN].hex()} wanted"
        return f"{name}: {there}" + ("" if len(ours) == len(theirs) else f"; {len(theirs)} octets, {len(ours)} wanted")
    return f"{name} {found}, {wanted} wanted"


def _number(octets: bytes) -> int:
    return int.from_bytes(octets, "big")


def _packet(octets: bytes, before: str) -> Iterator[Field]:
    version = octets[0] >> 4 if octets else 0
    if version == 4 and len(octets) >= 20:
        yield from _ip(octets, before)
    elif version == 6 and len(octets) >= 40:
        yield from _ip6(octets, before)
    else:
        yield f"{before}data", octets.hex()


def _ip(octets: bytes, before: str) -> Iterator[Field]:
    word = _number(octets[6:8])
    size = max(20, (octets[0] & 15) * 4)
    values = {
        "ihl": octets[0] & 15,
        "tos": f"{octets[1]:#04x}",
        "len": _number(octets[2:4]),
        "id": f"{_number(octets[4:6]):#06x}",
        "res": word >> 15,
        "df": word >> 14 & 1,
        "mf": word >> 13 & 1,
        "off": word & 0x1FFF,
        "ttl": octets[8],
        "proto": octets[9],
        "sum": f"{_number(octets[10:12]):#06x}",
        "src": socket.inet_ntop(socket.AF_INET, octets[12:16]),
        "dst": socket.inet_ntop(socket.AF_INET, octets[16:20]),
    }
    for name, value in values.items():
        yield f"{before}ip.{name}", str(value)
    if size > 20:
        yield f"{before}ip.opt", octets[20:size].hex()
    yield from _payload(octets[9], octets[size:], before, bool(word & 0x1FFF))


def _ip6(octets: bytes, before: str) -> Iterator[Field]:
    values = {
        "tclass": f"{_number(octets[0:2]) >> 4 & 0xFF:#04x}",
        "flow": f"{_number(octets[0:4]) & 0xFFFFF:#07x}",
        "len": _number(octets[4:6]),
        "next": octets[6],
        "hlim": octets[7],
        "src": socket.inet_ntop(socket.AF_INET6, octets[8:24]),
        "dst": socket.inet_ntop(socket.AF_INET6, octets[24:40]),
    }
    for name, value in values.items():
        yield f"{before}ip6.{name}", str(value)
    number, at, later = octets[6], 40, False
    while number in (*_EXTENSIONS, 44) and len(octets) >= at + 8:
        if number == 44:
            word = _number(octets[at + 2 : at + 4])
            later = later or bool(word >> 3)
            yield f"{before}frag.next", str(octets[at])
            yield f"{before}frag.off", str(word >> 3)
            yield f"{before}frag.more", str(word & 1)
            yield f"{before}frag.id", f"{_number(octets[at + 4 : at + 8]):#x}"
            yield f"{before}frag.res", f"{octets[at + 1]}.{word >> 1 & 3}"
            size = 8
        else:
            size = (octets[at + 1] + 1) * 8
            yield f"{before}{_EXTENSIONS[number]}", octets[at : at + size].hex()
        number, at = octets[at], at + size
    yield from _payload(number, octets[at:], before, later)


def _payload(number: int, octets: bytes, before: str, later: bool) -> Iterator[Field]:
    if later:
        yield f"{before}data", octets.hex()
    elif number in (1, 58) and len(octets) >= 8:
        yield from _icmp(number, octets, before)
    elif number in _TRANSPORT:
        name, rest = _NAMES[number], 0
        for label, at, size in _TRANSPORT[number]:
            value = octets[at : at + size]
            if len(value) == size:
                shown = f"{_number(value):#06x}" if label in ("sum", "flags") else str(_number(value))
                yield f"{before}{name}.{label}", shown
                rest = at + size
        if number == 33:
            yield f"{before}{name}.head", octets[4:5].hex() + octets[8:16].hex()
            rest = 16
        yield f"{before}data", octets[rest:].hex()
    else:
        yield f"{before}data", octets.hex()


def _icmp(number: int, octets: bytes, before: str) -> Iterator[Field]:
    name = f"{before}{'icmp' if number == 1 else 'icmp6'}"
    yield f"{name}.type/code", f"{octets[0]}/{octets[1]}"
    quotes = octets[0] in _QUOTING[number]
    length = 0
    if quotes and number == 1:
        yield f"{name}.ptr", str(octets[4])
        yield f"{name}.len", str(octets[5])
        yield f"{name}.mtu", str(_number(octets[6:8]))
        length = octets[5] * 4
    elif quotes and octets[0] in (2, 4):
        yield f"{name}.{'mtu' if octets[0] == 2 else 'ptr'}", str(_number(octets[4:8]))
    elif quotes:
        yield f"{name}.len", str(octets[4])
        yield f"{name}.unused", octets[5:8].hex()
        length = octets[4] * 8
    else:
        yield f"{name}.id", str(_number(octets[4:6]))
        yield f"{name}.seq", str(_number(octets[6:8]))
    yield f"{name}.sum", f"{_number(octets[2:4]):#06x}"
    body = octets[8:]
    if not quotes or before.count("quote.") > 1:
        yield f"{before}data", body.hex()
        return
    extension = body[length:] if 0 < length < len(body) else b""
    yield from _packet(body[: len(body) - len(extension)], f"{before}quote.")
    if extension:
        yield from _extension(extension, f"{before}ext")


def _extension(octets: bytes, name: str) -> Iterator[Field]:
    """RFC 4884 7."""
    yield f"{name}.version", octets[:2].hex()
    yield f"{name}.sum", octets[2:4].hex()
    at = 4
    for count in itertools.count(1):
        size = _number(octets[at : at + 2])
        if size < 4 or at + 4 > len(octets):
            break
        value = f"{octets[at + 2]}/{octets[at + 3]} {octets[at + 4 : at + size].hex()}"
        yield f"{name}.obj{count}", value
        at += size
    if octets[at:]:
        yield f"{name}.rest", octets[at:].hex()
