"""Reports for machines: JSON, JUnit XML, and KTAP, as kselftest reads it (Documentation/dev-tools/ktap.rst)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any
from xml.etree import ElementTree

from nfxlat.conformance.campaign import FAILED, PASSED, SKIPPED, Outcome, Report
from nfxlat.conformance.suite import Suite

_NO_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd]")


def as_json(suite: Suite, reports: Sequence[Report], date: str) -> dict[str, Any]:
    """All reports as one object."""
    return {
        "date": date,
        "sections": suite.titles,
        "translators": [
            {
                "name": report.name,
                "title": report.title,
                "version": report.version,
                "hops": list(report.hops),
                "seconds": round(report.seconds, 1),
                PASSED: report.count(PASSED),
                FAILED: report.count(FAILED),
                SKIPPED: report.count(SKIPPED),
                "cases": [_case_as_json(outcome) for outcome in report.outcomes],
            }
            for report in reports
        ],
    }


def _case_as_json(outcome: Outcome) -> dict[str, Any]:
    case = outcome.case
    return {
        "number": case.number,
        "section": case.section,
        "name": case.name,
        "clause": case.clause,
        "level": case.level,
        "domain": case.domain,
        "result": outcome.result,
        "lines": list(outcome.lines),
    }


def as_junit(suite: Suite, reports: Sequence[Report]) -> str:
    """A test suite for each translator and section."""
    top = ElementTree.Element("testsuites", name="nfxlat conformance")
    for report in reports:
        for section, title in suite.titles.items():
            outcomes = [one for one in report.outcomes if one.case.section == section]
            if not outcomes:
                continue
            counts = {
                "tests": len(outcomes),
                "failures": report.count(FAILED, section),
                "skipped": report.count(SKIPPED, section),
            }
            attributes = {name: str(count) for name, count in counts.items()}
            group = ElementTree.SubElement(top, "testsuite", {"name": f"{report.name}: {title}", **attributes})
            for outcome in outcomes:
                case = outcome.case
                entry = ElementTree.SubElement(
                    group, "testcase", {"classname": f"{report.name}.{section}", "name": case.name}
                )
                if outcome.result == FAILED:
                    message = f"{case.level}, {case.clause}"
                    failure = ElementTree.SubElement(entry, "failure", {"message": message})
                    failure.text = _NO_XML.sub("?", "\n".join([*_what(outcome), *outcome.lines]))
                elif outcome.result == SKIPPED:
                    ElementTree.SubElement(entry, "skipped", {"message": " ".join(outcome.lines)})
    ElementTree.indent(top)
    return ElementTree.tostring(top, encoding="unicode", xml_declaration=True) + "\n"


def as_ktap(reports: Sequence[Report]) -> Iterator[str]:
    """Lines. One translator is the whole plan; several are subtests, each with its own."""
    yield "KTAP version 1"
    if len(reports) == 1:
        yield from _plan(reports[0])
        return
    yield f"1..{len(reports)}"
    for number, report in enumerate(reports, 1):
        yield "  KTAP version 1"
        yield from (f"  {line}" for line in _plan(report))
        yield f"{'not ok' if report.count(FAILED) else 'ok'} {number} {_name(report.name)}"


def _plan(report: Report) -> Iterator[str]:
    yield f"1..{len(report.outcomes)}"
    for number, outcome in enumerate(report.outcomes, 1):
        if outcome.result == FAILED:
            yield from (f"# {line}" for line in (*_what(outcome), *outcome.lines))
        state = "not ok" if outcome.result == FAILED else "ok"
        skip = f" # SKIP {' '.join(outcome.lines)}" if outcome.result == SKIPPED else ""
        yield f"{state} {number} {_name(outcome.case.id)}{skip}"
    passed, failed, skipped = (report.count(result) for result in (PASSED, FAILED, SKIPPED))
    yield f"# Totals: pass:{passed} fail:{failed} xfail:0 xpass:0 skip:{skipped} error:0"


def _name(text: str) -> str:
    """Without the sign that begins a directive."""
    return text.replace("#", "")


def _what(outcome: Outcome) -> Iterator[str]:
    case = outcome.case
    yield f"{case.level}, {case.clause}" + (f": {case.why}" if case.why else "")
    yield from (f"send {text}" for text in case.texts["send"])
    yield from (f"want {text}" for text in case.texts["want"] or ("nothing",))
