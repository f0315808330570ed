"""`nfxlat top`: what moves now in running translators. Lines of at most 80 columns, on any terminal."""

import argparse
import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rich.live import Live
from rich.text import Text

from nfxlat.cli import screen
from nfxlat.cli.screen import lively
from nfxlat.cli.translators import chosen
from nfxlat.errors import OperatorError, printable
from nfxlat.service.accounts import by_action
from nfxlat.service.counted import Asking
from nfxlat.service.status import Running, ask
from nfxlat.terms import DIRECTIONS

SHORTEST, LONGEST = 0.1, 86400.0  # seconds
WIDTH = 80
LOSSES = 12  # lines of what is lost, those that grow first

Look = tuple[float, dict[str, Any]]  # when, and what it said
Looks = dict[Running, Look]


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    top = commands.add_parser(
        "top",
        help="show live rates, losses and the busiest pairs",
        description="Shows rates, losses, and the ten busiest pairs of addresses, until Ctrl-C.",
    )
    top.add_argument("--interval", type=float, default=1.0, metavar="S", help="seconds between updates (default: 1)")
    top.add_argument(
        "--count", type=int, default=0, metavar="N", help="stop after N updates (default: run until Ctrl-C)"
    )
    top.add_argument("--domain", metavar="NAME", help="only this domain")
    top.set_defaults(run=_top)


def _top(arguments: argparse.Namespace) -> int:
    if not SHORTEST <= arguments.interval <= LONGEST or arguments.count < 0:
        hint = f"an interval from {SHORTEST:g} to {LONGEST:g} s, a count from 0"
        raise OperatorError("invalid value", where="--interval, --count", hint=hint)
    console = screen.console()
    with contextlib.closing(_Counted()) as counted:
        if not lively(console):  # one behind the other
            for lines in _frames(arguments, counted):
                console.print(_text(lines, console.width))
                console.file.flush()
            return 0
        with Live(Text(""), console=console, auto_refresh=False, screen=True) as live:
            for lines in _frames(arguments, counted):
                live.update(_text(lines, console.width), refresh=True)
    return 0


def _text(lines: list[str], width: int) -> Text:
    """No line is folded or cut: what does not fit goes on below."""
    folded = [line[at : at + width] for line in map(printable, lines) for at in range(0, max(1, len(line)), width)]
    return Text("\n".join([*folded, ""]), no_wrap=True)


class _Counted:
    """Has each translator count pairs while this runs; one that cannot has none to show."""

    def __init__(self) -> None:
        self._asking: dict[Running, Asking | None] = {}

    def ask(self, one: Running) -> None:
        if one not in self._asking:
            self._asking[one] = None
            with contextlib.suppress(OperatorError):
                self._asking[one] = Asking(one)

    def close(self) -> None:
        for asking in self._asking.values():
            if asking is not None:
                asking.close()


def _frames(arguments: argparse.Namespace, counted: _Counted) -> Iterator[list[str]]:
    """The lines of each update."""
    before, number = _look(arguments, counted), 0
    while not arguments.count or number < arguments.count:
        time.sleep(arguments.interval)
        now = _look(arguments, counted)
        yield [line for one, look in now.items() for line in (*_domain(one, before.get(one, look), look), "")]
        before, number = now, number + 1


def _look(arguments: argparse.Namespace, counted: _Counted) -> Looks:
    found: Looks = {}
    for one in chosen(arguments.domain):
        counted.ask(one)
        found[one] = time.monotonic(), ask(one)
    return found


@dataclass(frozen=True, slots=True)
class _Growing:
    """A counter then and now."""

    past: int
    now: int
    seconds: float

    @property
    def rate(self) -> float:
        """A second. One that was started anew has begun at 0."""
        grown = self.now - self.past if self.now >= self.past else self.now
        return grown / self.seconds if self.seconds > 0 else 0.0


def _domain(one: Running, before: Look, now: Look) -> Iterator[str]:
    (then, former), (when, told) = before, now
    seconds = when - then

    def growing(what: dict[str, int], past: dict[str, int], key: str) -> _Growing:
        return _Growing(past.get(key, 0), what.get(key, 0), seconds)

    moved, past = _moved(told), _moved(former)
    yield (
        f"{one.domain}  {told.get('model', '')} model, workers {told.get('workers', 0)} "
        f"(restarted {told.get('workers_restarted', 0)}), up {_clock(told.get('seconds', 0))}"
    )
    yield f"{'':22}{'packets/s':>12}{'Mbit/s':>12}{'packets':>18}"
    for direction in DIRECTIONS:
        packets = growing(moved, past, f"{direction} packets")
        octets = growing(moved, past, f"{direction} octets")
        bits = f"{octets.rate * 8e-6:,.1f}"
        yield f"{direction + ' translated':22}{packets.rate:>12,.0f}{bits:>12}{packets.now:>18,}"
    yield _shares(growing(moved, past, "offload"), growing(moved, past, "fast"), growing(moved, past, "all"), told)
    yield from _lines("lost, dropped, answered", _losses(told), _losses(former), seconds)
    yield from _busiest(told)


def _moved(told: dict[str, Any]) -> dict[str, int]:
    """What was translated, by direction, with what was at ingress."""
    found = {"offload": 0, "fast": told["totals"]["fast"]}
    translated = dict.fromkeys(DIRECTIONS, 0)
    for direction, action, _, packets in by_action(told):
        if action == "translated" and direction in translated:
            translated[direction] += packets
    for direction, label in zip(DIRECTIONS, ("octets4", "octets6"), strict=True):
        octets, at_ingress = told["totals"].get(label, 0), (told.get("offload") or {}).get(direction)
        if at_ingress:
            octets += at_ingress["octets"]
            translated[direction] += at_ingress["translated"]
            found["offload"] += at_ingress["translated"]
        found |= {f"{direction} packets": translated[direction], f"{direction} octets": octets}
    return found | {"all": sum(translated.values())}


def _shares(offload: _Growing, fast: _Growing, whole: _Growing, told: dict[str, Any]) -> str:
    """Of the packets that move; of all so far where none does."""
    rates = (offload.rate, fast.rate, whole.rate) if whole.rate else (offload.now, fast.now, whole.now)
    at_ingress, by_fast_path = (100 * part / rates[2] if rates[2] else 0.0 for part in rates[:2])
    offload_now = told.get("offload")
    entries = f" ({offload_now['pairs'] + offload_now['flows']:,} entries)" if offload_now else ""
    return f"at ingress {at_ingress:.0f} %{entries}, fast path {by_fast_path:.0f} %, core the rest"


def _losses(told: dict[str, Any]) -> dict[str, int]:
    """Everything but what was translated."""
    found: dict[str, int] = {}
    for direction, action, reason, packets in by_action(told):
        if action != "translated":
            key = f"{direction} {action}: {reason}"
            found[key] = found.get(key, 0) + packets
    for queue, row in told["queues"].items():
        found |= {f"queue {queue}: lost ({kind})": row[kind] for kind in ("full", "socket") if row[kind]}
        if row.get("waiting"):
            found[f"queue {queue}: waiting"] = row["waiting"]
    for direction in DIRECTIONS if told.get("offload") else ():
        if held := told["offload"][direction]["held"]:
            found[f"{direction} dropped at ingress"] = held
    for key, what in (("unexpected", "no rule took it"), ("workers_restarted", "workers restarted")):
        if told.get(key):
            found[what] = told[key]
    return found


def _lines(title: str, now: dict[str, int], past: dict[str, int], seconds: float) -> Iterator[str]:
    rows = {what: _Growing(past.get(what, 0), number, seconds) for what, number in now.items()}
    if not rows:
        yield f"{title}: none"
        return
    yield f"{title + ' (packets/s, so far)':46}"
    most = sorted(rows.items(), key=lambda item: (-item[1].rate, -item[1].now))
    for what, row in most[:LOSSES]:
        yield f"  {what:44}{row.rate:>12,.0f}{row.now:>18,}"
    if len(most) > LOSSES:
        yield f"  and {len(most) - LOSSES} more, see nfxlat stats"


def _busiest(told: dict[str, Any]) -> Iterator[str]:
    counting = told.get("counting")
    if not counting:
        return
    yield f"{'busiest pairs':46}{'packets/s':>12}{'Mbit/s':>12}"
    for direction, source, destination, packets, octets in counting["busiest"]:
        ends, bits = f"  {direction} {source} > {destination}", f"{octets * 8e-6:,.1f}"
        if len(ends) > 46:
            yield ends
            ends = ""
        yield f"{ends:46}{packets:>12,}{bits:>12}"
    if not counting["busiest"]:
        yield "  none in the last second"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return f"{f'{days} d ' if days else ''}{hours}:{minutes:02}:{rest:02}"
