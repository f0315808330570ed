"""Waiting until what was injected has left this processor's backlog.

A result that is injected goes through the backlog of the processor that its worker runs on. Where ksoftirqd has taken
over, it waits there until that is scheduled (before Linux 6.4 nothing else then serves it), while packets that the
kernel translates go through another processor's, and would overtake it.
"""

from collections.abc import Callable, Mapping

from nfxlat.netlink.backlogs import Backlog

PASSES = 8  # so often at most a packet goes through it on this node: behind the domain device there may be other veths
PAUSE = 50e-6  # seconds between looks
LOOKS = 400  # no more than these are waited for


def leave(backlogs: Callable[[], Mapping[int, Backlog]], processor: int, sleep: Callable[[float], None]) -> None:
    """Return when the backlog has been empty, has taken a few times what waits in it now, or it takes too long.

    `backlogs`: of each processor, nothing where the kernel does not tell.
    """
    then = now = backlogs().get(processor)
    looks = 0
    while (
        then and now and now.waiting and (now.taken - then.taken) & 0xFFFFFFFF < PASSES * then.waiting and looks < LOOKS
    ):
        sleep(PAUSE)
        looks += 1
        now = backlogs().get(processor)
