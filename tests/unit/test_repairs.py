"""Repairs are bounded, and a failure is told once."""

from collections.abc import Callable

import pytest

from nfxlat.errors import OperatorError
from nfxlat.service.repairs import AGAIN, REPAIRS, REST, WINDOW, Repairs


class Scene:
    """A clock, timers that are run by hand, and what was said."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[tuple[float, Callable[[], None]]] = []
        self.lines: list[str] = []
        self.looks = 0
        self.repairs = Repairs("host", self.lines.append, self.later, self.look, lambda: self.now)

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        self.timers.append((seconds, call))

    def look(self) -> None:
        self.looks += 1

    def rests(self) -> bool:
        return self.repairs.resting


@pytest.fixture
def scene() -> Scene:
    return Scene()


def fail() -> None:
    raise OperatorError("no such device", where="route")


def test_after_so_many_within_a_minute_there_is_a_rest(scene: Scene) -> None:
    done: list[int] = []
    for number in range(REPAIRS + 1):
        scene.repairs.attempt("a route", lambda number=number: done.append(number))  # type: ignore[misc]
    assert done == list(range(REPAIRS))
    assert scene.rests() is True
    assert scene.repairs.counts == {"lost": REPAIRS + 1, "repaired": REPAIRS}
    assert "for the 6th time within a minute" in scene.lines[-1]
    [(seconds, resume)] = scene.timers
    assert seconds == REST
    resume()
    assert scene.rests() is False
    assert scene.looks == 1
    scene.repairs.attempt("a route", lambda: done.append(9))
    assert done[-1] == 9


def test_slow_losses_are_all_repaired(scene: Scene) -> None:
    for _ in range(3 * REPAIRS):
        scene.repairs.attempt("a route", lambda: None)
        scene.now += WINDOW / REPAIRS
    assert scene.repairs.counts == {"lost": 3 * REPAIRS, "repaired": 3 * REPAIRS}
    assert not scene.repairs.resting


def test_a_failure_is_told_once_tried_again_later_and_does_not_count_as_a_repair(scene: Scene) -> None:
    for _ in range(3 * REPAIRS):
        scene.repairs.attempt("a route", fail)
        scene.timers[-1][1]()
    assert scene.lines == ["host: a route; cannot be repaired: route: no such device"]
    waits = [seconds for seconds, _ in scene.timers]
    assert waits[:3] == [AGAIN, 2 * AGAIN, 4 * AGAIN]
    assert waits[-1] == REST
    assert scene.repairs.counts == {"lost": 1, "repaired": 0}
    assert not scene.repairs.resting
    scene.repairs.attempt("a route", lambda: None)
    assert scene.repairs.counts == {"lost": 1, "repaired": 1}
    scene.repairs.attempt("a route", fail)
    assert scene.timers[-1][0] == AGAIN


def test_failures_that_others_have_us_look_at_do_not_add_looks(scene: Scene) -> None:
    for _ in range(3 * REPAIRS):
        scene.repairs.attempt("a route", fail)
    [(seconds, again)] = scene.timers
    assert seconds == AGAIN
    scene.repairs.well()
    again()
    assert scene.looks == 0  # there is nothing to look at again
    scene.repairs.attempt("a route", fail)
    scene.timers[-1][1]()
    assert (len(scene.timers), scene.timers[-1][0], scene.looks) == (2, AGAIN, 1)


def test_what_came_back_by_itself_is_a_new_loss_the_next_time(scene: Scene) -> None:
    scene.repairs.attempt("a route", fail)
    scene.repairs.well()
    scene.repairs.attempt("a route", fail)
    assert len(scene.lines) == 2
    assert scene.repairs.counts == {"lost": 2, "repaired": 0}
