"""The files of `--summary` and `stats --textfile`: never half written, never written through a link that somebody has
put there, and never put in the place of a device: root may replace /dev/null.

Another process writes it (nfxlat.service.aside), so that a mount that does not answer holds nobody else.
"""

import contextlib
import os
import secrets
import socket
import stat
from collections.abc import Callable
from pathlib import Path

from nfxlat.errors import OperatorError
from nfxlat.service.aside import Aside
from nfxlat.service.loop import Loop

SECONDS = 5.0
_DEVICES = Path("/dev")  # its links may lead to files: /dev/stdout


def write(path: Path, text: str, option: str = "--summary") -> None:
    """Put a new file with `text` in the place of `path`. Raises OperatorError where that cannot be, as `option`; then
    nothing is left beside it."""
    _refuse_others(path, option)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            with open(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
            partial.rename(path)
        except BaseException:
            with contextlib.suppress(OSError):
                partial.unlink()
            raise
    except OSError as error:
        raise OperatorError(f"cannot be written: {error.strerror}", where=f"{option} {path}") from None


def refuse(path: Path) -> None:
    """Raises OperatorError where no file can be made there."""
    if not path.parent.is_dir():
        raise OperatorError("no such directory", where=f"--summary {path}", hint="create it, or name another file")
    _refuse_others(path, "--summary")


def _refuse_others(path: Path, option: str) -> None:
    """Raises OperatorError where what is there is no file, or is not to become one."""
    try:
        found = stat.S_IFMT(os.stat(path).st_mode)
    except OSError:  # nothing yet, or it is told when it is written
        found = stat.S_IFREG
    if not path.name or found != stat.S_IFREG or path.parent.resolve() == _DEVICES:
        hint = "name a file: a new one takes its place"
        raise OperatorError("not a regular file", where=f"{option} {path}", hint=hint)


class SummaryFile:
    """The file while the service runs. What `path` None is told is written nowhere."""

    def __init__(self, path: Path | None, loop: Loop) -> None:
        self._path, self._loop = path, loop
        self._aside: Aside | None = None
        self._written = False
        self._next = ""  # what was to be written meanwhile

    def begin(self, text: str) -> None:
        """Have `text` written. What fails is raised as OperatorError by a handler of the loop."""
        if self._path is None:
            return
        if self._aside is not None:
            self._next = text
            return
        self._written = False
        self._aside = aside = Aside(self._writer(self._path, text), SECONDS)
        self._loop.on_readable(aside, self._hear)

    def finish(self, text: str) -> None:
        """Write `text`, at the end of all. Raises OperatorError where it cannot be, or takes too long."""
        if self._path is None:
            return
        if self._aside is not None:
            self._forget(self._aside)
        said = Aside(self._writer(self._path, text), SECONDS).wait(SECONDS)
        if said is None:
            raise self._failure(f"it took longer than {SECONDS:g} s".encode())
        if said != [b"+"]:
            raise self._failure(b"".join(said))

    def drop(self) -> None:
        """Leave one that is being written: who writes it is another process's child."""
        if self._aside is not None:
            self._forget(self._aside)

    def _hear(self) -> None:
        assert self._aside is not None
        said = self._aside.socket.recv(1 << 12)
        if said == b"+":
            self._written = True
            return
        self._forget(self._aside)
        try:
            if not self._written:
                raise self._failure(said)
        finally:
            if self._next:
                text, self._next = self._next, ""
                self.begin(text)

    def _forget(self, aside: Aside) -> None:
        self._loop.forget(aside)
        aside.end()
        self._aside = None

    def _failure(self, said: bytes) -> OperatorError:
        return OperatorError(said.decode(errors="replace") or "was not written", where=f"--summary {self._path}")

    @staticmethod
    def _writer(path: Path, text: str) -> Callable[[socket.socket], None]:
        def work(say: socket.socket) -> None:
            try:
                write(path, text)
            except OperatorError as error:
                say.send(error.what.encode())
            else:
                say.send(b"+")

        return work
