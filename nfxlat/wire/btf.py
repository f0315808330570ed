"""Where members of the kernel's structures lie, read from its type information (BTF; Documentation/bpf/btf.rst).

header: | magic u16 | version u8 | flags u8 | hdr_len | type_off | type_len | str_off | str_len |   u32 each
type:   | name_off u32 | info u32: kind_flag 31, kind 28-24, vlen 15-0 | size or type u32 | what the kind adds |
member: | name_off u32 | type u32 | offset u32, in bits |
"""

import struct
from collections.abc import Sequence

MAGIC = 0xEB9F
_STRUCT = 4
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


def member_offsets(btf: bytes, structure: str, members: Sequence[str]) -> tuple[int, ...] | None:
    """Octets from the start of `struct structure` to each of its own `members`; None where `btf` does not tell.

    Members of unnamed structures inside it are not looked for, nor bit-fields.
    """
    try:
        magic, _, _, header, type_offset, type_length, str_offset, str_length = _HEADER.unpack_from(btf)
    except struct.error:
        return None
    if magic != MAGIC:
        return None
    strings = btf[header + str_offset : header + str_offset + str_length]
    wanted = strings.find(b"\0" + structure.encode() + b"\0") + 1
    at, end = header + type_offset, header + type_offset + type_length
    while wanted and at + _TYPE.size <= end <= len(btf):
        name, info, _ = _TYPE.unpack_from(btf, at)
        kind, count = info >> 24 & 31, info & 0xFFFF
        if kind not in _ADDED:
            return None
        at += _TYPE.size
        fixed, each = _ADDED[kind]
        if kind == _STRUCT and name == wanted:
            return _members(btf[at : at + each * count], strings, members) if at + each * count <= end else None
        at += fixed + each * count
    return None


def _members(described: bytes, strings: bytes, wanted: Sequence[str]) -> tuple[int, ...] | None:
    found = {}
    for name, _, bits in _TYPE.iter_unpack(described):
        if bits & 7 == 0 and not bits >> 24:  # the high octet is a bit-field's width
            found[strings[name : strings.find(b"\0", name)]] = bits // 8
    names = [name.encode() for name in wanted]
    return tuple(found[name] for name in names) if all(name in found for name in names) else None
