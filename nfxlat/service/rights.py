"""What a translator's processes may do, and how many descriptors they may have."""

import contextlib
import resource

from nfxlat.host import capabilities

WORKER = ("CAP_NET_ADMIN", "CAP_NET_RAW")  # verdicts; marks and sources of raw sockets
FILES = ("CAP_DAC_OVERRIDE",)  # the configuration may be another user's
ENTERS = ("CAP_SYS_ADMIN", "CAP_BPF", "CAP_PERFMON")  # the far end of the domain device, and the stamp


def require() -> None:
    """Raises OperatorError where what any translator needs is lacking."""
    capabilities.require(*WORKER, what="nfxlat run")


def keep_as_worker() -> None:
    """Give up all else."""
    capabilities.keep_only(*WORKER)


def keep_as_supervisor(*, far: bool) -> None:
    """Give up all but what a reload, a repair and the take-down need; `far`: there is a domain device to enter."""
    capabilities.keep_only(*WORKER, *FILES, *(ENTERS if far else ()))


def raise_descriptor_limit() -> None:
    """As far as it may be: each interface and each worker takes some."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):  # what is refused is told when one is lacking
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
