"""Streams through the lab, of which nothing may be lost while something is done."""

from collections.abc import Callable, Sequence

from nfxlat.lab.netns import wait_for
from nfxlat.lab.stream import Stream, backlog_drops
from nfxlat.lab.topology import HOST6_4, HOST6_EAM4, Lab

TARGETS = (HOST6_4, HOST6_EAM4)
ATTEMPTS = 3
LEAST = 20  # of a flow, else nothing is shown: what is done a second time may take no time


def without_loss(
    lab: Lab,
    work: Callable[[], None],
    targets: Sequence[str] = TARGETS,
    rate: int = 1000,
    sources: Sequence[str] = ("",),
) -> int:
    """`work`, once, or again where a busy machine has dropped something itself, of whomever: that says nothing.

    How many datagrams each flow had in the last attempt.
    """
    lost: list[list[int]] = []
    for _ in range(ATTEMPTS):
        before = backlog_drops()
        with Stream(lab, targets, rate, sources) as stream:
            work()
            wait_for(lambda: stream.sent > LEAST, "datagrams beside the work", 60)
        assert stream.errors == []
        lost = stream.lost
        if not any(lost) or backlog_drops() == before:
            break
    assert not any(lost), lost
    return stream.sent
