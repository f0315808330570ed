"""`nfxlat translate`: what the translator makes of a capture."""

import argparse
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import Any, BinaryIO, Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from nfxlat.cli import screen
from nfxlat.cli.domain_arguments import add_domain_arguments, chosen_domain
from nfxlat.cli.screen import cell, is_narrow, lively, say, stack
from nfxlat.errors import printable
from nfxlat.offline.capture import Writer, opened
from nfxlat.offline.record import Record
from nfxlat.offline.summary import brief
from nfxlat.offline.translation import Counts, Judgement, judge_all
from nfxlat.xlat.translator import Translator

_PROGRESS_FROM: Final = 4 << 20  # octets of the file: less is read at once
_PROGRESS_EVERY: Final = 2000  # packets
_LINES_AT_ONCE: Final = 256
_SHOWN: Final = 2  # of what becomes of a superframe


def add_parser(subparsers: Any) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "translate",
        help="translate a capture offline",
        description="Translates each packet of a capture as `nfxlat run` would, and shows the results. "
        "Reads pcap and pcapng with raw IP, Ethernet (with VLAN tags, PPPoE), PPP, Linux cooked or loopback frames, "
        "tcpdump -x and other hex dumps, also compressed with gzip. Superframes, which are longer than mtu4 or "
        "mtu6, are judged by their segments. OUT.pcap gets "
        "translated packets, ICMP errors and packets that pass untouched, in frames with the link addresses and times "
        "of the input. Next-hop MTUs are the domain's mtu4 and mtu6.",
        epilog="JSON, one object per packet, in order: n (from 1), direction (4to6 or 6to4; null: not IP), "
        "action (translated, rejected, dropped, passed), reason, rfc, packets (hex); for a superframe, the number of "
        "its segments.",
    )
    add_domain_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object per packet, nothing else")
    parser.add_argument("--role", choices=("router", "host"), default="router", help="as for nfxlat run")
    parser.add_argument(
        "--hops", type=int, choices=(0, 1), default=1, help="hops taken off TTL or Hop Limit (default: 1)"
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="print a line per packet before the table")
    parser.add_argument("input", metavar="IN.pcap", help="capture to read; - for stdin")
    parser.add_argument("output", metavar="OUT.pcap", nargs="?", help="capture to write; replaced only when complete")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """The command."""
    domain = chosen_domain(arguments)
    translator = Translator(domain.as_host() if arguments.role == "host" else domain)
    counts, lines = Counts(), _Lines()
    with ExitStack() as stack:
        writer = Writer(arguments.output, arguments.input) if arguments.output else None
        capture, file = stack.enter_context(opened(arguments.input))
        if writer:
            stack.enter_context(writer)
        stack.callback(lines.flush)
        for judgement in judge_all(translator, _watched(capture, file), arguments.hops):
            counts.add(judgement)
            if arguments.json:
                lines.put(judgement.as_json())
            elif arguments.verbose:
                say(*_line(judgement).split("\n"))
            if writer:
                writer.begin(capture)
                for frame in judgement.frames():
                    writer.write(judgement.record, frame)
        if writer:
            writer.begin(capture)
    if not arguments.json:
        _print_counts(counts)
    if counts.cut_off:
        what = f"{counts.cut_off} of {counts.packets} packets were not captured whole; capture with tcpdump -s 0"
        print(printable(f"nfxlat: {arguments.input}: {what}"), file=sys.stderr)
    return 0


class _Lines:
    """Lines for stdout, many to a system call unless somebody looks on."""

    def __init__(self) -> None:
        self._waiting: list[str] = []
        self._most = 1 if sys.stdout.isatty() else _LINES_AT_ONCE

    def put(self, line: str) -> None:
        self._waiting.append(line)
        if len(self._waiting) >= self._most:
            self.flush()

    def flush(self) -> None:
        if self._waiting:
            print("\n".join(self._waiting))
            self._waiting = []


def _line(judgement: Judgement) -> str:
    packet, (action, reason, packets) = judgement.packet, judgement.outcome
    label = "" if reason.label == action.value else f" ({reason.label})"
    of = f", {judgement.superframe.text()}" if judgement.superframe else ""
    line = f"{judgement.number:>6}  {brief(packet) if packet else 'not IP'}{of}: {action.value}{label}"
    shown = packets[:_SHOWN] if judgement.superframe else packets
    line += "".join(f"\n{'':>6}  => {brief(result)}" for result in shown)
    more = len(packets) - len(shown)
    return f"{line}\n{'':>6}  => {more} more" if more else line


def _watched(records: Iterable[Record], file: BinaryIO) -> Iterator[Record]:
    """`records`, with a bar on stderr where that is a terminal and the file is large."""
    console = screen.console(stderr=True)
    size = os.fstat(file.fileno()).st_size if lively(console) and file.seekable() else 0
    if size < _PROGRESS_FROM:
        yield from records
        return
    columns = (TextColumn("{task.fields[packets]} packets"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, redirect_stdout=sys.stdout.isatty()) as progress:
        task = progress.add_task("", total=size, packets=0)
        for number, record in enumerate(records):
            if not number % _PROGRESS_EVERY:
                progress.update(task, completed=file.tell(), packets=number)
            yield record


def _print_counts(counts: Counts) -> None:
    console = screen.console(soft_wrap=True)
    if not console.is_terminal:
        console.width = 160
    if is_narrow(console):
        for direction, action, reason, number in counts.rows():
            head = f"{number:>5} {direction or '-'} {action.value}"
            head += "" if reason.label == action.value else f": {reason.label}"
            stack(console, cell(head), cell(f"{reason.sentence} ({reason.rfc})"))
        _print_sums(console, counts)
        return
    table = Table("packets", "direction", "action", "reason", "meaning", "clause", title_justify="left")
    table.columns[0].justify = "right"
    for direction, action, reason, number in counts.rows():
        table.add_row(str(number), direction or "-", action.value, reason.label, reason.sentence, reason.rfc)
    console.print(table)
    _print_sums(console, counts)


def _print_sums(console: Console, counts: Counts) -> None:
    console.print(f"{counts.packets} packets in, {counts.results} out")
    if counts.superframes:
        what = f"{counts.superframes} superframes (longer than mtu4 or mtu6, or without a length: GRO, TSO)"
        console.print(f"{what}, judged as {counts.segments} segments of a size that every path takes")
