"""Maps of the bare bpf(2). Numbers and layouts: linux/bpf.h.

MAP_CREATE:                map_type, key_size, value_size, max_entries, map_flags u32 each, 2 u32, name 16 octets
MAP_LOOKUP/UPDATE/DELETE:  map_fd u32, pad, key u64, value u64, flags u64
MAP_GET_FD_BY_ID:          map_id u32, next_id u32, open_flags u32
OBJ_GET_INFO_BY_FD:        bpf_fd u32, info_len u32, info u64; struct bpf_map_info: type, id, key_size, value_size,
                           max_entries u32 each ...
MAP_LOOKUP_BATCH:          in_batch u64, out_batch u64, keys u64, values u64, count u32, map_fd u32, 2 u64
"""

import contextlib
import ctypes
import errno
import mmap
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, Self

from nfxlat.host import bpf

_CREATE, _LOOKUP, _UPDATE, _DELETE, _FD_BY_ID, _INFO, _LOOKUP_BATCH = 0, 1, 2, 3, 14, 15, 24
_CREATED = struct.Struct("=7I16s")
_ELEMENT = struct.Struct("=I4xQQQ")
_OPENED = struct.Struct("=III")
_ASKED = struct.Struct("=IIQ")
_INFORMATION = struct.Struct("=5I")
_READ_ONLY = 1 << 3  # BPF_F_RDONLY
_BATCH = struct.Struct("=QQQQIIQQ")
_MMAPABLE = 1 << 10
_NOEXIST = 1
_AT_ONCE = 4096  # elements of a batch
_POSSIBLE = Path("/sys/devices/system/cpu/possible")

Kind = Literal["array", "percpu_array", "lru_hash"]
_KINDS: dict[Kind, int] = {"array": 2, "percpu_array": 6, "lru_hash": 9}


def possible_processors() -> int:
    """How many values an element of a per-CPU map has."""
    return int(_POSSIBLE.read_text().strip().replace(",", "-").split("-")[-1]) + 1


class Map:
    """One map; it lives as long as a process or a program holds it. Keys and values are octets of the sizes given.

    All raise OSError where the kernel refuses: EPERM without CAP_BPF, E2BIG where it is full, ENOMEM.
    """

    def __init__(self, kind: Kind, name: str, *, key: int, value: int, entries: int, shared: bool = False) -> None:
        """`shared`: an array whose octets can be had by `memory`."""
        self.key, self.entries = key, entries
        # values of a per-CPU map are handed over for each possible processor, each in whole units of 8 octets
        self.value = value if kind != "percpu_array" else (value + 7) // 8 * 8 * possible_processors()
        flags = _MMAPABLE if shared else 0
        asked = _CREATED.pack(_KINDS[kind], key, value, entries, flags, 0, 0, name.encode()[:15])
        self.descriptor = bpf.call(_CREATE, asked)

    @classmethod
    @contextlib.contextmanager
    def opened(cls, number: int) -> Iterator["Map"]:
        """Another process's map, by its number, to be read. Raises OSError: EPERM without CAP_SYS_ADMIN, ENOENT."""
        one = cls.__new__(cls)
        one.descriptor = bpf.call(_FD_BY_ID, _OPENED.pack(number, 0, _READ_ONLY))
        with one:
            _, _, one.key, one.value, one.entries = one._information()
            yield one

    @property
    def number(self) -> int:
        """By which the kernel knows it."""
        return self._information()[1]

    def _information(self) -> tuple[int, ...]:
        """type, id, key_size, value_size, max_entries."""
        found = ctypes.create_string_buffer(_INFORMATION.size)
        bpf.call(_INFO, _ASKED.pack(self.descriptor, _INFORMATION.size, ctypes.addressof(found)))
        return _INFORMATION.unpack(found.raw)

    def get(self, key: bytes) -> bytes | None:
        """The value; None where there is none."""
        value = ctypes.create_string_buffer(self.value)
        return value.raw if self._on(_LOOKUP, key, value) else None

    def put(self, key: bytes, value: bytes) -> None:
        """Make or replace the element."""
        self._on(_UPDATE, key, ctypes.create_string_buffer(value, self.value))

    def add(self, key: bytes, value: bytes) -> bool:
        """Make the element; False, and nothing is changed, where there is one."""
        try:
            return self._on(_UPDATE, key, ctypes.create_string_buffer(value, self.value), _NOEXIST)
        except FileExistsError:
            return False

    def remove(self, key: bytes) -> bool:
        """Whether there was one."""
        return self._on(_DELETE, key, None)

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """All elements of a hash; those that come or go meanwhile may be among them or not."""
        keys, values = (ctypes.create_string_buffer(size * _AT_ONCE) for size in (self.key, self.value))
        former, following = (ctypes.create_string_buffer(max(self.key, 8)) for _ in range(2))
        begun = more = False
        while not begun or more:
            where = ctypes.addressof(former) if begun else 0, ctypes.addressof(following)
            places = ctypes.addressof(keys), ctypes.addressof(values)
            asked = ctypes.create_string_buffer(_BATCH.pack(*where, *places, _AT_ONCE, self.descriptor, 0, 0))
            try:
                bpf.call_with(_LOOKUP_BATCH, asked, _BATCH.size)
                more = True
            except OSError as error:
                if error.errno != errno.ENOENT:  # that is the end
                    raise
                more = False
            count = _BATCH.unpack_from(asked)[4]
            yield from zip(_cut(keys, self.key, count), _cut(values, self.value, count), strict=True)
            former, following, begun = following, former, True

    def memory(self) -> mmap.mmap:
        """The octets of a shared array, which all processes that hold it share with the kernel."""
        return mmap.mmap(self.descriptor, -(-self.value * self.entries // mmap.PAGESIZE) * mmap.PAGESIZE)

    def close(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _on(self, command: int, key: bytes, value: ctypes.Array[ctypes.c_char] | None, flags: int = 0) -> bool:
        """False where there is no such element."""
        octets = ctypes.create_string_buffer(key, self.key)
        where = ctypes.addressof(value) if value is not None else 0
        try:
            bpf.call(command, _ELEMENT.pack(self.descriptor, ctypes.addressof(octets), where, flags))
        except OSError as error:
            if error.errno == errno.ENOENT:
                return False
            raise
        return True


def _cut(octets: ctypes.Array[ctypes.c_char], size: int, count: int) -> list[bytes]:
    whole = memoryview(octets).cast("B")
    return [bytes(whole[at : at + size]) for at in range(0, size * count, size)]
