"""`nfxlat demo`: translate real traffic in a lab of network namespaces, and show what came of it."""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import signal
from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress
from rich.table import Table

from nfxlat.cli import screen
from nfxlat.cli.screen import lively
from nfxlat.errors import OperatorError
from nfxlat.lab import demo, leftovers
from nfxlat.lab.checks import Line, Load, Observation
from nfxlat.lab.netns import Terminated, signals_raise
from nfxlat.lab.topology import DRAWING, HOST6_4

RULE_PATHS = {
    "native": "native (nft_queue)",
    "compat": "compat target NFQUEUE: this kernel has no nft_queue",
}


def add_parser(subparsers: Any) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "demo",
        help="translate real traffic in a lab of network namespaces",
        description="Builds five network namespaces, runs nfxlat in the middle one, sends real traffic both ways and "
        "shows the results. The host's own network is not touched; everything is removed at the end. "
        "Exit status: 0 all checks pass, 1 a check fails, 2 it cannot run here, 128+N stopped by signal N.",
    )
    load = Load()
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout; the rest goes to stderr")
    parser.add_argument(
        "--keep", action="store_true", help="leave the lab and the translator running, and print how to enter"
    )
    parser.add_argument(
        "--clean",
        nargs="?",
        const="",
        metavar="LAB",
        help="remove what --keep or a killed demo left, and exit; LAB: the name that --keep printed (default: all)",
    )
    parser.add_argument(
        "--size",
        type=_positive(int),
        default=load.octets >> 20,
        metavar="MIB",
        help="size of the download (default: %(default)s)",
    )
    parser.add_argument(
        "--seconds",
        type=_positive(float),
        default=load.seconds,
        metavar="S",
        help="seconds per bulk transfer (default: %(default)s)",
    )
    parser.add_argument(
        "--rounds",
        type=_positive(int),
        default=load.rounds,
        metavar="N",
        help="number of bulk transfers; the median counts (default: %(default)s)",
    )
    parser.add_argument("--inject", choices=("device", "ip"), default="device", help="as for nfxlat run")
    parser.add_argument("--source", choices=("netlink", "netfilterqueue"), default="netlink", help="as for nfxlat run")
    parser.set_defaults(run=run)


def _positive(kind: type[int] | type[float]) -> Any:
    def convert(text: str) -> int | float:
        value = kind(text)
        if not 0 < value < math.inf:
            raise argparse.ArgumentTypeError(f"invalid value {text}: must be greater than 0")
        return value

    convert.__name__ = kind.__name__  # argparse names it in "invalid int value"
    return convert


def run(args: argparse.Namespace) -> int:
    """Run the command; its exit status."""
    if os.geteuid() != 0:
        raise OperatorError("network namespaces need root", where="nfxlat demo", hint="run as root")
    console = screen.console(stderr=args.json, soft_wrap=True)
    if args.clean is not None:
        return _clean(console, args.clean, as_json=args.json)
    options = demo.Options(
        load=Load(args.size << 20, args.seconds, args.rounds),
        arguments=("--inject", args.inject, "--source", args.source),
        superframes=args.inject == "device" and args.source == "netlink",
        keep=args.keep,
    )
    console.print(DRAWING, markup=False)
    console.print()
    try:
        with signals_raise(), _Show(console) as progress:
            result = demo.run(options, progress)
    except (KeyboardInterrupt, Terminated) as stopped:
        console.print("stopped; the lab and the translator are removed")
        return 128 + (stopped.number if isinstance(stopped, Terminated) else signal.SIGINT)
    _print_table(console, result)
    if args.json:
        print(json.dumps(result.as_json()))
    return 0 if result.ok else 1


def _clean(console: Console, lab: str, *, as_json: bool) -> int:
    try:
        creator = int(lab, 16) if lab else None
    except ValueError:
        raise OperatorError(f"no such lab {lab!r}", where="--clean", hint="give the name that --keep printed") from None
    removed = leftovers.clean(creator)
    for name in removed:
        console.print(f"removed {name}")
    if not removed:
        console.print("nothing to remove")
    if as_json:
        print(json.dumps({"removed": removed}))
    return 0


class _Show:
    """Progress for a terminal (a bar) or a file (plain lines)."""

    def __init__(self, console: Console) -> None:
        self._console = console
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        self._bar = RichProgress(*columns, console=console, transient=True, disable=not lively(console))
        self._task = self._bar.add_task("building the lab", total=None)

    def __enter__(self) -> _Show:
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def up(self, setup: Sequence[str]) -> None:
        for line in setup:
            self._console.print(f"  {line}", style="dim", markup=False)

    def begin(self, lines: Sequence[Line]) -> None:
        self._bar.update(self._task, total=sum(line.seconds for line in lines))

    def trying(self, line: Line) -> None:
        self._bar.update(self._task, description=f"{line.what}: {line.source} to {line.target}")

    def found(self, line: Line, finding: Observation) -> None:
        self._bar.advance(self._task, line.seconds)
        if not lively(self._console):
            word = "ok" if finding.ok else "FAILED"
            text = f"{line.what}: {line.source} to {line.target}: {word}, {finding.figure}"
            self._console.print(text, markup=False)


def _print_table(console: Console, result: demo.Result) -> None:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("what", "from", "to", "result", "figure"):
        table.add_column(heading, overflow="fold")  # an address cut short says nothing
    for line, finding in result.findings:
        word = "[green]ok[/]" if finding.ok else "[bold red]FAILED[/]"
        table.add_row(line.what, line.source, line.target, word, escape(finding.figure))
    console.print(table)
    console.print(f"queue rule: {RULE_PATHS.get(result.rule_path, result.rule_path)}", markup=False)
    for text in result.trouble:
        console.print(f"  nfxlat run: {text}", style="red", markup=False)
    failed = sum(not finding.ok for _, finding in result.findings)
    console.print(f"{failed} of {len(result.findings)} checks FAILED" if failed else "all checks passed", markup=False)
    if result.trouble:
        console.print("nfxlat run or one of its workers died: see its output above", style="bold red", markup=False)
    if result.kept is not None:
        names = result.kept["namespaces"]
        others = ", ".join(name for role, name in names.items() if role != "translator")
        ping = "" if shutil.which("ping") else "    (after apt-get install iputils-ping)"
        console.print(
            f"enter:  ip netns exec {names['translator']} bash    (also {others})\n"
            f"try:    ip netns exec {names['host4']} ping {HOST6_4}{ping}\n"
            f"nfxlat run: pid {result.kept['pid']}, log {result.kept['log']}, domain {result.kept['config']}\n"
            f"remove: nfxlat demo --clean {result.kept['lab']}",
            markup=False,
        )
