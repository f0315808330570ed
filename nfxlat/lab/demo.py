"""The demo: a lab, a real `nfxlat run` in its middle, every line of the table tried one after the other."""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from nfxlat.lab.checks import Checks, Line, Load, Observation
from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.topology import Lab


class Progress(Protocol):
    """Who is told while the demo works."""

    def up(self, setup: Sequence[str]) -> None:
        """The translator is ready; `setup`: what it said on the way."""

    def begin(self, lines: Sequence[Line]) -> None:
        """These lines will be tried."""

    def trying(self, line: Line) -> None:
        """This one now."""

    def found(self, line: Line, finding: Observation) -> None:
        """And this came of it."""


@dataclass(frozen=True, slots=True)
class Options:
    """What to show. `arguments` go to `nfxlat run`; `keep` leaves lab and translator running."""

    load: Load = field(default_factory=Load)
    arguments: tuple[str, ...] = ()
    superframes: bool = True  # whether the data path chosen by `arguments` has them
    keep: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """What came of it. `summary` is the translator's own, at its end (with `keep`: by then); `trouble`: its output, if
    it or one of its workers died.
    """

    findings: tuple[tuple[Line, Observation], ...]
    rule_path: str
    setup: tuple[str, ...]
    summary: dict[str, Any]
    trouble: tuple[str, ...] = ()
    kept: dict[str, Any] | None = None

    @property
    def ok(self) -> bool:
        return bool(self.findings) and all(finding.ok for _, finding in self.findings) and not self.trouble

    def as_json(self) -> dict[str, Any]:
        """One object: ok, kernel, rule_path, setup, lines (what, from, to, ok, figure, values), summary, kept."""
        lines = [
            {
                "what": line.what,
                "from": line.source,
                "to": line.target,
                "ok": finding.ok,
                "figure": finding.figure,
                "values": finding.values,
            }
            for line, finding in self.findings
        ]
        return {
            "ok": self.ok,
            "kernel": platform.release(),
            "rule_path": self.rule_path,
            "setup": list(self.setup),
            "lines": lines,
            "summary": self.summary,
            "trouble": list(self.trouble),
            "kept": self.kept,
        }


def run(options: Options, progress: Progress) -> Result:
    """Build the lab, try all lines, clean up. OperatorError where lab or translator cannot be had."""
    with contextlib.ExitStack() as stack:
        # the way back is laid before the way there: an interrupt between the two finds it
        lab = Lab()
        stack.callback(lab.close)
        lab.__enter__()
        process = TranslatorProcess(lab.translator, lab.directory, *options.arguments)
        stack.callback(process.stop)
        process.start()
        setup = tuple(process.output())
        progress.up(setup)
        with Checks(lab, process, options.load, superframes=options.superframes) as checks:
            lines = list(checks.lines())
            progress.begin(lines)
            findings = tuple(_try(lines, process, progress))
        summary = process.summary() if process.alive() else {}
        healthy = process.alive() and not summary["workers_restarted"]
        trouble = () if healthy else tuple(process.output())
        rule_path = summary.get("rule_path", "unknown")
        kept = None
        if options.keep:
            stack.pop_all()
            kept = {
                "lab": f"{os.getpid():x}",
                "namespaces": {role: namespace.name for role, namespace in lab.namespaces.items()},
                "pid": process.pid,
                "log": str(process.log),
                "config": str(process.configuration),
            }
        else:
            summary = process.stop() or summary
        return Result(findings, rule_path, setup, summary, trouble, kept)


def _try(lines: Sequence[Line], process: TranslatorProcess, progress: Progress) -> Iterator[tuple[Line, Observation]]:
    for line in lines:
        progress.trying(line)
        if process.alive():
            finding = line.finding()
        else:
            finding = Observation(False, f"not tried, nfxlat run has ended: {process.last_words()}")
        progress.found(line, finding)
        yield line, finding
