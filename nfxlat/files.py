"""Files that an operator names, read within limits: of octets, and of time where the file is a pipe.

What is no file (a device that never ends, a folder) is refused, and a pipe that nobody fills is not waited for. A file
on a mount that does not answer can still hold whoever opens it: the service has another process do that
(nfxlat.service.reading). All failures are OSErrors with a reason, or UnicodeDecodeErrors.
"""

import contextlib
import errno
import io
import os
import select
import stat
import time
from collections.abc import Callable
from os import PathLike
from typing import IO, TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

Path = str | PathLike[str]
Opener = Callable[[Path], TextIO]  # raises OSError

LARGEST = 1 << 30  # octets: ten million lines of an eam-file
LARGEST_TEXT = 1 << 26  # of what is read as a whole
PATIENCE = 5.0  # seconds for all that comes through a pipe
NULL_DEVICE = os.makedev(1, 3)  # /dev/null: a file that is empty


def opened(path: Path, largest: int = LARGEST, errors: str = "strict") -> TextIO:
    """The file as UTF-8, with or without BOM, its lines ending in LF, CRLF or CR, for reading to the end."""
    return io.TextIOWrapper(octets(path, largest), encoding="utf-8-sig", errors=errors)


def text(path: Path, errors: str = "strict") -> str:
    """All of it."""
    with opened(path, LARGEST_TEXT, errors) as file:
        return file.read()


def octets(path: Path, largest: int = LARGEST) -> IO[bytes]:
    """The same file, undecoded."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except ValueError as error:  # a NUL in its name
        raise OSError(errno.EINVAL, str(error)) from None
    try:
        return io.BufferedReader(_Limited(descriptor, _is_pipe(descriptor), largest), 1 << 16)
    except BaseException:
        os.close(descriptor)
        raise


def _is_pipe(descriptor: int) -> bool:
    """Raises OSError where it is neither that nor a file."""
    found = os.fstat(descriptor)
    kind = stat.S_IFMT(found.st_mode)
    if kind == stat.S_IFREG or (kind == stat.S_IFCHR and found.st_rdev == NULL_DEVICE):
        return False
    if kind == stat.S_IFIFO:
        return True
    if kind == stat.S_IFDIR:
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
    raise OSError(errno.EINVAL, "it is a device, not a file")


class _Limited(io.RawIOBase):
    """Reads `descriptor`, which it owns, until its end."""

    def __init__(self, descriptor: int, pipe: bool, largest: int) -> None:
        self._descriptor, self._pipe, self._largest = descriptor, pipe, largest
        self._left = largest
        self._deadline = time.monotonic() + PATIENCE

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def readinto(self, buffer: "WriteableBuffer") -> int:
        if self._pipe:
            self._await()
        count = os.readv(self._descriptor, [memoryview(buffer).cast("B")])
        self._left -= count
        if self._left < 0:
            raise OSError(errno.EFBIG, f"it is larger than {self._largest >> 20} MB")
        return count

    def _await(self) -> None:
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        if not poll.poll(max(0.0, self._deadline - time.monotonic()) * 1000):
            raise OSError(errno.ETIMEDOUT, f"it is a pipe that did not come to its end within {PATIENCE:g} s")

    def close(self) -> None:
        if not self.closed:
            with contextlib.suppress(OSError):
                os.close(self._descriptor)
        super().close()
