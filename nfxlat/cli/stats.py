"""`nfxlat stats` and `nfxlat top`: the counters of a running translator, once or as they change."""

import argparse
import json
import time
from collections.abc import Iterator
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.live import Live
from rich.table import Table

from nfxlat.cli import screen
from nfxlat.cli.run import summary_lines
from nfxlat.cli.screen import cell, lively, say
from nfxlat.errors import OperatorError
from nfxlat.service import owned
from nfxlat.service.status import Running, ask, running
from nfxlat.terms import DIRECTIONS

SHOWN = 10  # missing things
SHORTEST, LONGEST = 0.1, 86400.0  # seconds
TOTALS = {
    "packets": "packets taken from the queues",
    "injected": "packets injected",
    "superframes": "superframes",
    "fast": "translated by the fast path",
    "errors_sent": "ICMP errors sent",
}


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare both commands."""
    stats = commands.add_parser(
        "stats",
        help="show the counters of running translators",
        description="Counters of the translators in this namespace.",
    )
    stats.add_argument("--json", action="store_true", help="one JSON object per translator, each on its own line")
    stats.add_argument(
        "--check",
        action="store_true",
        help="tell what each of them needs and lacks; exit status 0: nothing, 1: something, 2: none is running",
    )
    stats.set_defaults(run=_stats)
    top = commands.add_parser("top", help="show counters as they change", description="Rates and totals, until Ctrl-C.")
    top.add_argument("--interval", type=float, default=1.0, metavar="S", help="seconds between updates (default: 1)")
    top.add_argument(
        "--count", type=int, default=0, metavar="N", help="stop after N updates (default: run until Ctrl-C)"
    )
    top.set_defaults(run=_top)
    for parser in (stats, top):
        parser.add_argument("--domain", metavar="NAME", help="this domain only")


def _chosen(arguments: argparse.Namespace) -> list[Running]:
    found = [one for one in running() if arguments.domain in (None, one.domain)]
    if not found:
        what = f"no translator is running for {arguments.domain}" if arguments.domain else "no translator is running"
        raise OperatorError(
            what, where="this network namespace", hint="start one with nfxlat run, or use ip netns exec"
        )
    return found


def _stats(arguments: argparse.Namespace) -> int:
    if arguments.check:
        return _check(arguments)
    for one in _chosen(arguments):
        result = ask(one)
        if arguments.json:
            print(json.dumps({"pid": one.pid, **result}))
        else:
            say(*summary_lines(result))
    return 0


def _check(arguments: argparse.Namespace) -> int:
    off = False
    for one in _chosen(arguments):
        try:
            missing = owned.missing(one.domain, ask(one))
        except OperatorError as error:
            missing = [str(error)]
        off = off or bool(missing)
        if arguments.json:
            print(json.dumps({"domain": one.domain, "pid": one.pid, "missing": missing}))
        else:
            say(f"{one.domain} (pid {one.pid}): {f'missing: {_shortened(missing)}' if missing else 'all is there'}")
    return int(off)


def _shortened(things: list[str]) -> str:
    more = f" and {len(things) - SHOWN} more" if len(things) > SHOWN else ""
    return "; ".join(things[:SHOWN]) + more


def _top(arguments: argparse.Namespace) -> int:
    if not SHORTEST <= arguments.interval <= LONGEST or arguments.count < 0:
        hint = f"an interval from {SHORTEST:g} to {LONGEST:g} s, a count from 0"
        raise OperatorError("invalid value", where="--interval, --count", hint=hint)
    console = screen.console()
    if not lively(console):  # one table behind the other
        for table in _tables(arguments):
            console.print(table)
            console.file.flush()
        return 0
    now = _look(arguments)
    with Live(_table(now, now), console=console, auto_refresh=False, screen=True) as live:
        for table in _tables(arguments):
            live.update(table, refresh=True)
    return 0


def _tables(arguments: argparse.Namespace) -> Iterator[Table]:
    """One for each update."""
    before, number = _look(arguments), 0
    while not arguments.count or number < arguments.count:
        time.sleep(arguments.interval)
        now = _look(arguments)
        yield _table(before, now)
        before, number = now, number + 1


Looks = dict[Running, tuple[float, dict[str, Any]]]


def _look(arguments: argparse.Namespace) -> Looks:
    return {one: (time.monotonic(), ask(one)) for one in _chosen(arguments)}


def _table(before: Looks, now: Looks) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in ("domain", "what"):
        table.add_column(name, overflow="fold")
    for name in ("per second", "total"):
        table.add_column(name, justify="right", no_wrap=True)
    for one, (when, result) in now.items():
        then, former = before.get(one, (when, result))
        for index, (what, number, past) in enumerate(_rows(result, former)):
            rate = (number - past) / (when - then) if when > then else 0.0
            table.add_row(cell("" if index else one.domain), cell(what), f"{rate:,.0f}", f"{number:,}")
    return table


def _rows(result: dict[str, Any], former: dict[str, Any]) -> Iterator[tuple[str, int, int]]:
    """(what, the number now, the number then)."""
    for key, title in TOTALS.items():
        yield title, result["totals"][key], former["totals"][key]
    for direction in DIRECTIONS if result.get("offload") else ():
        past = (former.get("offload") or result["offload"])[direction]
        for outcome, number in result["offload"][direction].items():
            if number:
                yield f"{direction} at ingress: {outcome}", number, past[outcome]
    for reason, row in result["reasons"].items():
        for direction, number in row.items():
            yield f"{direction} {reason}", number, former["reasons"].get(reason, {}).get(direction, 0)
    for queue, losses in result["queues"].items():
        past = former["queues"].get(queue, {})
        for kind in ("full", "socket"):
            if losses[kind]:
                yield f"queue {queue}: dropped by the kernel ({kind})", losses[kind], past.get(kind, 0)
        if "waiting" in losses:  # a TUN does not tell
            yield f"queue {queue}: waiting", losses["waiting"], losses["waiting"]
