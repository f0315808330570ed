"""The table of pairs of a running `nfxlat run --offload`, from outside: opened by its id (linux/bpf.h)."""

import ctypes
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nfxlat.host import bpf
from nfxlat.offload import table
from nfxlat.offload.table import Pair

_LOOKUP, _UPDATE, _FD_BY_ID = 1, 2, 14
_ELEMENT = struct.Struct("=I4xQQQ")


def _told(path: Path) -> str:
    """Of a descriptor that may be closed meanwhile."""
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""


@contextmanager
def opened(pid: int) -> Iterator["KernelTable"]:
    """Of the process."""
    (number,) = {
        int(text.split("map_id:")[1].split()[0])
        for text in map(_told, Path(f"/proc/{pid}/fdinfo").iterdir())
        if "map_id:" in text and f"value_size:\t{table.PAIR.size}\n" in text
    }
    descriptor = bpf.call(_FD_BY_ID, struct.pack("=III", number, 0, 0))
    try:
        yield KernelTable(descriptor)
    finally:
        os.close(descriptor)


class KernelTable:
    """`pairs` by their keys."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def get(self, key: bytes) -> Pair | None:
        octets = ctypes.create_string_buffer(table.PAIR.size)
        try:
            self._on(_LOOKUP, key, octets)
        except FileNotFoundError:
            return None
        return Pair.of(octets.raw)

    def put(self, key: bytes, pair: Pair) -> None:
        self._on(_UPDATE, key, ctypes.create_string_buffer(pair.encoded(), table.PAIR.size))

    def _on(self, command: int, key: bytes, value: "ctypes.Array[ctypes.c_char]") -> None:
        octets = ctypes.create_string_buffer(key, table.KEY.size)
        bpf.call(command, _ELEMENT.pack(self._descriptor, ctypes.addressof(octets), ctypes.addressof(value), 0))
