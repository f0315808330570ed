"""The report of a run: as one JSON object, as Markdown, as rows of text for a terminal."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from nfxlat.bench.models import TITLES
from nfxlat.bench.reach import SUBJECT, Standing, standings
from nfxlat.bench.rounds import Result, Series
from nfxlat.bench.stats import Spread

GENERATOR = "≥"  # in front of a figure that the sender limited
FEATURES = (
    "queue by",
    "queue natively",
    "stamp",
    "rules by",
    "tun ",
    "no flow hash",
)  # lines of a set-up that tell what is in use

NOTES = (
    "All models are measured in every round, one after the other. Figures are medians (lowest-highest) of the rounds.",
    "Ratios are taken round by round.",
    "UDP rates are the highest at which nothing is lost, and nothing waits any more when the sender ends.",
    "They are found by bisection; 0: no trial was clean. Sizes are of the payload.",
    "With GRO on, the translator's ingress makes superframes of UDP datagrams that come singly.",
    "Sender, receiver and translator share the machine's processors, so the sender's own limit depends on the model.",
    "Worker CPU and memory are those of the translator's processes.",
    "Their CPU time includes what the kernel does on their back: in all models the way to the receiver's socket.",
)


@dataclass(frozen=True, slots=True)
class Report:
    """A result, and where it comes from: `command`, `date`, `machine`, `versions` as `about` tells them."""

    result: Result
    command: str
    date: str
    machine: dict[str, str]
    versions: dict[str, str]
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def standings(self) -> list[Standing]:
        return standings(self.result)

    def features(self) -> list[str]:
        """Kernel features in use, a line each."""
        lines = []
        for model, facts in self.result.facts.items():
            lines += [f"{model}: {fact}" for fact in facts if any(word in fact for word in FEATURES)]
        return lines

    def notes(self) -> list[str]:
        """What a reader has to know."""
        limited = [
            f"{figure.title}: {', '.join(models)}"
            for figure in self.result.figures
            if (models := [m for m in self.result.models if self.result.series[figure.key][m].generator])
        ]
        notes = list(NOTES)
        if limited:
            notes.append(f"{GENERATOR} (the sender's limit, in at least one round): {'; '.join(limited)}")
        return notes + self.result.troubles

    def as_json(self) -> dict[str, Any]:
        """Fit for JSON; see the README for the keys."""
        result = self.result
        return {
            "schema": 1,
            "complete": result.complete and not result.troubles,
            "command": self.command,
            "date": self.date,
            "seconds": round(result.seconds, 1),
            "rounds": result.rounds,
            "machine": self.machine,
            "versions": self.versions,
            "settings": self.settings,
            "models": {name: {"title": TITLES[name], "facts": result.facts.get(name, [])} for name in result.models},
            "figures": [dataclasses.asdict(figure) for figure in result.figures],
            "results": {
                key: {model: _series(series) for model, series in row.items()} for key, row in result.series.items()
            },
            "reach": [_standing(standing) for standing in self.standings],
            "features": self.features(),
            "notes": self.notes(),
        }

    def rows(self) -> list[list[str]]:
        """Headings, then a row a figure: title, unit, a cell a model."""
        rows = [["", "", *self.result.models]]
        for figure in self.result.figures:
            cells = [cell(self.result.series[figure.key][model]) for model in self.result.models]
            rows.append([figure.title, figure.unit, *cells])
        return rows

    def reach_rows(self) -> list[list[str]]:
        """Headings, then a row a goal."""
        rows = [["work", "ratio to", "at least", "moonshot", "measured", ""]]
        for standing in self.standings:
            goal = standing.goal
            sign = "≤ " if goal.below else ""
            bounds = [f"{sign}{bound:g}" if bound is not None else "" for bound in (goal.floor, goal.moonshot)]
            measured = spread_text(standing.ratio) if standing.ratio else ""
            verdict = standing.verdict + (
                f" ({GENERATOR} in {', '.join(standing.limited)})" if standing.limited else ""
            )
            what = standing.title if goal.subject == SUBJECT else f"{goal.subject}: {standing.title}"
            rows.append([what, goal.against, *bounds, measured, verdict])
        return rows

    def markdown(self) -> str:
        """Both tables, and what belongs to them."""
        machine = ", ".join(f"{key} {value}" for key, value in self.machine.items())
        versions = ", ".join(f"{key} {value}" for key, value in self.versions.items())
        lines = [
            f"`{self.command}`, {self.date}, {self.result.rounds} rounds in {self.result.seconds:.0f} s.",
            "",
            f"Machine: {machine}. Versions: {versions}.",
            "",
            *_markdown_table(self.rows()),
            "",
            f"What was to be reached, as ratios of {SUBJECT} to another model:",
            "",
            *_markdown_table(self.reach_rows()),
            "",
            *(f"- {model}: {TITLES[model]}" for model in self.result.models),
            "",
            *(f"- {line}" for line in (*self.features(), *self.notes())),
        ]
        return "\n".join(lines) + "\n"


def cell(series: Series) -> str:
    """A median with its spread; "" where nothing was measured."""
    if not series.values:
        return ""
    return (GENERATOR if series.generator else "") + spread_text(Spread.of(series.values))


def spread_text(spread: Spread) -> str:
    if spread.low == spread.high:
        return number(spread.median)
    return f"{number(spread.median)} ({number(spread.low)}-{number(spread.high)})"


def number(value: float) -> str:
    """Three significant digits, but no exponent."""
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _series(series: Series) -> dict[str, Any]:
    spread = Spread.of(series.values) if series.values else None
    return {
        "median": spread.median if spread else None,
        "low": spread.low if spread else None,
        "high": spread.high if spread else None,
        "rounds": series.rounds,
        "generator_limited_rounds": series.generator,
    }


def _standing(standing: Standing) -> dict[str, Any]:
    return {
        "figure": standing.goal.figure,
        "title": standing.title,
        "subject": standing.goal.subject,
        "against": standing.goal.against,
        "floor": standing.goal.floor,
        "moonshot": standing.goal.moonshot,
        "smaller_is_better": standing.goal.below,
        "ratio": dataclasses.asdict(standing.ratio) if standing.ratio else None,
        "verdict": standing.verdict,
        "generator_limited": list(standing.limited),
    }


def _markdown_table(rows: Sequence[Sequence[str]]) -> list[str]:
    head, *body = rows
    lines = [head, ["---"] * len(head), *body]
    return ["| " + " | ".join(text.replace("|", "\\|") for text in line) + " |" for line in lines]
