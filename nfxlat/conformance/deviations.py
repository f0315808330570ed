"""What is known of cases that fail with a driver: deviations.toml."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from nfxlat.conformance.campaign import FAILED, Outcome, Report
from nfxlat.conformance.fields import named_in

FILE: Final = Path(__file__).parent / "deviations.toml"
WHOSE: Final = ("nfxlat", "TAYGA", "model", "kernel")


@dataclass(frozen=True, slots=True)
class Deviation:
    """One entry."""

    drivers: tuple[str, ...]
    cases: tuple[str, ...]
    only: frozenset[str]
    whose: str
    why: str

    def fits(self, driver: str, outcome: Outcome) -> bool:
        """Whether this is what a failed case is about."""
        return (
            driver in self.drivers
            and any(fnmatchcase(outcome.case.id, _literally(pattern)) for pattern in self.cases)
            and (not self.only or named_in(outcome.lines) <= self.only)
        )


def _literally(pattern: str) -> str:
    """fnmatch's brackets are none here."""
    return pattern.replace("[", "[[]")


def load(file: Path = FILE) -> tuple[Deviation, ...]:
    """All entries, in order."""
    with file.open("rb") as opened:
        entries = tomllib.load(opened)["deviation"]
    return tuple(
        Deviation(
            tuple(entry["drivers"]),
            tuple(entry["cases"]),
            frozenset(entry.get("only", ())),
            entry["whose"],
            entry["why"],
        )
        for entry in entries
    )


def sorted_out(report: Report, known: tuple[Deviation, ...]) -> tuple[dict[Deviation, list[Outcome]], list[Outcome]]:
    """The failed cases by the deviation that they are, and those that are none that is known."""
    found: dict[Deviation, list[Outcome]] = {one: [] for one in known if report.name in one.drivers}
    unknown: list[Outcome] = []
    for outcome in report.outcomes:
        if outcome.result == FAILED:
            entry = next((one for one in found if one.fits(report.name, outcome)), None)
            (unknown if entry is None else found[entry]).append(outcome)
    return found, unknown
