"""Where members of the kernel's structures lie, read from its type information (BTF; Documentation/bpf/btf.rst).

header: | magic u16 | version u8 | flags u8 | hdr_len | type_off | type_len | str_off | str_len |   u32 each
type:   | name_off u32 | info u32: kind_flag 31, kind 28-24, vlen 15-0 | size or type u32 | what the kind adds |
member: | name_off u32 | type u32 | offset u32: bits; with kind_flag only 23-0, 31-24 are a bit-field's width |
"""

import struct
import sys
from collections.abc import Iterator, Sequence
from typing import NamedTuple

MAGIC = 0xEB9F
_STRUCT, _UNION = 4, 5
_DEEP = 8  # structures within each other
# kind: (octets it adds, octets it adds for each of vlen)
_ADDED = {
    1: (4, 0),  # INT
    2: (0, 0),  # PTR
    3: (12, 0),  # ARRAY
    4: (0, 12),  # STRUCT
    5: (0, 12),  # UNION
    6: (0, 8),  # ENUM
    7: (0, 0),  # FWD
    8: (0, 0),  # TYPEDEF
    9: (0, 0),  # VOLATILE
    10: (0, 0),  # CONST
    11: (0, 0),  # RESTRICT
    12: (0, 0),  # FUNC
    13: (0, 8),  # FUNC_PROTO
    14: (4, 0),  # VAR
    15: (0, 12),  # DATASEC
    16: (0, 0),  # FLOAT
    17: (4, 0),  # DECL_TAG
    18: (0, 0),  # TYPE_TAG
    19: (0, 12),  # ENUM64
}

_HEADER = struct.Struct("=HBBIIIII")
_TYPE = struct.Struct("=III")


class Place(NamedTuple):
    """`octet` from the start of the structure; a bit-field lies `shift` bits right of the highest that make it up."""

    octet: int
    shift: int


def member_places(btf: bytes, structure: str, members: Sequence[str]) -> tuple[Place, ...] | None:
    """Where the `members` of `struct structure` lie, those of unnamed structures inside it too; None where `btf` does
    not tell. Of a bit-field that goes over the end of an octet only the first one is told."""
    try:
        magic, _, _, header, type_offset, type_length, str_offset, str_length = _HEADER.unpack_from(btf)
    except struct.error:
        return None
    if magic != MAGIC:
        return None
    strings = btf[header + str_offset : header + str_offset + str_length]
    wanted = strings.find(b"\0" + structure.encode() + b"\0") + 1
    types = _Types(btf[header + type_offset : header + type_offset + type_length], strings)
    if not wanted or (number := types.number(wanted)) is None:
        return None
    found = dict(types.members(number, 0, set()))
    return tuple(found[name] for name in members) if all(name in found for name in members) else None


class _Types:
    """All types, by number; the first is 1. Reading ends at what is not understood."""

    def __init__(self, octets: bytes, strings: bytes) -> None:
        self._octets, self._strings = octets, strings
        self._starts = [0]  # of 0, which is no type
        self._structures: dict[int, int] = {}  # by name
        at = 0
        while at + _TYPE.size <= len(octets):
            name, info, _ = _TYPE.unpack_from(octets, at)
            kind = info >> 24 & 31
            if kind not in _ADDED:
                break
            fixed, each = _ADDED[kind]
            end = at + _TYPE.size + fixed + each * (info & 0xFFFF)
            if end > len(octets):
                break
            if kind == _STRUCT:
                self._structures.setdefault(name, len(self._starts))
            self._starts.append(at)
            at = end

    def number(self, name: int) -> int | None:
        return self._structures.get(name)

    def members(self, number: int, base: int, above: set[int]) -> Iterator[tuple[str, Place]]:
        """Name and place of each, `base` bits being those in front of the structure; `above`: those around it."""
        if not 0 < number < len(self._starts) or number in above or len(above) > _DEEP:
            return
        start = self._starts[number]
        _, info, _ = _TYPE.unpack_from(self._octets, start)
        if info >> 24 & 31 not in (_STRUCT, _UNION):
            return
        with_widths = info >> 31
        first = start + _TYPE.size
        for name, kind, offset in _TYPE.iter_unpack(self._octets[first : first + _TYPE.size * (info & 0xFFFF)]):
            width = offset >> 24 if with_widths else 0
            bits = base + (offset & 0xFFFFFF if with_widths else offset)
            if name:
                text = self._strings[name : self._strings.find(b"\0", name)].decode(errors="replace")
                yield text, Place(bits // 8, _shift(bits & 7, width))
            else:
                yield from self.members(kind, bits, above | {number})


def _shift(bit: int, width: int, order: str = sys.byteorder) -> int:
    """Bits are counted from the lowest of an octet, or from the highest on big-endian machines."""
    return bit if order == "little" or not width else 8 - width - bit
