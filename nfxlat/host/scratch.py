"""A network namespace to try things in: made for one call, dead after it, so that a probe changes nothing."""

import ctypes
import os
import threading
from collections.abc import Callable
from typing import TypeVar

from pyroute2 import IPRoute

from nfxlat.errors import OperatorError
from nfxlat.host.netns import CLONE_NEWNET, MS_REC, remedy

CLONE_NEWNS, MS_PRIVATE = 0x20000, 0x40000  # linux/sched.h, linux/mount.h

R = TypeVar("R")

_libc = ctypes.CDLL(None, use_errno=True)


def in_scratch(function: Callable[[], R], *, own_run: bool = False) -> R:
    """Call `function` in a new network namespace, its lo up, on a thread of its own; its result, or what it raises.
    With `own_run` its /run is another too, empty, which nobody else sees.

    Raises OperatorError where no namespace can be made.
    """
    results: list[R] = []
    failures: list[BaseException] = []

    def work() -> None:  # the namespace dies with the thread and with what it has opened
        try:
            if _libc.unshare(CLONE_NEWNET) != 0:
                raise _refused("a network namespace")
            if own_run:
                _change_run()
            with IPRoute() as ipr:
                ipr.link("set", index=1, state="up")
            results.append(function())
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
    return results[0]


def _change_run() -> None:
    """Of this thread alone, and of those that it starts."""
    if (
        _libc.unshare(CLONE_NEWNS) != 0
        or _libc.mount(b"none", b"/", None, ctypes.c_ulong(MS_REC | MS_PRIVATE), None) != 0
        or _libc.mount(b"none", b"/run", b"tmpfs", ctypes.c_ulong(0), None) != 0
    ):
        raise _refused("a mount namespace")


def _refused(what: str) -> OperatorError:
    number = ctypes.get_errno()
    return OperatorError(f"cannot create {what}: {os.strerror(number)}", hint=remedy(number, "run as root"))
