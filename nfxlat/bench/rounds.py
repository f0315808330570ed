"""A run of the benchmark: all models up at once, every measurement with each of them in turn, round after round.

So what a figure is compared with was taken seconds before or after it, on the same machine in the same mood. The order
of the models rotates from round to round. One that dies or fails is told about and does not stop the others.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from nfxlat.bench.agent import Failed
from nfxlat.bench.models import DEFAULT, MODELS, Model
from nfxlat.bench.workloads import Figure, Measurement, Settings, measurements, warm_up
from nfxlat.errors import OperatorError
from nfxlat.lab.netns import signals_deferred

LIMIT = 690.0  # seconds after which nothing new is begun: a default run ends within twelve minutes


@dataclass(frozen=True, slots=True)
class Options:
    """What to run. `only`: words of which a measurement's key must contain one; none: all."""

    models: tuple[str, ...] = DEFAULT
    rounds: int = 3
    settings: Settings = field(default_factory=Settings)
    full: bool = False
    only: tuple[str, ...] = ()
    workers: int = 1
    limit: float = LIMIT


class Progress(Protocol):
    """Who is told while it works."""

    def up(self, title: str, facts: Sequence[str]) -> None:
        """A model is ready, having said this."""

    def begin(self, seconds: float) -> None:
        """Measuring will take about this long."""

    def trying(self, what: str) -> None:
        """This now."""

    def found(self, what: str, values: str, seconds: float) -> None:
        """That came of it; `seconds`: its part of all that was told at the beginning."""


@dataclass(slots=True)
class Series:
    """One figure of one model: a value a round or None; `generator`: number of rounds that the sender limited."""

    rounds: list[float | None] = field(default_factory=list)
    generator: int = 0

    @property
    def values(self) -> list[float]:
        return [value for value in self.rounds if value is not None]


@dataclass(slots=True)
class Result:
    """All that was measured: series by figure and model, in order; `counted`: what models have counted themselves;
    `troubles`: what failed, in words."""

    figures: list[Figure]
    models: list[str]
    series: dict[str, dict[str, Series]]
    facts: dict[str, list[str]] = field(default_factory=dict)
    counted: dict[str, dict[str, Any]] = field(default_factory=dict)
    troubles: list[str] = field(default_factory=list)
    rounds: int = 0
    seconds: float = 0.0
    complete: bool = True


def measure(options: Options, progress: Progress) -> Result:
    """Build the labs, measure, clean up. Raises OperatorError where a lab or a model cannot be had."""
    chosen = chosen_measurements(options)
    figures = [figure for measurement in chosen for figure in measurement.figures]
    result = Result(figures, list(options.models), {f.key: {m: Series() for m in options.models} for f in figures})
    started = time.monotonic()
    with contextlib.ExitStack() as stack:
        models = []
        for name in options.models:
            progress.trying(f"setting up {name}")
            with signals_deferred():  # what is made is known to the stack before an interrupt takes effect
                model = MODELS[name](options.workers)
                stack.callback(model.close)
            models.append(model.__enter__())
            result.facts[name] = list(model.facts)
            progress.up(model.title, model.facts)
            try:
                warm_up(model)
            except Failed as failure:
                result.troubles.append(f"warming up {name}: {failure}")
        each = sum(measurement.seconds(options.settings) for measurement in chosen)
        progress.begin(options.rounds * len(models) * each)
        for number in range(options.rounds):
            turn = number % len(models)
            for measurement in chosen:
                for model in models[turn:] + models[:turn]:
                    if time.monotonic() - started > options.limit:
                        result.complete = False
                    if result.complete:
                        _take(measurement, model, options.settings, number, result, progress)
            if result.complete:
                result.rounds = number + 1
        for model in models:
            with contextlib.suppress(OSError):
                result.counted[model.name] = model.counted()
    if not result.complete:
        result.troubles.append(f"time ran out after {options.limit:.0f} s: the last round is incomplete")
    result.seconds = time.monotonic() - started
    return result


def chosen_measurements(options: Options) -> list[Measurement]:
    """Those that `only` names. Raises OperatorError where none is left."""
    all_of_them = measurements(full=options.full)
    chosen = [m for m in all_of_them if not options.only or any(word in m.key for word in options.only)]
    if not chosen:
        keys = ", ".join(measurement.key for measurement in all_of_them)
        raise OperatorError("no such measurement", where="--only", hint=f"use part of one of {keys}")
    return chosen


def _take(
    measurement: Measurement, model: Model, settings: Settings, number: int, result: Result, progress: Progress
) -> None:
    what = f"round {number + 1}, {model.name}: {measurement.title}"
    progress.trying(what)
    own = {figure.key: result.series[figure.key][model.name] for figure in measurement.figures}
    former = {key: series.values[-1] for key, series in own.items() if series.values}
    said = ""
    values: dict[str, float] = {}
    generator: set[str] = set()
    try:
        if trouble := model.trouble():
            raise Failed(trouble)
        model.set_gro(measurement.gro)
        taken = measurement.take(model, settings, number, former)
        values, generator = taken.values, taken.generator
        said = ", ".join(
            f"{values[figure.key]:.4g} {figure.unit}" for figure in measurement.figures if figure.key in values
        )
    except Failed as failure:
        said = f"FAILED, {failure}"
        result.troubles.append(f"{what}: {failure}")
    for key, series in own.items():
        series.rounds.append(values.get(key))
        series.generator += key in generator
    progress.found(what, said, measurement.seconds(settings))
