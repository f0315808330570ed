"""The stamp's value, eBPF instructions as octets, and BTF of a kernel of our own making."""

import struct

import pytest

from nfxlat.wire import bpf
from nfxlat.wire.btf import member_offsets
from nfxlat.wire.stamp import gso_size_of, is_udp


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
        (0x6E65_05A8, 0, False),
        (0x6E68_05A8, 0, False),
        (0x6E67_8000, 32768, True),
        (0xFFFF_FFFF, 0, False),
    ],
)
def test_gso_size_is_told_from_other_priorities(priority: int, size: int, udp: bool) -> None:
    assert gso_size_of(priority) == size
    assert is_udp(priority) == udp


def test_instructions_are_laid_out_as_the_rfc_draws_them() -> None:
    """Opcodes of RFC 9669 section 3, 4 and 5."""
    assert bpf.assemble(bpf.load(bpf.R7, bpf.R6, 176)) == struct.pack("=BBhi", 0x61, 0x67, 176, 0)
    assert bpf.assemble(bpf.load(bpf.R3, bpf.R10, -8, bpf.DW)) == struct.pack("=BBhi", 0x79, 0xA3, -8, 0)
    assert bpf.assemble(bpf.store(bpf.R6, 32, bpf.R7)) == struct.pack("=BBhi", 0x63, 0x76, 32, 0)
    assert bpf.assemble(bpf.move(bpf.R6, bpf.R1)) == struct.pack("=BBhi", 0xBF, 0x16, 0, 0)
    assert bpf.assemble(bpf.add(bpf.R3, bpf.R1)) == struct.pack("=BBhi", 0x0F, 0x13, 0, 0)
    assert bpf.assemble(bpf.add_value(bpf.R1, -8)) == struct.pack("=BBhi", 0x07, 0x01, 0, -8)
    assert bpf.assemble(bpf.move_value(bpf.R0, -1), bpf.EXIT) == struct.pack("=BBhiQ", 0xB7, 0, 0, -1, 0x95)
    assert bpf.assemble(bpf.or_value(bpf.R7, 1), bpf.and_value(bpf.R1, -3)) == struct.pack(
        "=BBhiBBhi", 0x47, 7, 0, 1, 0x57, 1, 0, -3
    )
    assert bpf.assemble(bpf.call(113)) == struct.pack("=BBhi", 0x85, 0, 0, 113)


def test_jumps_count_the_instructions_between_them_and_their_label() -> None:
    program = bpf.assemble(
        bpf.jump_if(bpf.R1, 8, "end"), "next", bpf.jump_unless(bpf.R1, 9, "end"), bpf.move_value(0, 0), "end", bpf.EXIT
    )
    assert len(program) == 4 * 8
    assert struct.unpack_from("=BBhi", program, 0) == (0x15, 1, 2, 8)
    assert struct.unpack_from("=BBhi", program, 8) == (0x55, 1, 1, 9)


def test_a_jump_to_an_unknown_label_is_a_bug() -> None:
    with pytest.raises(KeyError):
        bpf.assemble(bpf.jump_if(bpf.R1, 0, "nowhere"), bpf.EXIT)


STRINGS = b"\0int\0thing\0head\0end\0flags\0thin\0"
INT, THING, HEAD, END, FLAGS = (
    STRINGS.index(b"\0" + name + b"\0") + 1 for name in (b"int", b"thing", b"head", b"end", b"flags")
)


def record(name: int, kind: int, count: int, *words: int, flag: int = 0) -> bytes:
    return struct.pack(f"={3 + len(words)}I", name, flag << 31 | kind << 24 | count, 8, *words)


def btf(*records: bytes) -> bytes:
    types = b"".join(records)
    return struct.pack("=HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(types), len(types), len(STRINGS)) + types + STRINGS


STRUCT = record(THING, 4, 3, HEAD, 1, 192 * 8, FLAGS, 1, 3 << 24 | 40, END, 1, 188 * 8, flag=1)
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
    assert member_offsets(btf(*BEFORE, STRUCT), "thing", ("head", "end")) == (192, 188)
    assert member_offsets(btf(STRUCT, *BEFORE), "thing", ("end",)) == (188,)


@pytest.mark.parametrize(
    ("data", "structure", "members"),
    [
        (btf(*BEFORE, STRUCT), "other", ("head",)),
        (btf(*BEFORE, STRUCT), "thin", ("head",)),  # the string exists, the structure does not
        (btf(*BEFORE, STRUCT), "thing", ("head", "tail")),
        (btf(*BEFORE, STRUCT), "thing", ("flags",)),  # a bit-field
        (btf(record(0, 20, 0), STRUCT), "thing", ("head",)),  # a kind of the future
        (btf(*BEFORE), "thing", ("head",)),
        (btf(STRUCT)[:40], "thing", ("head",)),
        (b"\x9f\xeb", "thing", ("head",)),
        (b"\xeb\x9f" + btf(STRUCT)[2:], "thing", ("head",)),  # of the other byte order
    ],
)
def test_what_btf_does_not_tell_is_none(data: bytes, structure: str, members: tuple[str, ...]) -> None:
    assert member_offsets(data, structure, members) is None
