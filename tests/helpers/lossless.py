"""Two streams through the lab, 2,000 datagrams a second together: nothing may be lost while something is done."""

from collections.abc import Callable

from nfxlat.lab.stream import Stream, backlog_drops
from nfxlat.lab.topology import HOST6_4, HOST6_EAM4, Lab

TARGETS = (HOST6_4, HOST6_EAM4)
ATTEMPTS = 3


def without_loss(lab: Lab, work: Callable[[], None]) -> None:
    """`work`, once, or again where a busy machine has dropped something itself, of whomever: that says nothing."""
    lost: list[list[int]] = []
    for _ in range(ATTEMPTS):
        before = backlog_drops()
        with Stream(lab, TARGETS, 1000) as stream:
            work()
        assert stream.errors == []
        lost = stream.lost
        if lost == [[], []] or backlog_drops() == before:
            break
    assert lost == [[], []], lost
