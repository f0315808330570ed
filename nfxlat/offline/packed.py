"""Captures that gzip has packed, read as if they were not (RFC 1952)."""

import gzip
import zlib
from typing import Any, BinaryIO, Final, cast

from nfxlat.offline.record import CUT_OFF, DAMAGED, Fault

_MAGIC: Final = b"\x1f\x8b"


def is_packed(begin: bytes) -> bool:
    """Whether a file that begins so is gzip's."""
    return begin.startswith(_MAGIC)


def unpacked(file: BinaryIO, begin: bytes) -> BinaryIO:
    """What is in `file`, of which `begin` has been read already: a file to `read` and `readline`, no more. Raises Fault
    where it is damaged."""
    return cast(BinaryIO, _Unpacked(file, begin))


class _Behind:
    """A file of which the first octets have been read already."""

    def __init__(self, file: BinaryIO, begin: bytes) -> None:
        self._file, self._begin = file, begin

    def read(self, size: int) -> bytes:
        if not self._begin:
            return self._file.read(size)
        found, self._begin = self._begin[:size], self._begin[size:]
        return found


class _Unpacked:
    """See `unpacked`."""

    def __init__(self, file: BinaryIO, begin: bytes) -> None:
        self._file = gzip.GzipFile(fileobj=cast(Any, _Behind(file, begin)), mode="rb")

    def read(self, size: int) -> bytes:
        return self._taken(self._file.read, size)

    def readline(self, size: int) -> bytes:
        return self._taken(self._file.readline, size)

    @staticmethod
    def _taken(read: Any, size: int) -> bytes:
        try:
            return cast(bytes, read(size))
        except EOFError:
            raise Fault("the file ends inside what gzip has packed", CUT_OFF) from None
        except (gzip.BadGzipFile, zlib.error):
            raise Fault("gzip cannot unpack it", DAMAGED) from None
