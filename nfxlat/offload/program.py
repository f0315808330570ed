"""The built programs, ready to be loaded.

One instruction a line, 8 octets in hexadecimal as this machine stores them; behind some stands a symbol. That is the
first half of a load of 64 bits (RFC 9669 5.4), to be given a map or a number:

    0        1          2           4            8        9          12           16
    | 0x18   | dst, src | 0         | low half   | 0      | 0        | high half   |
               src 1: the low half is a map's descriptor
"""

import struct
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

FOLDER: Final = Path(__file__).parent
Name = Literal["stamp", "offload", "flowhash"]

_LOAD64, _MAP = 0x18, 1  # BPF_LD | BPF_IMM | BPF_DW; BPF_PSEUDO_MAP_FD (linux/bpf.h)


def text(name: Name, folder: Path = FOLDER) -> str:
    """What was built for machines of this one's order of octets."""
    return (folder / f"{name}.{sys.byteorder}.bpf").read_text()


def linked(program: str, maps: Mapping[str, int], numbers: Mapping[str, int]) -> bytes:
    """The instructions of `program` (see `text`), with descriptors of maps and numbers of 64 bits put in.

    KeyError: a symbol that is in neither; ValueError: what is no such text.
    """
    code = bytearray()
    symbols: list[tuple[int, str]] = []
    for line in program.splitlines():
        if line.startswith("#"):
            continue
        octets, _, symbol = line.partition(" ")
        if symbol:
            symbols.append((len(code), symbol))
        code += bytes.fromhex(octets)
    for at, symbol in symbols:
        if code[at] != _LOAD64:
            raise ValueError(f"{symbol} is put into no load of 64 bits")
        if symbol in maps:
            # src is the high half of this octet, or the low one (linux/bpf.h, struct bpf_insn)
            code[at + 1] |= _MAP << 4 if sys.byteorder == "little" else _MAP
            value = maps[symbol]
        else:
            value = numbers[symbol]
        struct.pack_into("=I", code, at + 4, value & 0xFFFFFFFF)
        struct.pack_into("=I", code, at + 12, value >> 32)
    return bytes(code)
