"""What the project set out to reach, as ratios within one run, and whether it did."""

from __future__ import annotations

from dataclasses import dataclass

from nfxlat.bench.rounds import Result
from nfxlat.bench.stats import Spread

SUBJECT, TWO_WORKERS = "hook", "workers2"


@dataclass(frozen=True, slots=True)
class Goal:
    """The ratio of a model's figure (`subject`) to another model's; `floor` is to be reached, `moonshot` hoped for.

    With `below` a smaller ratio is the better one. A floor or moonshot that is not there is None.
    """

    figure: str
    against: str
    floor: float | None
    moonshot: float | None = None
    below: bool = False
    subject: str = SUBJECT

    def met(self, ratio: float, bound: float) -> bool:
        return ratio <= bound if self.below else ratio >= bound


@dataclass(frozen=True, slots=True)
class Standing:
    """A goal, the median ratio of its rounds with their spread (None: not measured), and how it stands.

    `limited` names the models whose figure is the sender's limit, so that the true one may be higher.
    """

    goal: Goal
    title: str
    ratio: Spread | None
    verdict: str  # "moonshot", "reached", "missed" or "not measured"
    limited: tuple[str, ...] = ()


def _goals() -> tuple[Goal, ...]:
    goals = []
    for direction in ("4to6", "6to4"):
        goals += [
            Goal(f"tcp_1_{direction}", "plain", 0.55, 0.75),
            Goal(f"tcp_1_{direction}", "tayga", 10.0),
        ]
    goals += [Goal(f"tcp_8_{direction}", "plain", 0.5, 0.7) for direction in ("4to6", "6to4")]
    for flows in (1, 16):
        goals += [
            Goal(f"udp64_{flows}_gro", "plain", 0.9),
            Goal(f"udp64_{flows}_gro", "tayga", 3.0, 5.0),
        ]
    return (
        *goals,
        Goal("udp64_256", "tayga", 0.9, 1.0),
        Goal("udp64_256", "null", 0.85),
        Goal("rtt_p50", "tayga", 1.5, 1.1, below=True),
        Goal("cpu_packet", "null", 1.3, below=True),
        Goal("cpu_packet", "tayga", None, 1.0, below=True),
        # two workers cost no more a packet than one with as much to do, and together carry no less
        Goal("cpu_worker", SUBJECT, 1.1, below=True, subject=TWO_WORKERS),
        *(Goal(figure, SUBJECT, 1.0, subject=TWO_WORKERS) for figure in ("tcp_8_4to6", "tcp_8_6to4", "udp64_256")),
    )


GOALS = _goals()


def standings(result: Result) -> list[Standing]:
    """All goals of which the run measured the figure at all; those of two workers only where they ran."""
    titles = {figure.key: figure.title for figure in result.figures}
    subjects = {SUBJECT, *result.models}
    return [
        _standing(goal, titles[goal.figure], result)
        for goal in GOALS
        if goal.figure in titles and goal.subject in subjects
    ]


def _standing(goal: Goal, title: str, result: Result) -> Standing:
    ours, theirs = (result.series[goal.figure].get(name) for name in (goal.subject, goal.against))
    if ours is None or theirs is None:
        return Standing(goal, title, None, "not measured")
    pairs = zip(ours.rounds, theirs.rounds, strict=False)
    ratios = [mine / other for mine, other in pairs if mine is not None and other]
    if not ratios:
        return Standing(goal, title, None, "not measured")
    spread = Spread.of(ratios)
    if goal.moonshot is not None and goal.met(spread.median, goal.moonshot):
        verdict = "moonshot"
    elif goal.floor is not None and goal.met(spread.median, goal.floor):
        verdict = "reached"
    else:
        verdict = "missed"
    limited = tuple(name for name, series in ((goal.subject, ours), (goal.against, theirs)) if series.generator)
    return Standing(goal, title, spread, verdict, limited)
