"""The report of a run: as one JSON object, as Markdown, as rows of text for a terminal."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from nfxlat.bench.models import TITLES
from nfxlat.bench.ratios import ratios, subject
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
    "UDP rates are the highest without loss, and with empty queues when the sender stops.",
    "They are found by bisection; 0: every trial lost packets. Sizes are those of the payload.",
    "With GRO on, the translator's ingress coalesces single UDP datagrams into superframes.",
    "Sender, receiver and translator share the machine's processors, so the sender's own limit depends on the model.",
    "Worker CPU and memory are those of the translator's processes.",
    "Their CPU time includes kernel work done on their behalf: in all models, the path to the receiver's socket.",
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
        """Fit for JSON."""
        result = self.result
        return {
            "schema": 2,
            "complete": result.complete and not result.troubles,
            "command": self.command,
            "date": self.date,
            "seconds": round(result.seconds, 1),
            "rounds": result.rounds,
            "machine": self.machine,
            "versions": self.versions,
            "settings": self.settings,
            "models": {
                name: {
                    "title": TITLES[name],
                    "facts": result.facts.get(name, []),
                    "counted": result.counted.get(name, {}),
                }
                for name in result.models
            },
            "figures": [dataclasses.asdict(figure) for figure in result.figures],
            "results": {
                key: {model: _series(series) for model, series in row.items()} for key, row in result.series.items()
            },
            "ratios": {
                "subject": subject(result),
                "results": {
                    key: {model: dataclasses.asdict(spread) for model, spread in row.items()}
                    for key, row in ratios(result).items()
                },
            },
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

    def ratio_rows(self) -> list[list[str]]:
        """Headings, then a row a figure: title, what is better, ratio to each other model. [] if there are none."""
        found = ratios(self.result)
        if not found:
            return []
        others = self.result.models[1:]
        rows = [[f"{subject(self.result)}, as a ratio to", "better", *others]]
        for figure in self.result.figures:
            if spreads := found.get(figure.key):
                cells = [spread_text(spreads[model]) if model in spreads else "" for model in others]
                rows.append([figure.title, figure.better, *cells])
        return rows

    def markdown(self) -> str:
        """Figures and ratios, and what belongs to them."""
        machine = ", ".join(f"{key} {value}" for key, value in self.machine.items())
        versions = ", ".join(f"{key} {value}" for key, value in self.versions.items())
        lines = [
            f"`{self.command}`, {self.date}, {self.result.rounds} rounds in {self.result.seconds:.0f} s.",
            "",
            f"Machine: {machine}. Versions: {versions}.",
            "",
            *_markdown_table(self.rows()),
            "",
            *_markdown_table(self.ratio_rows()),
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


def _markdown_table(rows: Sequence[Sequence[str]]) -> list[str]:
    if not rows:
        return []
    head, *body = rows
    lines = [head, ["---"] * len(head), *body]
    return ["| " + " | ".join(text.replace("|", "\\|") for text in line) + " |" for line in lines]
