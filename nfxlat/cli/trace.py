"""`nfxlat trace`: the packets of a running translator as they are, what became of them, and why."""

import argparse
import contextlib
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

from nfxlat.cli.screen import say
from nfxlat.cli.trace_words import filter_of
from nfxlat.cli.traced_packet import Capture, as_json, lines
from nfxlat.cli.translators import only_line
from nfxlat.datapath.trace_filter import LARGEST_RATE, LARGEST_SNAP
from nfxlat.errors import OperatorError
from nfxlat.service.traced import NotShown, Shown, shown

COUNT, RATE, SNAP = 1000, 100, 2048
"""Bounds, unless others are asked for: packets in all, a second and worker, octets of each."""

Tell = Callable[[Shown], None]


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "trace",
        help="show packets of a running translator, and what happens to them",
        description="Shows packets as they come in, what comes out, and why, until Ctrl-C. Tracing does not change the "
        "path of packets, except that offloaded flows leave the kernel meanwhile. Exit status: 0; 2 if no translator "
        "runs, or the filter is wrong.",
    )
    parser.add_argument(
        "filter",
        nargs="*",
        metavar="FILTER",
        help="an address or prefix of either family (two: one for each end), tcp, udp, icmp, proto N, port N; all must "
        "match. ICMP errors about such packets are shown too. Default: every packet",
    )
    parser.add_argument("--dropped", action="store_true", help="only what is dropped or rejected")
    parser.add_argument(
        "--reason", action="append", default=[], metavar="REASON", help="only this reason (may be repeated)"
    )
    parser.add_argument(
        "--count", type=int, default=COUNT, metavar="N", help=f"end after N packets; 0: never (default: {COUNT})"
    )
    parser.add_argument(
        "--rate", type=int, default=RATE, metavar="N", help=f"at most N per second and worker; 0: all (default: {RATE})"
    )
    parser.add_argument("--seconds", type=float, metavar="S", help="end after S seconds")
    parser.add_argument(
        "--snap", type=int, default=SNAP, metavar="N", help=f"octets of each packet; 0: all of them (default: {SNAP})"
    )
    parser.add_argument("--domain", metavar="NAME", help="domain; needed if several run")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one JSON object per packet, each on its own line")
    form.add_argument(
        "--write",
        metavar="FILE",
        help="write a pcapng file of both sides, for Wireshark, with the reason as a comment; -: stdout",
    )
    parser.set_defaults(run=_trace)


def _trace(arguments: argparse.Namespace) -> int:
    for name, most in (("count", None), ("rate", LARGEST_RATE), ("snap", LARGEST_SNAP)):
        value = getattr(arguments, name)
        if value < 0 or (most is not None and value > most):
            raise OperatorError(f"a number from 0{f' to {most}' if most else ''}", where=f"--{name}")
    if arguments.seconds is not None and not 0 < arguments.seconds <= 1e9:
        raise OperatorError("a number of seconds above 0", where="--seconds")
    wanted = filter_of(
        arguments.filter,
        dropped=arguments.dropped,
        reasons=arguments.reason,
        rate=arguments.rate,
        snap=arguments.snap,
    )
    with contextlib.ExitStack() as stack:
        tell, ready = _teller(arguments, stack)
        line = stack.enter_context(only_line(arguments.domain))
        line.ask("trace", wanted=wanted.encode().decode())
        ready()
        if sys.stderr.isatty():
            print(f"nfxlat: tracing {line.one.domain}, until Ctrl-C", file=sys.stderr)
        ended = _show(line.connection, tell, arguments.count, arguments.seconds)
    print(f"nfxlat: {ended}", file=sys.stderr)
    return 0


def _show(connection: socket.socket, tell: Tell, count: int, seconds: float | None) -> str:
    """Tell what is shown; why it ended."""
    told = missed = 0
    why, began = "the translator has ended", time.monotonic()
    with _interruptible():
        try:
            for one in shown(connection, seconds):
                missed += one.missed
                tell(one)
                told += 1
                if told == count:
                    why = "--count is reached"
                    break
            else:
                if seconds is not None and time.monotonic() - began >= seconds:
                    why = "--seconds are over"
        except KeyboardInterrupt:
            why = "stopped"
        except NotShown:
            why = "the translator is of another version than this nfxlat"
    more = f", {missed} more left out (--rate)" if missed else ""
    return f"{told} packets shown{more}: {why}"


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM ends it as Ctrl-C does: with what there is to say."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    former = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)


def _teller(arguments: argparse.Namespace, stack: contextlib.ExitStack) -> tuple[Tell, Callable[[], object]]:
    """Who tells of a packet, and what is to be said when it begins."""
    if arguments.write is None:

        def at_once(one: Shown) -> None:
            say(*([as_json(one)] if arguments.json else lines(one)))
            sys.stdout.flush()

        return at_once, lambda: None
    if arguments.write == "-":
        if sys.stdout.isatty():
            raise OperatorError("a capture is not for a terminal", where="--write -", hint="give the name of a file")
        capture = Capture(sys.stdout.buffer)
        return capture.put, capture.begin
    with _naming(arguments.write):
        file = Path(arguments.write).open("wb")  # noqa: SIM115 - closed by `stack`
    stack.callback(_naming(arguments.write)(file.close))
    capture = Capture(file)
    return _naming(arguments.write)(capture.put), _naming(arguments.write)(capture.begin)


@contextlib.contextmanager
def _naming(path: str) -> Iterator[None]:
    """An error of writing is told with the name of the file."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OperatorError(f"cannot be written: {error.strerror}", where=path) from None
