"""The table: a line for each section, a column for each translator."""

from __future__ import annotations

from collections.abc import Sequence

from nfxlat.conformance.campaign import FAILED, PASSED, SKIPPED, Report
from nfxlat.conformance.deviations import load, sorted_out
from nfxlat.conformance.suite import Suite


def rows(suite: Suite, reports: Sequence[Report]) -> list[list[str]]:
    """Heading, sections, sum."""
    found = [["section", "cases", *(report.name for report in reports)]]
    for section, title in suite.titles.items():
        cells = [_cell(report, section) for report in reports]
        if any(cells):
            cases = max(sum(one.case.section == section for one in report.outcomes) for report in reports)
            found.append([title, str(cases), *cells])
    found.append(["all", str(max(len(report.outcomes) for report in reports)), *(_cell(one) for one in reports)])
    return found


def _cell(report: Report, section: str | None = None) -> str:
    """E.g. "58", "55, 3 fail", "20, 8 skipped"."""
    passed, failed, skipped = (report.count(result, section) for result in (PASSED, FAILED, SKIPPED))
    if not passed + failed + skipped:
        return ""
    return ", ".join(
        [
            f"{passed} pass" if failed or skipped else "all pass",
            *([f"{failed} fail"] if failed else []),
            *([f"{skipped} skipped"] if skipped else []),
        ]
    )


def deviation_rows(reports: Sequence[Report]) -> list[list[str]]:
    """What fails, by the deviation that it is, the same one of several translators in one line."""
    found: dict[tuple[str, str], dict[str, int]] = {}
    for report in reports:
        entries, unknown = sorted_out(report, load())
        for entry, outcomes in entries.items():
            if outcomes:
                found.setdefault((entry.whose, entry.why), {})[report.name] = len(outcomes)
        if unknown:
            found.setdefault(("?", "not known"), {})[report.name] = len(unknown)
    lines = [[", ".join(f"{name} {count}" for name, count in by.items()), *key] for key, by in found.items()]
    return [["translator, cases", "whose", "what"], *lines]


def markdown(table: Sequence[Sequence[str]]) -> list[str]:
    """The same for a page."""
    head, *rest = ["| " + " | ".join(row) + " |" for row in table]
    return [head, "|" + "---|" * len(table[0]), *rest]
