"""`nfxlat trace`: the packets of a running translator as they are, what became of them, and why."""

import argparse
import contextlib
import json
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from types import FrameType
from typing import BinaryIO

from nfxlat import ipaddresses
from nfxlat.cli.screen import say
from nfxlat.cli.translators import only_line
from nfxlat.datapath.trace_filter import ICMP, LARGEST_RATE, LARGEST_SNAP, TCP, UDP, Filter
from nfxlat.errors import OperatorError, printable
from nfxlat.offline.pcapng_writer import Writer
from nfxlat.offline.summary import brief
from nfxlat.offline.translation import DIRECTION_OF_VERSION
from nfxlat.outcome import Action, Reason
from nfxlat.service.traced import NotShown, Shown, shown

_PROTOCOLS = {"tcp": TCP, "udp": UDP, "icmp": ICMP, "icmpv6": ICMP}
_LOST = (Action.DROPPED, Action.REJECTED)
COUNT, RATE, SNAP = 1000, 100, 2048
"""Bounds, unless others are asked for: packets in all, a second and worker, octets of each."""

Tell = Callable[[Shown], None]


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "trace",
        help="show packets of a running translator, and what becomes of them",
        description="Shows packets as they come, what comes out, and why, until Ctrl-C. What is asked for takes its "
        "usual way; only offloaded flows come back from the kernel for as long. Exit status: 0; 2 where no translator "
        "runs, or the filter is wrong.",
    )
    parser.add_argument(
        "filter",
        nargs="*",
        metavar="FILTER",
        help="an address or prefix of either family (two: one for each end), tcp, udp, icmp, proto N, port N; all must "
        "hold. Default: every packet",
    )
    parser.add_argument("--dropped", action="store_true", help="only what is dropped or rejected")
    parser.add_argument(
        "--reason", action="append", default=[], metavar="REASON", help="only this reason; may be given again"
    )
    parser.add_argument("--count", type=int, default=COUNT, metavar="N", help=f"end after N; 0: never ({COUNT})")
    parser.add_argument(
        "--rate", type=int, default=RATE, metavar="N", help=f"at most N a second and worker; 0: all ({RATE})"
    )
    parser.add_argument("--seconds", type=float, metavar="S", help="end after S seconds")
    parser.add_argument(
        "--snap", type=int, default=SNAP, metavar="N", help=f"octets of each packet; 0: all of them ({SNAP})"
    )
    parser.add_argument("--domain", metavar="NAME", help="of this domain; needed where several run")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one JSON object a packet, each on its own line")
    form.add_argument(
        "--write", metavar="FILE", help="a pcapng file of both sides, for Wireshark, the reason as comment; -: stdout"
    )
    parser.set_defaults(run=_trace)


def filter_of(words: Iterable[str], *, dropped: bool, reasons: Iterable[str], rate: int, snap: int) -> Filter:
    """What the words of a command line ask for. Raises OperatorError."""
    networks, protocols, ports = [], set[int](), list[int]()
    rest = iter(words)
    for word in rest:
        if word in _PROTOCOLS:
            protocols.add(_PROTOCOLS[word])
        elif word == "proto":
            protocols.add(_number(next(rest, ""), 255, "proto"))
        elif word == "port":
            ports.append(_number(next(rest, ""), 65535, "port"))
        else:
            networks.append(_network(word))
    if len(networks) > 2 or len(ports) > 1:
        raise OperatorError("more than two addresses, or more than one port", where="filter")
    labels = {reason.label for reason in Reason}
    for reason in reasons:
        if reason not in labels:
            hint = "nfxlat stats shows those that there are"
            raise OperatorError("no such reason", where=f"--reason {reason}", hint=hint)
    return Filter(
        tuple(networks),
        frozenset(protocols),
        ports[0] if ports else None,
        frozenset(reasons),
        frozenset(_LOST if dropped else ()),
        rate,
        snap or LARGEST_SNAP,
    )


def _network(word: str) -> IPv4Network | IPv6Network:
    try:
        return ipaddresses.network(word)
    except ValueError as error:
        if "host bits" in str(error):
            inside = ipaddresses.network(word, strict=False)
            raise OperatorError("an address with a prefix length", where=f"filter: {word}", hint=f"{inside}?") from None
        hint = "an address, a prefix, tcp, udp, icmp, proto N or port N"
        raise OperatorError("not a word of a filter", where=f"filter: {word}", hint=hint) from None


def _number(text: str, most: int, where: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= most):
        raise OperatorError(f"needs a number from 0 to {most} behind it", where=f"filter: {where}")
    return int(text)


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
    capture = _Capture(_opened(arguments.write, stack))
    return capture.put, capture.begin


def _opened(path: str, stack: contextlib.ExitStack) -> BinaryIO:
    if path == "-":
        if sys.stdout.isatty():
            raise OperatorError("a capture is not for a terminal", where="--write -", hint="give the name of a file")
        return sys.stdout.buffer
    try:
        return stack.enter_context(Path(path).open("wb"))
    except OSError as error:
        raise OperatorError(f"cannot be written: {error.strerror}", where=path) from None


class _Capture:
    """A pcapng file: what came on the interface `in`, what left on `out`."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._writer: Writer | None = None

    def begin(self) -> None:
        self._writer = Writer(self._file, ("in", "out"))

    def put(self, one: Shown) -> None:
        assert self._writer is not None
        when = int(one.time * 1e9)
        self._writer.write(0, when, one.packet, one.length, _comment(one))
        for packet, length in zip(one.packets, one.lengths, strict=False):
            self._writer.write(1, when, packet, length, one.reason.label)


def _comment(one: Shown) -> str:
    return f"{one.action.value}: {one.reason.label} ({one.reason.rfc}): {one.reason.sentence}; {', '.join(_facts(one))}"


def _facts(one: Shown) -> list[str]:
    facts = [f"{one.hook} {_interface(one.interface)}".rstrip(), f"worker {one.worker}"]
    if one.fast:
        facts.append("fast path")
    if one.gso_size is not None:
        size = f" of {one.gso_size} octets" if one.gso_size else ""
        facts.append(f"superframe, segments{size}{'' if one.fast else ', cut here'}")
    if one.unfinished:
        facts.append("checksum left to the hardware")
    return facts


def _interface(index: int) -> str:
    if not index:
        return ""
    try:
        return socket.if_indextoname(index)
    except OSError:
        return f"interface {index}"


def lines(one: Shown) -> list[str]:
    """As text: what came, where, what comes out."""
    clock = time.strftime("%H:%M:%S", time.localtime(one.time)) + f".{int(one.time * 1e6) % 1_000_000:06}"
    what = one.action.value if one.reason.label == one.action.value else f"{one.action.value}: {one.reason.label}"
    found = [f"{clock} {_brief(one.packet, one.length)}", f"  {what} ({one.reason.rfc}); {', '.join(_facts(one))}"]
    if one.action in _LOST:
        found.append(f"  {one.reason.sentence}")
    found += [f"  => {_brief(packet, length)}" for packet, length in zip(one.packets, one.lengths, strict=False)]
    if len(one.lengths) > len(one.packets):
        found.append(f"  => {len(one.lengths) - len(one.packets)} more")
    return found


def _brief(packet: bytes, length: int) -> str:
    whole = packet + bytes(length - len(packet)) if len(packet) < length <= LARGEST_SNAP else packet
    return printable(brief(whole))


def as_json(one: Shown) -> str:
    """Keys time, worker, hook, interface, direction, action, reason, rfc, sentence, fast, packet and
    packets (hex), length, lengths, unfinished, missed (packets left out before this one), and of a superframe gso_size,
    segments."""
    found: dict[str, object] = {
        "time": one.time,
        "worker": one.worker,
        "hook": one.hook,
        "interface": _interface(one.interface),
        "direction": DIRECTION_OF_VERSION.get(one.packet[0] >> 4) if one.packet else None,
        "action": one.action.value,
        "reason": one.reason.label,
        "rfc": one.reason.rfc,
        "sentence": one.reason.sentence,
        "fast": one.fast,
        "unfinished": one.unfinished,
        "packet": one.packet.hex(),
        "length": one.length,
        "packets": [packet.hex() for packet in one.packets],
        "lengths": list(one.lengths),
        "missed": one.missed,
    }
    if one.gso_size is not None:
        found |= {"gso_size": one.gso_size, "segments": one.segments}
    return json.dumps(found)
