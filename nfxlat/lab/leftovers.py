"""What is left where a creator could not clean up: it was killed, or told to keep the lab."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path

from nfxlat.host.netns import unpin
from nfxlat.lab.netns import RUN_NETNS, ip, signals_deferred, wait_for

NAME = re.compile(r"nfx-([0-9a-f]+)(-[\w-]+)?")
RUN_NFXLAT = "/run/nfxlat"


def remove_remains(inode: int) -> None:
    """Remove what a killed `nfxlat run --setup` leaves outside of the network namespace `inode` that it ran in: the
    pinned namespace with the far end of its device, the record of what it changed, and domains that were added.
    """
    for path in Path(RUN_NETNS).glob(f"nfxlat-*-{inode}"):
        unpin(path.name)
    for path in Path(RUN_NFXLAT).glob(f"*-{inode}.*"):  # json, toml, partial
        path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # others have their records there, or nobody made it
        Path(RUN_NFXLAT).rmdir()


def leftovers(creator: int | None = None) -> list[str]:
    """Names of lab namespaces whose creator does not run any more; only those of the pid `creator`, if given."""
    return [path.name for path in _abandoned(RUN_NETNS, creator)]


def clean(creator: int | None = None, grace: float = 5.0) -> list[str]:
    """End every process in the namespaces that `leftovers` names, remove them, and return their names."""
    names = leftovers(creator)
    inodes = [os.stat(f"{RUN_NETNS}/{name}").st_ino for name in names]
    with signals_deferred():
        for number in (signal.SIGTERM, signal.SIGKILL):
            _end([pid for inode in inodes for pid in processes_in(inode)], number, grace)
        for name, inode in zip(names, inodes, strict=True):
            remove_remains(inode)
            ip("netns", "del", name)
        for path in _abandoned("/run", creator):
            shutil.rmtree(path, ignore_errors=True)
    return names


def _abandoned(directory: str, creator: int | None) -> list[Path]:
    """Entries whose name carries the pid of a process that is gone."""
    found = []
    for path in sorted(Path(directory).glob("nfx-*")):
        match = NAME.fullmatch(path.name)
        if match:
            pid = int(match[1], 16)
            if creator in (None, pid) and not os.path.exists(f"/proc/{pid}"):
                found.append(path)
    return found


def _end(pids: Sequence[int], number: signal.Signals, grace: float) -> None:
    """Send the signal, and wait up to `grace` seconds for the processes to be gone."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
    with contextlib.suppress(TimeoutError):
        wait_for(lambda: not any(runs(pid) for pid in pids), "processes", grace)


def runs(pid: int) -> bool:
    """Whether the process exists and is no zombie (proc(5): the state stands behind the name in brackets)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def processes_in(inode: int) -> list[int]:
    """Pids of the processes whose network namespace has this inode, as `ip netns pids`; the caller left out."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) != os.getpid():
            with contextlib.suppress(OSError):
                if os.stat(f"/proc/{entry}/ns/net").st_ino == inode:
                    found.append(int(entry))
    return found
