"""Numbers of a benchmark: medians with their spread, and the search for the highest rate without loss."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

RESOLUTION = 0.04  # of a rate: nearer than this two trials on a shared machine do not differ
STEP = 1.2  # by which a rate is raised or lowered until it is known from both sides
AGAIN = 2  # more trials of a rate that the sender falls short of; one of a rate that is not clean
ENOUGH = 0.97  # of the rate asked for: a sender that offers less is at its own limit


@dataclass(frozen=True, slots=True)
class Spread:
    """A median, and the lowest and highest of the rounds that it was taken from."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Raises ValueError for no values."""
        if not values:
            raise ValueError("no values")
        return cls(statistics.median(values), min(values), max(values))


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` (above 0, at most 1) of all do not exceed (nearest rank)."""
    if not values or not 0 < share <= 1:
        raise ValueError("no such quantile")
    ordered = sorted(values)
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]


@dataclass(frozen=True, slots=True)
class Trial:
    """What a trial at a rate showed: the rate that was really offered, and what arrived, a second.

    `clean`: nothing was lost, and nothing waited any more when the sender had ended. `count`: what arrived in all.
    """

    offered: float
    arrived: float
    clean: bool
    count: int = 0


@dataclass(frozen=True, slots=True)
class Found:
    """The highest clean rate; `generator`: the sender could not offer more, so the true one may be higher."""

    rate: float
    generator: bool
    trials: int


def search(
    trial: Callable[[float], Trial],
    highest: float,
    *,
    guess: float = 0.0,
    most: int = 14,
    resolution: float = RESOLUTION,
) -> Found:
    """The highest rate up to `highest` whose trial is clean (RFC 2544 26.1), by bisection with at most `most` trials.

    Without a `guess` the first trial asks for `highest`, and what arrives of that is the guess. A trial that is not
    clean, or whose sender falls short, is made again before it counts: a hiccup of the machine is not a limit.
    A rate of 0 means that no trial was clean.
    """
    budget = _Budget(trial, most)
    low, high, step = 0.0, highest, STEP
    if not guess:
        flood = budget.trial(highest)
        if flood.clean:
            flood = _better(flood, budget.trial(highest)) if budget.left else flood
            return Found(min(flood.offered, highest), flood.offered < ENOUGH * highest, budget.used)
        high = min(high, flood.offered)
        guess = min(flood.arrived, high)
    rate = guess
    while budget.left and high - low > resolution * high:
        result = budget.trial(rate)
        for again in range(AGAIN):
            short = result.clean and result.offered < ENOUGH * rate
            if budget.left and (short or not (again or result.clean)):
                result = _better(result, budget.trial(rate))
        if result.clean:
            low = max(low, min(rate, result.offered))
            if result.offered < ENOUGH * rate:
                return Found(low, True, budget.used)
            rate = min(low * STEP, (low + high) / 2)
        else:
            high = rate
            rate = max(high / step, (low + high) / 2) if low else high / step
            step *= STEP
    return Found(low, False, budget.used)


class _Budget:
    """Trials that are left."""

    def __init__(self, trial: Callable[[float], Trial], most: int) -> None:
        self._trial, self._most, self.used = trial, most, 0

    @property
    def left(self) -> int:
        return self._most - self.used

    def trial(self, rate: float) -> Trial:
        self.used += 1
        return self._trial(rate)


def _better(one: Trial, other: Trial) -> Trial:
    """The clean one; of two the one that offered more."""
    return max(one, other, key=lambda trial: (trial.clean, trial.offered))
