"""The stamp's value, and BTF of a kernel of our own making."""

import struct
import sys

import pytest

from nfxlat.wire import btf as btf_module
from nfxlat.wire.btf import Place, member_places
from nfxlat.wire.stamp import gso_size_of, is_udp, number_of


@pytest.mark.parametrize(
    ("priority", "size", "udp"),
    [
        (0, 0, False),
        (6, 0, False),  # TC_PRIO_INTERACTIVE
        (1448, 0, False),  # no stamp, whatever it looks like
        (0x0001_0003, 0, False),  # class 1:3
        (0x6E66_05A8, 1448, False),
        (0x6E67_05A8, 1448, True),
        (0x6E67_0000, 0, True),  # a single datagram
        (0x6E66_0000, 0, False),
        (0x6E66_FFFF, 0, False),  # GSO_BY_FRAGS
        (0x6E64_05A8, 0, False),  # a number
        (0x6E65_05A8, 0, True),
        (0x6E68_05A8, 0, False),
        (0x6E67_8000, 32768, True),
        (0xFFFF_FFFF, 0, False),
    ],
)
def test_gso_size_is_told_from_other_priorities(priority: int, size: int, udp: bool) -> None:
    assert gso_size_of(priority) == size
    assert is_udp(priority) == udp


@pytest.mark.parametrize(
    ("priority", "number"),
    [(0, -1), (1, -1), (0x6E64_0001, 1), (0x6E65_0000, 0), (0xFE65_FFFF, 0xFFFF), (0x6E66_0001, -1), (0x6E67_FFFF, -1)],
)
def test_a_number_is_no_gso_size(priority: int, number: int) -> None:
    assert number_of(priority) == number


STRINGS = b"\0int\0thing\0head\0end\0flags\0thin\0"
INT, THING, HEAD, END, FLAGS = (
    STRINGS.index(b"\0" + name + b"\0") + 1 for name in (b"int", b"thing", b"head", b"end", b"flags")
)


def record(name: int, kind: int, count: int, *words: int, flag: int = 0) -> bytes:
    return struct.pack(f"={3 + len(words)}I", name, flag << 31 | kind << 24 | count, 8, *words)


def btf(*records: bytes) -> bytes:
    types = b"".join(records)
    return struct.pack("=HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(types), len(types), len(STRINGS)) + types + STRINGS


STRUCT = record(THING, 4, 3, HEAD, 1, 192 * 8, FLAGS, 1, 3 << 24 | 42, END, 1, 188 * 8, flag=1)
# one of each kind, with what it adds
BEFORE = [
    record(INT, 1, 0, 0),
    record(0, 2, 0),
    record(0, 3, 0, 1, 1, 4),
    record(0, 5, 2, HEAD, 1, 0, END, 1, 0),
    record(0, 6, 2, HEAD, 0, END, 1),
    *(record(THING, kind, 0) for kind in (7, 8, 9, 10, 11, 12, 16, 18)),  # names of other kinds do not count
    record(0, 13, 2, HEAD, 1, END, 1),
    record(0, 14, 0, 0),
    record(0, 15, 1, 1, 0, 4),
    record(0, 17, 0, 0),
    record(0, 19, 1, HEAD, 0, 0),
]


def test_members_are_found_behind_every_kind_of_type() -> None:
    wanted = Place(192, 0), Place(188, 0)
    assert member_places(btf(*BEFORE, STRUCT), "thing", ("head", "end")) == wanted
    assert member_places(btf(STRUCT, *BEFORE), "thing", ("end",)) == wanted[1:]


def test_a_bit_field_is_found_by_its_octet_and_the_bits_beside_it() -> None:
    """Of 3 bits from bit 42 on: counted from the lowest of the octet, or from the highest."""
    place = (Place(5, 2 if sys.byteorder == "little" else 3),)
    assert member_places(btf(*BEFORE, STRUCT), "thing", ("flags",)) == place
    assert (btf_module._shift(2, 3, "little"), btf_module._shift(2, 3, "big"), btf_module._shift(2, 0, "big")) == (
        2,
        3,
        2,
    )


def test_members_of_unnamed_structures_and_unions_are_members() -> None:
    inner = record(0, 4, 2, FLAGS, 1, 16, END, 1, 32)
    union = record(0, 5, 1, 0, 1, 8)  # of type 1 alone
    outer = record(THING, 4, 3, HEAD, 9, 0, 0, 2, 64 * 8, 0, 4, 0)  # ... and one that is an INT
    data = btf(inner, union, outer, record(INT, 1, 0, 0))
    assert member_places(data, "thing", ("head", "flags", "end")) == (Place(0, 0), Place(67, 0), Place(69, 0))


def test_a_structure_that_is_said_to_contain_itself_is_read_to_its_end() -> None:
    data = btf(record(THING, 4, 3, 0, 1, 0, 0, 99, 0, HEAD, 1, 8))
    assert member_places(data, "thing", ("head",)) == (Place(1, 0),)


@pytest.mark.parametrize(
    ("data", "structure", "members"),
    [
        (btf(*BEFORE, STRUCT), "other", ("head",)),
        (btf(*BEFORE, STRUCT), "thin", ("head",)),  # the string exists, the structure does not
        (btf(*BEFORE, STRUCT), "thing", ("head", "tail")),
        (btf(STRUCT)[:70] + bytes(20), "thing", ("head",)),  # types that end within one
        (struct.pack("=HBBIIIII", 0xEB9F, 1, 0, 24, 0, 40, 48, len(STRINGS)) + STRUCT + STRINGS, "thing", ("head",)),
        (btf(record(0, 20, 0), STRUCT), "thing", ("head",)),  # a kind of the future
        (btf(*BEFORE), "thing", ("head",)),
        (btf(STRUCT)[:40], "thing", ("head",)),
        (b"\x9f\xeb", "thing", ("head",)),
        (b"\xeb\x9f" + btf(STRUCT)[2:], "thing", ("head",)),  # of the other byte order
    ],
)
def test_what_btf_does_not_tell_is_none(data: bytes, structure: str, members: tuple[str, ...]) -> None:
    assert member_places(data, structure, members) is None
