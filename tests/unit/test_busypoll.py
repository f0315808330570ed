"""Looking again before sleeping: when, for how long, and when no more."""

import pytest

from nfxlat.datapath.busypoll import CONTENDED, BusyPoll, Events

READY: Events = [(3, 1)]
LIMIT, LOOK = 100_000, 3_000  # nanoseconds


class Node:
    """A clock, a scheduler and an epoll: a packet comes `gap` nanoseconds after the last was taken."""

    def __init__(self, gap: int) -> None:
        self.gap, self.now, self.due = gap, 0, gap
        self.sleeps = self.looks = self.given = 0
        self.others = 0  # what somebody else takes of the processor when it is offered

    def poll(self, timeout: float | None = None) -> Events:
        if timeout is None:
            self.sleeps += 1
            self.now = max(self.now, self.due)
        else:
            self.looks += 1
            self.now += LOOK
        if self.now < self.due:
            return []
        self.due = self.now + self.gap
        return READY

    def clock(self) -> int:
        return self.now

    def give_way(self) -> None:
        self.given += 1
        self.now += self.others

    def waits(self, times: int, *, limit: int = LIMIT, taken: int = 1) -> None:
        busy = BusyPoll(self, limit, self.clock, self.give_way)
        for _ in range(times):
            assert busy.wait(taken) == READY


def test_a_conversation_is_followed_without_sleeping() -> None:
    node = Node(gap=60_000)
    node.waits(50)
    assert node.sleeps == 0
    assert node.given


def test_what_waits_already_is_taken_at_once() -> None:
    node = Node(gap=0)
    node.waits(50)
    assert (node.sleeps, node.looks, node.given) == (0, 50, 0)


@pytest.mark.parametrize("gap", [2 * LIMIT, 1_000_000_000])
def test_looks_in_vain_are_few(gap: int) -> None:
    node = Node(gap)
    node.waits(1000)
    assert node.sleeps == 1000
    assert node.looks * LOOK <= 1000 * LIMIT / 30


def test_it_tries_again_later() -> None:
    node = Node(2 * LIMIT)
    busy = BusyPoll(node, LIMIT, node.clock, node.give_way)
    for _ in range(100):
        busy.wait(1)
    node.gap, node.sleeps = 60_000, 0
    for _ in range(200):
        busy.wait(1)
    assert node.sleeps <= 66


def test_whoever_wants_the_processor_has_it() -> None:
    node = Node(gap=60_000)
    node.others = CONTENDED
    node.waits(200)
    assert node.sleeps >= 190


@pytest.mark.parametrize(("limit", "taken"), [(0, 1), (LIMIT, 0), (LIMIT, 2)], ids=["off", "nothing", "several"])
def test_it_sleeps_at_once(limit: int, taken: int) -> None:
    node = Node(gap=0)
    node.waits(20, limit=limit, taken=taken)
    assert (node.sleeps, node.looks) == (20, 0)
