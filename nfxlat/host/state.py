"""Records in /run/nfxlat: on disk before anything is changed, so that whoever comes after a `kill -9` can put it back.

/run/nfxlat/<name>-<inode of the network namespace>.json. A domain's is locked (fcntl) for as long as its set-up stands.
The lock dies with its process; the file stays. Each names its network namespace by a cookie, since inodes are used
again: a record about a namespace that is gone counts as not there.
"""

import contextlib
import errno
import fcntl
import json
import os
import socket
import struct
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from nfxlat import files
from nfxlat.errors import OperatorError
from nfxlat.host import netns, run_folder

RUN = Path("/run/nfxlat")
SO_NETNS_COOKIE = 71  # asm-generic/socket.h (5.14+)
COOKIE = "netns_cookie"


def netns_cookie() -> int:
    """A number that no other network namespace has had since boot (inodes are used again); 0 on kernels without it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        try:
            return int(struct.unpack("=Q", probe.getsockopt(socket.SOL_SOCKET, SO_NETNS_COOKIE, 8))[0])
        except OSError:
            return 0


def path_of(name: str) -> Path:
    """Where the record `name` of the calling thread's namespace is."""
    return RUN / f"{name}-{netns.own_inode()}.json"


def read(name: str) -> dict[str, Any] | None:
    """The record `name` of the calling thread's namespace, for those who only look; None where there is none, nothing
    in it yet, or it is about a namespace of the past. Raises OSError, and ValueError where it is damaged."""
    try:
        text = files.text(path_of(name))
    except FileNotFoundError:
        return None
    return _of_now(text, netns_cookie())


def _of_now(text: str | bytes, cookie: int) -> dict[str, Any] | None:
    """Raises ValueError where it is damaged."""
    if not text:  # who wrote it was killed before it had changed anything, or is at it
        return None
    found = json.loads(text)
    if not isinstance(found, dict) or COOKIE not in found:
        raise ValueError("it is no record")
    return found if found[COOKIE] == cookie else None


def domains() -> list[str]:
    """Names of those that have a record in the calling thread's namespace, whatever it says."""
    suffix = path_of("").name
    names = sorted(path.name.removesuffix(suffix) for path in RUN.glob(f"*{suffix}"))
    return [name for name in names if not name.startswith(":")]


def others(name: str = "") -> dict[str, dict[str, Any]]:
    """What other domains of the calling thread's namespace have written down, by their names; damaged ones left out."""
    found = {}
    for domain in domains():
        if domain != name:
            with contextlib.suppress(OSError, ValueError):
                if (data := read(domain)) is not None:
                    found[domain] = data
    return found


def unreadable(path: Path, why: str) -> OperatorError:
    """What to do about a record that cannot be believed."""
    return OperatorError(
        f"cannot read the record of an earlier --setup: {why}",
        where=str(path),
        hint="clean up with the nfxlat that wrote it, or by hand (ip route show proto 118, nft list tables, sysctl), "
        "and delete this file",
    )


def refuse_others(path: Path, found: Mapping[str, Any], version: int, known: Collection[str]) -> None:
    """A record of another version, or with more in it than is `known`, is for whoever wrote it, and never half read.
    Raises OperatorError."""
    if found.get("version") != version:
        raise unreadable(path, f"its version is {found.get('version')!r}, but this nfxlat reads version {version}")
    if unknown := found.keys() - {"version", COOKIE, *known}:
        raise unreadable(path, f"it has {', '.join(sorted(unknown))}, which a newer nfxlat has written")


class State:
    """The record `name` in the calling thread's namespace, locked until `close`. `found`: what was there, None without.

    Raises OperatorError where a living process holds it, /run is not writable, or the file is no record.
    """

    def __init__(self, name: str, *, wait: bool = False) -> None:
        self.path = path_of(name)
        self._partial = self.path.with_suffix(".partial")
        self._cookie = netns_cookie()
        self._text = ""  # of the file
        self._descriptor = self._lock(name, wait)
        self.found: dict[str, Any] | None = None
        try:
            self.found = self._load()
        except OperatorError:
            os.close(self._descriptor)
            raise

    def _lock(self, name: str, wait: bool) -> int:
        while True:
            try:
                RUN.mkdir(mode=0o755, exist_ok=True)
                descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except FileNotFoundError:  # the folder went with another's last record
                continue
            except OSError as error:
                raise _unwritable(self.path, error) from None
            if not _locked(descriptor, wait):
                os.close(descriptor)
                raise OperatorError(
                    "another nfxlat --setup is running for this domain",
                    where=f"domain.{name}",
                    hint=f"stop it, or run without --setup (lock: {self.path})",
                )
            with contextlib.suppress(FileNotFoundError):
                if os.fstat(descriptor).st_ino == self.path.stat().st_ino:
                    return descriptor
            os.close(descriptor)  # its former owner has just removed or replaced it

    def _load(self) -> dict[str, Any] | None:
        """What a dead process left; None where there is nothing, or where it is about a namespace of the past."""
        octets = os.pread(self._descriptor, os.fstat(self._descriptor).st_size, 0)
        self._text = octets.decode(errors="replace")
        try:
            return _of_now(octets, self._cookie)
        except ValueError:
            raise unreadable(self.path, "it is damaged") from None

    def save(self, data: Mapping[str, Any]) -> None:
        """Put a new file with `data` in the place of the former: whoever dies meanwhile leaves one of them, whole.

        What is there already needs no room. The machine's death takes /run with it anyway. Raises OperatorError where
        /run is full.
        """
        text = json.dumps({**data, COOKIE: self._cookie}) + "\n"
        if text == self._text:
            return
        try:
            RUN.mkdir(mode=0o755, exist_ok=True)
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
            raise _unwritable(self._partial, error) from None
        os.close(self._descriptor)
        self._descriptor, self._text = descriptor, text

    def save_in_place(self, data: Mapping[str, Any]) -> None:
        """Write what is shorter than before over it, in one go, for want of room for another file. Raises OperatorError
        where it is longer."""
        text = json.dumps({**data, COOKIE: self._cookie})
        octets = text.ljust(len(self._text) - 1).encode() + b"\n"  # blanks behind it mean nothing
        if len(octets) > len(self._text.encode()):
            raise _unwritable(self.path, OSError(errno.ENOSPC, ""))
        try:
            os.pwrite(self._descriptor, octets, 0)
        except OSError as error:
            raise _unwritable(self.path, error) from None
        self._text = octets.decode()

    def release(self) -> None:
        """Let another process lock it: a child of ours, whom the lock of its parent does not cover (fcntl(2))."""
        fcntl.lockf(self._descriptor, fcntl.LOCK_UN)

    def retake(self) -> None:
        """Lock it again, once whoever has it lets go."""
        fcntl.lockf(self._descriptor, fcntl.LOCK_EX)

    def close(self, *, remove: bool) -> None:
        """Let go of the lock, with `remove` after deleting the file (and /run/nfxlat, where it is empty then)."""
        if remove:
            self._partial.unlink(missing_ok=True)
            self.path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                RUN.rmdir()
        os.close(self._descriptor)


def _unwritable(path: Path, error: OSError) -> OperatorError:
    hint = run_folder.remedy(error, "--setup needs root")
    return OperatorError(os.strerror(error.errno or 0), where=str(path), hint=hint)


def _locked(descriptor: int, wait: bool) -> bool:
    """Whether the file is ours now."""
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        return False
    return True
