"""A network namespace to try things in: made for one call, dead after it, so that a probe changes nothing."""

import ctypes
import os
import threading
from collections.abc import Callable
from typing import TypeVar

from pyroute2 import IPRoute

from nfxlat.errors import OperatorError
from nfxlat.host.netns import CLONE_NEWNET

R = TypeVar("R")

_libc = ctypes.CDLL(None, use_errno=True)


def in_scratch(function: Callable[[], R]) -> R:
    """Call `function` in a new network namespace, its lo up, on a thread of its own; its result, or what it raises.

    Raises OperatorError where no namespace can be made.
    """
    results: list[R] = []
    failures: list[BaseException] = []

    def work() -> None:  # the namespace dies with the thread and with what it has opened
        try:
            if _libc.unshare(CLONE_NEWNET) != 0:
                raise OperatorError(
                    f"cannot create a network namespace: {os.strerror(ctypes.get_errno())}", hint="run as root"
                )
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
