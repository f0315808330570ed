"""The configuration's files, read again beside the service (nfxlat.service.aside): a mount that does not answer, or a
pipe that nobody fills, holds no signal, no watch and no worker.

The other process copies each file into memory and hands that over; the service then reads what cannot hang, all of it
as it was at one time.

    its messages    "+" path: it is being read;  "=" path, with a descriptor: its copy;  "-" reason: there is none
"""

import contextlib
import errno
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from nfxlat import config, files
from nfxlat.errors import OperatorError
from nfxlat.files import Opener
from nfxlat.service.aside import Aside
from nfxlat.service.loop import Loop

SECONDS = 20.0
Then = Callable[[Opener], object]  # with what opens the copies


class Reading:
    """`begin` when the files are to be read again; `late` is told where that came to no end, or cannot begin."""

    def __init__(self, loop: Loop, late: Callable[[OperatorError], None]) -> None:
        self._loop, self._late = loop, late
        self._aside: Aside | None = None
        self._copies: dict[str, int | str] = {}  # by path: a descriptor, or why there is none
        self._now = ""  # the path that is being read
        self._again: tuple[Path, Then] | None = None

    def begin(self, path: Path, then: Then) -> None:
        """Read the configuration `path` and what it names, and then call `then`. Where that is being done, it is done
        once more afterwards: what has been read may be old."""
        if self._aside is not None:
            self._again = path, then
            return
        self._now = str(path)
        try:
            self._aside = aside = Aside(lambda say: _read_all(path, say), SECONDS)
        except OSError as error:  # there can be no process now
            self._late(OperatorError(f"cannot be read: {error.strerror}", where=self._now, hint="try again"))
            return
        self._loop.on_readable(aside, lambda: self._hear(then))
        self._loop.later(SECONDS, lambda: self._give_up(aside))

    @property
    def at_work(self) -> bool:
        """Whether something is being read."""
        return self._aside is not None

    def close(self) -> None:
        """Without an answer."""
        self._again = None
        self._end()

    def _hear(self, then: Then) -> None:
        assert self._aside is not None
        octets, descriptors, _, _ = socket.recv_fds(self._aside.socket, 1 << 14, 1)
        kind, text = octets[:1], os.fsdecode(octets[1:])
        if kind == b"+":
            self._now = text
        elif kind == b"=":
            self._copies[text] = descriptors[0] if descriptors else "no descriptor is left"
        elif kind == b"-":
            self._copies[self._now] = text
        else:  # its end
            self._forget_aside()
            try:
                then(self._open)
            finally:
                self._end()
                self._start_again()

    def _give_up(self, aside: Aside) -> None:
        if aside is self._aside:
            self._late(OperatorError(f"cannot be read: it was not read within {SECONDS:g} s", where=self._now))
            self._end()
            self._start_again()

    def _start_again(self) -> None:
        if self._again is not None:
            again, self._again = self._again, None
            self.begin(*again)

    def _forget_aside(self) -> None:
        if self._aside is not None:
            self._loop.forget(self._aside)
            self._aside.end()
            self._aside = None

    def _end(self) -> None:
        self._forget_aside()
        for copy in self._copies.values():
            if isinstance(copy, int):
                os.close(copy)
        self._copies.clear()

    def _open(self, path: files.Path) -> TextIO:
        copy = self._copies.get(str(path), "it was not read")
        if isinstance(copy, str):
            raise OSError(errno.EIO, copy)
        return files.opened(f"/proc/self/fd/{copy}")


def _read_all(path: Path, say: socket.socket) -> None:
    """Copies of the configuration `path`, and then of what it names."""
    copies: dict[str, int] = {}

    def copied(source: files.Path) -> TextIO:
        """The copy, made first."""
        if (name := os.fspath(source)) not in copies:
            say.send(b"+" + os.fsencode(name))
            try:
                with files.octets(source) as file, open(os.memfd_create("nfxlat"), "wb", closefd=False) as copy:
                    copies[name] = copy.fileno()
                    shutil.copyfileobj(file, copy, 1 << 20)
            except OSError as error:
                say.send(b"-" + (error.strerror or "").encode())
                raise
            socket.send_fds(say, [b"=" + os.fsencode(name)], [copies[name]])
        return files.opened(f"/proc/self/fd/{copies[name]}")

    for source in config.sources(path, copied):
        with contextlib.suppress(OSError):
            copied(source).close()
