"""When those who watch look, and what they say where they cannot."""

import contextlib
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from nfxlat.errors import OperatorError
from nfxlat.service import inputs_watch
from nfxlat.service.looking import Looking
from nfxlat.service.repairs import AGAIN

Timers = list[tuple[float, Callable[[], None]]]


class Looked:
    """What is looked at; `refused` says why it cannot be."""

    def __init__(self) -> None:
        self.times, self.refused = 0, ""

    def __call__(self) -> None:
        self.times += 1
        if self.refused:
            raise OperatorError(self.refused, where="links")


def test_many_changes_are_one_look_a_moment_after_the_first() -> None:
    timers: Timers = []
    looked = Looked()
    looking = Looking(looked, list[str]().append, lambda *timer: timers.append(timer), 0.1)
    looking.soon()
    looking.soon()
    assert [seconds for seconds, _ in timers] == [0.1]
    timers.pop()[1]()
    assert (looked.times, timers) == (1, [])
    looking.soon()
    assert len(timers) == 1


def test_what_cannot_be_looked_at_is_told_once_a_cause_and_looked_at_again() -> None:
    timers: Timers = []
    lines: list[str] = []
    looked = Looked()
    looking = Looking(looked, lines.append, lambda *timer: timers.append(timer), 0.1, "host: ")
    for looked.refused in ("busy", "busy", "none", "", "none"):
        looking.now()
        assert [seconds for seconds, _ in timers] == [AGAIN] * bool(looked.refused)
        timers.clear()
        looking._due = False
    assert lines == ["host: links: busy", "host: links: none", "host: links: none"]


def test_rules_that_do_not_follow_what_the_host_checks_are_made_anew_later() -> None:
    """A change that was heard of is told with what was done about it: the next word may never come."""
    refusals, loaded = [OperatorError("busy", where="nft")] * 2, list[object]()

    def load(plan: object) -> None:
        if refusals:
            raise refusals.pop()
        loaded.append(plan)

    rules = SimpleNamespace(outdated=lambda plan: "" if loaded else "rp_filter", load=load)
    setup: Any = SimpleNamespace(stands="plan", rules=rules, vrf=None)
    timers: Timers = []
    lines: list[str] = []
    with contextlib.closing(inputs_watch.InputsWatch(setup, lines.append, lambda *timer: timers.append(timer))):
        while timers:
            timers.pop()[1]()
    assert loaded == ["plan"]
    assert lines == [f"{inputs_watch.UNFOLLOWED}nft: busy", "rules: changed on this host: rp_filter"]
