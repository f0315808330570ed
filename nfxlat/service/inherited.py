"""What a forked worker has inherited and does not need: others' queues, watches, records, BPF programs and links.

Much of it lives as long as anybody holds it: a link stays attached, a port number taken, a reader waits for an end.
"""

import contextlib
import os
from collections.abc import Collection
from pathlib import Path

OPEN = Path("/proc/self/fd")
STANDARD = frozenset((0, 1, 2))


def hold_only(wanted: Collection[int]) -> None:
    """Let go of all that this process has open but `wanted`, and stdin, stdout and stderr.

    The numbers stay taken, by /dev/null: objects that know them are still there, and may close them at any time.
    """
    others = sorted({int(name) for name in os.listdir(OPEN)} - STANDARD - set(wanted))
    for number in others:
        with contextlib.suppress(OSError):  # that of the list itself is closed
            os.close(number)  # so that there is room for one, whatever the limit
            break
    nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for number in others:
        if number != nothing:
            try:
                os.dup2(nothing, number, inheritable=False)
            except OSError:  # beyond a limit that has been lowered: nobody gets that number
                os.close(number)
