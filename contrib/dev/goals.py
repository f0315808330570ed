#!/usr/bin/env python3
"""What the project set out to reach, as ratios within one run, and whether a run did.

    nfxlat bench --json | contrib/dev/goals.py
    contrib/dev/goals.py FILE

Ratios are taken round by round; a verdict is about their median. "met": the floor; "moonshot": what was hoped for.
Exit status: 0, or 1 if a goal that was measured is missed.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SUBJECT, TWO_WORKERS, OFFLOAD = "hook", "workers2", "offload"


@dataclass(frozen=True, slots=True)
class Goal:
    """The ratio of `subject`'s figure to that of the model `against`, or to none: the figure itself; a floor of None:
    no such bound. `below`: less is better."""

    figure: str
    against: str | None
    floor: float | None
    moonshot: float | None = None
    below: bool = False
    subject: str = SUBJECT

    def met(self, ratio: float, bound: float | None) -> bool:
        """Whether there is such a bound, and the ratio keeps it."""
        return bound is not None and (ratio <= bound if self.below else ratio >= bound)


def _goals() -> tuple[Goal, ...]:
    goals = []
    for direction in ("4to6", "6to4"):
        goals += [
            Goal(f"tcp_1_{direction}", "plain", 0.55, 0.75),
            Goal(f"tcp_1_{direction}", "tayga", 10.0),
            Goal(f"tcp_8_{direction}", "plain", 0.5, 0.7),
        ]
    for flows in (1, 16):
        goals += [
            Goal(f"udp64_{flows}_gro", "plain", 0.9),
            Goal(f"udp64_{flows}_gro", "tayga", 3.0, 5.0),
        ]
    return (
        *goals,
        *_offload_goals(),
        Goal("udp64_256", "tayga", 0.9, 1.0),
        Goal("udp64_256", "null", 0.85),
        Goal("rtt_p50", "tayga", 1.5, 1.1, below=True),
        Goal("cpu_packet", "null", 1.3, below=True),
        Goal("cpu_packet", "tayga", None, 1.0, below=True),
        # two workers cost no more a packet than one with as much to do, and together carry no less
        Goal("cpu_worker", SUBJECT, 1.1, below=True, subject=TWO_WORKERS),
        *(Goal(figure, SUBJECT, 1.0, subject=TWO_WORKERS) for figure in ("tcp_8_4to6", "tcp_8_6to4", "udp64_256")),
    )


def _offload_goals() -> Iterator[Goal]:
    for direction in ("4to6", "6to4"):
        yield Goal(f"tcp_1_{direction}", "plain", 0.65, 0.9, subject=OFFLOAD)
        yield Goal(f"tcp_8_{direction}", "plain", 0.65, 0.9, subject=OFFLOAD)
        yield Goal(f"tcp_1_{direction}", "tayga", 25.0, 35.0, subject=OFFLOAD)
    for flows in (1, 256):
        yield Goal(f"udp64_{flows}", "plain", 0.55, 0.8, subject=OFFLOAD)
        yield Goal(f"udp64_{flows}", "tayga", 1.15, 2.0, subject=OFFLOAD)
    yield Goal("rtt_p50", "plain", 1.6, 1.2, below=True, subject=OFFLOAD)
    yield Goal("program", None, 1.2, 0.6, below=True, subject=OFFLOAD)


GOALS = _goals()


@dataclass(frozen=True, slots=True)
class Standing:
    """How a goal stands in a run. `ratios`: of the rounds that have both figures.

    `limited`: models whose figure is the sender's limit, so that the true one may be higher.
    """

    goal: Goal
    title: str
    ratios: tuple[float, ...]
    limited: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        if not self.ratios:
            return "not measured"
        ratio = statistics.median(self.ratios)
        if self.goal.met(ratio, self.goal.moonshot):
            return "moonshot"
        return "met" if self.goal.met(ratio, self.goal.floor) else "missed"


def standings(run: dict[str, Any]) -> list[Standing]:
    """The goals of whose figure and subject the run (what `nfxlat bench --json` prints) knows."""
    titles = {figure["key"]: figure["title"] for figure in run["figures"]}
    subjects = {SUBJECT, *run["models"]}
    return [
        _standing(goal, titles[goal.figure], run["results"][goal.figure])
        for goal in GOALS
        if goal.figure in titles and goal.subject in subjects
    ]


def _standing(goal: Goal, title: str, row: dict[str, dict[str, Any]]) -> Standing:
    nothing: dict[str, Any] = {"rounds": [], "generator_limited_rounds": 0}
    ours = row.get(goal.subject, nothing)
    if goal.against is None:
        return Standing(goal, title, tuple(mine for mine in ours["rounds"] if mine is not None))
    theirs = row.get(goal.against, nothing)
    pairs = zip(ours["rounds"], theirs["rounds"], strict=False)
    ratios = tuple(mine / other for mine, other in pairs if mine is not None and other)
    sides = ((goal.subject, ours), (goal.against, theirs))
    return Standing(goal, title, ratios, tuple(name for name, side in sides if side["generator_limited_rounds"]))


def line(standing: Standing) -> str:
    """One row of the table."""
    goal, ratios = standing.goal, standing.ratios
    bounds = " ".join(f"{'' if bound is None else f'{bound:g}':>8}" for bound in (goal.floor, goal.moonshot))
    measured = f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})" if ratios else ""
    limited = f" (sender's limit: {', '.join(standing.limited)})" if standing.limited else ""
    ways = goal.subject if goal.against is None else f"{goal.subject}/{goal.against}"
    sign = "at most" if goal.below else "at least"
    return f"{standing.title:<40} {ways:<14} {sign:<8} {bounds}  {measured:<18} {standing.verdict}{limited}"


def main(arguments: list[str]) -> int:
    """Print the table; the exit status."""
    if len(arguments) > 1 or arguments[:1] in (["-h"], ["--help"]):
        print(__doc__)
        return 2
    text = Path(arguments[0]).read_text() if arguments else sys.stdin.read()
    found = standings(json.loads(text))
    print(f"{'work':<40} {'ratio of':<14} {'':<8} {'floor':>8} {'moonshot':>8}  {'measured':<18}")
    for standing in found:
        print(line(standing))
    return int(any(standing.verdict == "missed" for standing in found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
