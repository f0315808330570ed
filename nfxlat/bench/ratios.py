"""Ratios of the figures of one model, the first that was asked for, to those of each other."""

from __future__ import annotations

from nfxlat.bench.rounds import Result, Series
from nfxlat.bench.stats import Spread


def subject(result: Result) -> str:
    """The model whose figures are divided by the others'; "" if none came up."""
    return result.models[0] if result.models else ""


def ratio(ours: Series, theirs: Series) -> Spread | None:
    """Taken round by round; None where no round has both figures."""
    pairs = zip(ours.rounds, theirs.rounds, strict=False)
    ratios = [mine / other for mine, other in pairs if mine is not None and other]
    return Spread.of(ratios) if ratios else None


def ratios(result: Result) -> dict[str, dict[str, Spread]]:
    """By figure and other model; figures and models without one are left out."""
    first, others = subject(result), result.models[1:]
    found = {}
    for key, row in result.series.items():
        spreads = {model: spread for model in others if (spread := ratio(row[first], row[model])) is not None}
        if spreads:
            found[key] = spreads
    return found
