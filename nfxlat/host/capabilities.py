"""What this process may do: asked before anything is changed, so that a lack is one line and not half a set-up, and
given up when it is not needed any more.
"""

import ctypes
import re
import struct
from pathlib import Path

from nfxlat.errors import OperatorError

CAPABILITIES = {  # linux/capability.h
    "CAP_DAC_OVERRIDE": 1,
    "CAP_KILL": 5,
    "CAP_NET_ADMIN": 12,
    "CAP_NET_RAW": 13,
    "CAP_SYS_PTRACE": 19,
    "CAP_SYS_ADMIN": 21,
    "CAP_PERFMON": 38,
    "CAP_BPF": 39,
}
PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 24, 38, 47, 4  # linux/prctl.h
LINUX_CAPABILITY_VERSION_3 = 0x20080522
_HEADER, _SETS = (
    struct.Struct("=Ii"),
    struct.Struct("=6I"),
)  # version, pid; effective, permitted, inheritable: low, high

_libc = ctypes.CDLL(None, use_errno=True)


def missing(*names: str) -> list[str]:
    """Those of the capabilities `names` that are not effective in this process."""
    effective = _set("CapEff")
    return [name for name in names if not effective >> CAPABILITIES[name] & 1]


def require(*names: str, what: str) -> None:
    """Raise OperatorError naming the capabilities that `what` ("--setup") lacks."""
    if lacking := missing(*names):
        raise OperatorError(f"{what} needs {' and '.join(lacking)}", hint="run as root")


def keep_only(*names: str) -> None:
    """Give up all capabilities but those of `names` that this process has, for good: what it starts gets no more.

    For a process of one thread. Nothing happens where the kernel refuses.
    """
    kept = 0
    for name in names:
        kept |= 1 << CAPABILITIES[name]
    _libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    for number in range(64):  # EINVAL behind the last; EPERM without CAP_SETPCAP
        if not kept >> number & 1 and _libc.prctl(PR_CAPBSET_DROP, number, 0, 0, 0):
            break
    kept &= _set("CapPrm")
    low, high = kept & 0xFFFFFFFF, kept >> 32
    sets = _SETS.pack(low, low, 0, high, high, 0)
    _libc.capset(_HEADER.pack(LINUX_CAPABILITY_VERSION_3, 0), sets)


def _set(field: str) -> int:
    """A set of capabilities, as a number, from /proc/self/status."""
    match = re.search(rf"^{field}:\s*([0-9a-f]+)$", Path("/proc/self/status").read_text(), re.MULTILINE)
    return int(match[1], 16) if match else 0
