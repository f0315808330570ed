"""`nfxlat bench`: the same traffic through several models of translation, side by side."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shlex
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from rich.table import Table

from nfxlat.bench import about, models
from nfxlat.bench.page import page
from nfxlat.bench.report import Report
from nfxlat.bench.rounds import LIMIT, Options, chosen_measurements, measure
from nfxlat.bench.workloads import Settings
from nfxlat.cli import screen
from nfxlat.cli.screen import lively
from nfxlat.errors import OperatorError
from nfxlat.lab.netns import Terminated, signals_raise
from nfxlat.lab.tayga import tayga_binary

FULL_LIMIT = 3600.0


def add_parser(subparsers: Any) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "bench",
        help="measure nfxlat beside TAYGA, plain forwarding and a null translator",
        description="Builds one lab of network namespaces per model and measures all of them in turn, in several "
        "rounds. The host's own network is not touched; everything is removed at the end. Takes at most twelve "
        "minutes. Keep the machine idle otherwise. "
        "Exit status: 0 everything was measured, 1 something failed, 2 it cannot run here, 128+N stopped by signal N.",
    )
    parser.add_argument(
        "--full", action="store_true", help="more models and measurements; takes about three times as long"
    )
    parser.add_argument(
        "--quick", action="store_true", help="one short round, to see that it works; its figures mean nothing"
    )
    parser.add_argument("--rounds", type=int, metavar="N", help="number of rounds (default: 3)")
    parser.add_argument(
        "--models", type=_words, metavar="NAME,...", help=f"models to measure, out of {', '.join(models.FULL)}"
    )
    parser.add_argument(
        "--only", type=_words, default=(), metavar="WORD,...", help="only measurements whose key contains a WORD"
    )
    parser.add_argument(
        "--workers", type=int, default=1, metavar="N", help="workers of hook, device and route (default: 1)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout; the rest goes to stderr")
    parser.add_argument(
        "--markdown", action="store_true", help="the report in Markdown on stdout; the rest goes to stderr"
    )
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a report with plots to FILE")
    parser.set_defaults(run=run)


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for word in text.split(",") if word)


def chosen_options(args: argparse.Namespace) -> Options:
    """What the arguments ask for. Raises OperatorError."""
    if args.json and args.markdown:
        raise OperatorError("cannot be combined", where="--json, --markdown", hint="choose one")
    rounds = args.rounds if args.rounds is not None else 1 if args.quick else 3
    if rounds < 1 or args.workers < 1:
        raise OperatorError("must be at least 1", where="--rounds, --workers")
    names = args.models or (models.FULL if args.full else models.DEFAULT)
    for name in names:
        if name not in models.MODELS:
            raise OperatorError(
                f"unknown model {name!r}", where="--models", hint=f"choose from {', '.join(models.FULL)}"
            )
    if not args.models and not tayga_binary():
        names = tuple(name for name in names if name != "tayga")
    return Options(
        models=tuple(dict.fromkeys(names)),
        rounds=rounds,
        settings=Settings.quick() if args.quick else Settings(),
        full=args.full,
        only=args.only,
        workers=args.workers,
        limit=FULL_LIMIT if args.full else LIMIT,
    )


def run(args: argparse.Namespace) -> int:
    """Run the command; its exit status."""
    if os.geteuid() != 0:
        raise OperatorError("network namespaces need root", where="nfxlat bench", hint="run as root")
    options = chosen_options(args)
    chosen_measurements(options)
    if args.html is not None and not args.html.absolute().parent.is_dir():
        raise OperatorError("no such directory", where=f"--html {args.html}")
    console = screen.console(stderr=args.json or args.markdown, soft_wrap=True)
    if not console.is_terminal:
        console.width = 200
    if "tayga" not in options.models and not args.models:
        console.print("TAYGA is not installed and is left out; contrib/test unpacks Debian's package", style="yellow")
    machine, date = about.machine(), about.date()
    try:
        with signals_raise(), _Show(console) as progress:
            result = measure(options, progress)
    except (KeyboardInterrupt, Terminated) as stopped:
        console.print("stopped; all labs and translators are removed")
        return 128 + (stopped.number if isinstance(stopped, Terminated) else signal.SIGINT)
    command = shlex.join(["nfxlat", *sys.argv[1:]])
    report = Report(result, command, date, machine, about.versions(), dataclasses.asdict(options))
    _print(console, report)
    if args.html is not None:
        args.html.write_text(page(report), encoding="utf-8")
        console.print(f"report: {args.html}", markup=False)
    if args.json:
        print(json.dumps(report.as_json()))
    if args.markdown:
        print(report.markdown(), end="")
    return 0 if result.complete and not result.troubles else 1


class _Show:
    """Progress for a terminal (a bar) or a file (plain lines)."""

    def __init__(self, console: Console) -> None:
        self._console = console
        columns = (
            SpinnerColumn(),
            BarColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
        )
        self._bar = RichProgress(*columns, console=console, transient=True, disable=not lively(console))
        self._task = self._bar.add_task("building the labs", total=None)

    def __enter__(self) -> _Show:
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def up(self, title: str, facts: Sequence[str]) -> None:
        self._console.print(title, markup=False)
        for fact in facts:
            self._console.print(f"  {fact}", style="dim", markup=False)

    def begin(self, seconds: float) -> None:
        self._bar.update(self._task, total=seconds)
        self._console.print(f"measuring: about {seconds / 60:.0f} min", markup=False)

    def trying(self, what: str) -> None:
        self._bar.update(self._task, description=what)

    def found(self, what: str, values: str, seconds: float) -> None:
        self._bar.advance(self._task, seconds)
        if not lively(self._console):
            self._console.print(f"{what}: {values}", markup=False)


def _print(console: Console, report: Report) -> None:
    for (first, second, *names), *rows in filter(None, (report.rows(), report.ratio_rows())):
        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        table.add_column(first or "measurement")
        for name in (second or "unit", *names):
            table.add_column(name, justify="right", no_wrap=name == "unit")
        for row in rows:
            table.add_row(*row)
        console.print(table)
    for line in (*report.features(), *report.notes()):
        console.print(f"- {line}", markup=False)
