"""BPF_PROG_TEST_RUN: a classifier on a packet of our own making, without a network (linux/bpf.h; net/bpf/test_run.c).

struct __sk_buff, octets: ... mark 8 ... priority 32, ingress_ifindex 36, ifindex 40, ... gso_segs 164, gso_size 176
"""

import ctypes
import os
import struct
from typing import NamedTuple

from nfxlat.host import bpf

_TEST_RUN, _CHECKSUM_COMPLETE = 10, 1 << 2
_ASKED = struct.Struct("=IIIIQQIIIIQQIIII")
_SKB = 192
MARK_AT, PRIORITY_AT, IFINDEX_AT, GSO_SEGS_AT, GSO_SIZE_AT = 8, 32, 40, 164, 176
GOES_ON, DROPPED, REDIRECT = -1, 2, 7
_ROOM = 1 << 17


class Result(NamedTuple):
    """`frame` as the program left it; `nanoseconds` of one run."""

    verdict: int
    frame: bytes
    mark: int
    priority: int
    nanoseconds: int


class Runner:
    """A loaded program (descriptor) to be run."""

    def __init__(self, program: int) -> None:
        self._program = program
        self._out = ctypes.create_string_buffer(_ROOM)

    def run(
        self,
        frame: bytes,
        *,
        mark: int = 0,
        priority: int = 0,
        ifindex: int = 0,
        gso_size: int = 0,
        gso_segs: int = 0,
        repeat: int = 1,
        complete: bool = False,
    ) -> Result:
        """`complete`: the packet comes with CHECKSUM_COMPLETE, and what comes out is held against its skb->csum.

        Raises OSError then: EBADMSG where they differ, EINVAL where the kernel knows no such runs."""
        context = ctypes.create_string_buffer(_SKB)
        for at, value in (
            (MARK_AT, mark),
            (PRIORITY_AT, priority),
            (IFINDEX_AT, ifindex),
            (GSO_SEGS_AT, gso_segs),
            (GSO_SIZE_AT, gso_size),
        ):
            struct.pack_into("=I", context, at, value)
        data = ctypes.create_string_buffer(frame, len(frame))
        after = ctypes.create_string_buffer(_SKB)
        addresses = [ctypes.addressof(buffer) for buffer in (data, self._out, context, after)]
        flags = _CHECKSUM_COMPLETE if complete else 0
        asked = ctypes.create_string_buffer(
            _ASKED.pack(
                self._program,
                0,
                len(frame),
                _ROOM,
                *addresses[:2],
                repeat,
                0,
                _SKB,
                _SKB,
                *addresses[2:],
                flags,
                0,
                0,
                0,
            )
        )
        bpf.call_with(_TEST_RUN, asked, len(asked))
        _, verdict, _, size, _, _, _, duration, *_ = _ASKED.unpack_from(asked)
        octets = bytes(memoryview(self._out)[:size])
        mark, priority = (struct.unpack_from("=I", after, at)[0] for at in (MARK_AT, PRIORITY_AT))
        return Result(verdict - (1 << 32) if verdict >> 31 else verdict, octets, mark, priority, duration)

    def close(self) -> None:
        os.close(self._program)
