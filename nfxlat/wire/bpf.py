"""eBPF instructions (RFC 9669 section 3) as octets: the few that small programs need, with jumps to labels.

0        1          2           4            8
| opcode | src, dst | offset    | immediate  |
  u8       4, 4 bit   i16 host    i32 host
"""

import struct
from typing import NamedTuple

R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10 = range(11)  # R1: context at entry; R10: frame pointer
W, DW = 0x00, 0x18  # sizes of a load or store: 4 and 8 octets

_LDX_MEM, _STX_MEM = 0x61, 0x63
_ADD64, _OR64, _AND64, _MOV64 = 0x07, 0x47, 0x57, 0xB7
_JEQ, _JNE, _CALL, _EXIT = 0x15, 0x55, 0x85, 0x95
_FROM_REGISTER = 0x08

_ENCODED = struct.Struct("=BBhi")


class Instruction(NamedTuple):
    """One instruction; `target` is the label that it jumps to."""

    opcode: int
    dst: int = 0
    src: int = 0
    offset: int = 0
    immediate: int = 0
    target: str = ""


def load(dst: int, src: int, offset: int, size: int = W) -> Instruction:
    """dst = *(src + offset)"""
    return Instruction(_LDX_MEM | size, dst, src, offset)


def store(dst: int, offset: int, src: int, size: int = W) -> Instruction:
    """*(dst + offset) = src"""
    return Instruction(_STX_MEM | size, dst, src, offset)


def move(dst: int, src: int) -> Instruction:
    """dst = src"""
    return Instruction(_MOV64 | _FROM_REGISTER, dst, src)


def move_value(dst: int, value: int) -> Instruction:
    """dst = value, sign-extended from 32 bits"""
    return Instruction(_MOV64, dst, immediate=value)


def add(dst: int, src: int) -> Instruction:
    """dst += src"""
    return Instruction(_ADD64 | _FROM_REGISTER, dst, src)


def add_value(dst: int, value: int) -> Instruction:
    """dst += value"""
    return Instruction(_ADD64, dst, immediate=value)


def or_value(dst: int, value: int) -> Instruction:
    """dst |= value"""
    return Instruction(_OR64, dst, immediate=value)


def and_value(dst: int, value: int) -> Instruction:
    """dst &= value"""
    return Instruction(_AND64, dst, immediate=value)


def jump_if(dst: int, value: int, target: str) -> Instruction:
    """goto target if dst == value"""
    return Instruction(_JEQ, dst, immediate=value, target=target)


def jump_unless(dst: int, value: int, target: str) -> Instruction:
    """goto target if dst != value"""
    return Instruction(_JNE, dst, immediate=value, target=target)


def call(helper: int) -> Instruction:
    """r0 = helper(r1 ... r5); r1 to r5 are lost (linux/bpf.h, BPF_FUNC_*)"""
    return Instruction(_CALL, immediate=helper)


EXIT = Instruction(_EXIT)


def assemble(*lines: Instruction | str) -> bytes:
    """The program's octets; a string is a label in front of the next instruction. KeyError for an unknown label."""
    labels: dict[str, int] = {}
    instructions: list[Instruction] = []
    for line in lines:
        if isinstance(line, str):
            labels[line] = len(instructions)
        else:
            instructions.append(line)
    encoded = b""
    for at, (opcode, dst, src, offset, immediate, target) in enumerate(instructions):
        distance = labels[target] - at - 1 if target else offset
        encoded += _ENCODED.pack(opcode, dst | src << 4, distance, immediate)
    return encoded
