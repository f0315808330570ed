"""What to do where /run cannot be written: records, names of namespaces and added domains are kept there."""

import errno
import os
from pathlib import Path

RUN = Path("/run")
READ_ONLY = "mount it writable: a tmpfs, as systemd does; a container needs one too"
FULL = "make room there: df /run; df -i /run"
_REMEDIES = {errno.EROFS: f"/run is read-only: {READ_ONLY}", errno.ENOSPC: FULL, errno.EDQUOT: FULL}


def remedy(error: OSError, rights: str) -> str:
    """What to do about an error there; `rights` where it is one of those, "" where it says enough itself."""
    return rights if error.errno in (errno.EPERM, errno.EACCES) else _REMEDIES.get(error.errno or 0, "")


def lack() -> tuple[str, str]:
    """(what is wrong with /run for whoever may write there, what to do); empty where nothing is."""
    try:
        found = os.statvfs(RUN)
    except OSError as error:
        return error.strerror or "", "make it"
    if found.f_flag & os.ST_RDONLY:
        return "read-only", READ_ONLY
    if (found.f_blocks and not found.f_bavail) or (found.f_files and not found.f_favail):
        return "full", FULL
    return "", ""
