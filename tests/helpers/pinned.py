"""One processor for sender, worker and receiver: the order of packets is then theirs, and not that of two processors'
backlogs (net/core/dev.c, enqueue_to_backlog), between which a thread that moves leaves its former packets behind."""

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress


@contextmanager
def on_one_processor(pids: Collection[int]) -> Iterator[None]:
    """The calling thread, those that it starts, and these processes."""
    before = os.sched_getaffinity(0)
    one = {sorted(before)[os.getpid() % len(before)]}  # others that run beside this one have others
    try:
        _pin((0, *pids), one)
        yield
    finally:
        _pin((0, *pids), before)


def _pin(pids: Collection[int], processors: Collection[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):  # not all of a process's children stay
            os.sched_setaffinity(pid, processors)
