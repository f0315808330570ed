"""`nfxlat top`: the counters of running translators as they change."""

import argparse
import time
from collections.abc import Iterator
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.live import Live
from rich.table import Table

from nfxlat.cli import screen
from nfxlat.cli.screen import cell, lively
from nfxlat.cli.stats import chosen
from nfxlat.errors import OperatorError
from nfxlat.service.answer import ENDED
from nfxlat.service.status import Running, ask
from nfxlat.terms import DIRECTIONS

SHORTEST, LONGEST = 0.1, 86400.0  # seconds
TOTALS = {
    "packets": "packets taken from the queues",
    "injected": "packets injected",
    "superframes": "superframes",
    "fast": "translated by the fast path",
    "errors_sent": "ICMP errors sent",
}


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    top = commands.add_parser("top", help="show counters as they change", description="Rates and totals, until Ctrl-C.")
    top.add_argument("--interval", type=float, default=1.0, metavar="S", help="seconds between updates (default: 1)")
    top.add_argument(
        "--count", type=int, default=0, metavar="N", help="stop after N updates (default: run until Ctrl-C)"
    )
    top.add_argument("--domain", metavar="NAME", help="this domain only")
    top.set_defaults(run=_top)


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
    return {one: (time.monotonic(), ask(one)) for one in chosen(arguments.domain)}


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
    if (offload := result.get("offload")) is not None:
        yield from _offload(offload, former.get("offload") or offload)
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


def _offload(now: dict[str, Any], then: dict[str, Any]) -> Iterator[tuple[str, int, int]]:
    for what in ("pairs", "flows"):
        if now[what]:
            yield f"{what} known at ingress", now[what], now[what]
    for why in ("learnt", *ENDED):
        if now[why]:
            yield f"pairs and flows {why}", now[why], then[why]
    for direction in DIRECTIONS:
        for outcome, number in now[direction].items():
            if number:
                yield f"{direction} at ingress: {outcome}", number, then[direction][outcome]
