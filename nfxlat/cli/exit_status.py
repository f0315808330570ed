"""How a command ends that cannot do what it is asked to.

2     what the operator has to mend: usage, configuration, the host's settings. The unit does not start it again
75    what the host has not got now: memory, processes, descriptors, room (EX_TEMPFAIL of sysexits.h)
1     of `nfxlat run`: a bug
"""

import errno
import os

from nfxlat.errors import OperatorError

MISTAKE, LACKING = 2, 75
LACKS = frozenset(
    (
        errno.EAGAIN,  # processes
        errno.ENOMEM,
        errno.ENFILE,
        errno.EMFILE,
        errno.ENOSPC,
        errno.EDQUOT,
        errno.ENOBUFS,
    )
)
_WORDS = tuple(os.strerror(number) for number in LACKS)


def of(error: BaseException) -> int:
    """LACKING where the error, what it was raised for, or the kernel's words in it tell of such a lack."""
    seen: BaseException | None = error
    while seen is not None:
        number = seen.errno if isinstance(seen, OSError) else getattr(seen, "code", None)  # pyroute2's NetlinkError
        if number in LACKS or isinstance(seen, MemoryError):
            return LACKING
        if isinstance(seen, OperatorError) and any(words in seen.what for words in _WORDS):
            return LACKING
        seen = seen.__cause__ or seen.__context__
    return MISTAKE


def lack(error: BaseException) -> str:
    """What the host lacks, in one line."""
    if isinstance(error, MemoryError):
        return os.strerror(errno.ENOMEM)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split())
