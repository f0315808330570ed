"""What a set-up has changed, on disk before it is changed, so that whoever comes after a `kill -9` can put it back.

/run/nfxlat/<domain>-<inode of the network namespace>.json, locked (fcntl) for as long as the set-up stands. The lock
dies with its process; the file stays, and its originals are what the next set-up restores in the end.
"""

import contextlib
import fcntl
import json
import os
import socket
import struct
from pathlib import Path
from typing import Any

from nfxlat.errors import OperatorError
from nfxlat.host import netns

RUN = Path("/run/nfxlat")
SO_NETNS_COOKIE = 71  # asm-generic/socket.h (5.14+)


def netns_cookie() -> int:
    """A number that no other network namespace has had since boot (inodes are used again); 0 on kernels without it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        try:
            return int(struct.unpack("=Q", probe.getsockopt(socket.SOL_SOCKET, SO_NETNS_COOKIE, 8))[0])
        except OSError:
            return 0


class State:
    """The state file of `domain` in the calling thread's namespace, locked. `data` is written by `save`.

    Raises OperatorError where a living process holds it, or /run is not writable.
    """

    def __init__(self, domain: str) -> None:
        self.path = RUN / f"{domain}-{netns.own_inode()}.json"
        self._partial = self.path.with_suffix(".partial")
        self._cookie = netns_cookie()
        self._descriptor = self._lock(domain)
        self.data: dict[str, Any] = {}
        self.left_over = self._load()

    def _lock(self, domain: str) -> int:
        while True:
            try:
                RUN.mkdir(mode=0o755, exist_ok=True)
                descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except OSError as error:
                raise OperatorError(
                    os.strerror(error.errno or 0), where=str(self.path), hint="--setup needs root"
                ) from None
            try:
                fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(descriptor)
                raise OperatorError(
                    "another nfxlat has set this domain up and is running",
                    where=f"domain.{domain}",
                    hint=f"stop that one, or run without --setup (lock: {self.path})",
                ) from None
            with contextlib.suppress(FileNotFoundError):
                if os.fstat(descriptor).st_ino == self.path.stat().st_ino:
                    return descriptor
            os.close(descriptor)  # its former owner has just removed it

    def _load(self) -> bool:
        """Read what a dead process left; False where there is nothing, or where it is about a namespace of the past."""
        text = os.pread(self._descriptor, os.fstat(self._descriptor).st_size, 0)
        try:
            found = json.loads(text)
        except ValueError:
            return False
        if found.get("netns_cookie") != self._cookie:
            return False
        self.data = found
        return True

    def save(self) -> None:
        """Put a new file with `data` in the place of the former: whoever dies meanwhile leaves one of them, whole.

        The machine's death takes /run with it anyway. Raises OperatorError where /run is full.
        """
        text = json.dumps(self.data | {"netns_cookie": self._cookie}) + "\n"
        try:
            descriptor = os.open(self._partial, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                with open(descriptor, "w", closefd=False) as file:
                    file.write(text)
                fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # nobody else opens it by that name
                self._partial.rename(self.path)
            except OSError:
                os.close(descriptor)
                raise
        except OSError as error:
            raise OperatorError(os.strerror(error.errno or 0), where=str(self._partial)) from None
        os.close(self._descriptor)
        self._descriptor = descriptor

    def close(self, *, remove: bool) -> None:
        """Let go of the lock, with `remove` after deleting the file (and /run/nfxlat, where it is empty then)."""
        if remove:
            self._partial.unlink(missing_ok=True)
            self.path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                RUN.rmdir()
        os.close(self._descriptor)
