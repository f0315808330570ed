"""`nfxlat run`: the translator."""

import argparse
import fcntl
import math
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from nfxlat import files
from nfxlat.cli import exit_status
from nfxlat.cli.domain_arguments import add_domain_arguments, chosen_domain
from nfxlat.errors import OperatorError
from nfxlat.files import Opener
from nfxlat.offload.table import ENTRIES
from nfxlat.queues import DEFAULT_QUEUE, SPREAD, SPREADS, checked
from nfxlat.service import succession, summary_file
from nfxlat.service.answer import ENDED
from nfxlat.service.log import Log
from nfxlat.service.options import Options
from nfxlat.service.store import Store
from nfxlat.service.translation import Service
from nfxlat.terms import DIRECTIONS, MODELS
from nfxlat.xlat.domain import Domain

MAX_BUSY_POLL = 10_000  # microseconds
LEAST_ENTRIES, MOST_ENTRIES = 64, 1 << 20


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "run",
        help="run the translator",
        description="Translates packets between IPv4 and IPv6 for one domain. With --setup it makes the device, "
        "routes, sysctl settings and nft rules for it. Without, your own rules send packets to queue Q, and TCP to Q+1 "
        "(see nfxlat-rules(8)), or routes lead them into the domain device. Ends on SIGTERM or SIGINT.",
    )
    add_domain_arguments(parser)
    parser.add_argument(
        "--model",
        choices=MODELS,
        default="hook",
        help="what selects packets. hook: nft rules; device: routes into the domain device, without NFQUEUE; route: "
        "routes into the domain device, and nft rules that follow them (default: %(default)s)",
    )
    parser.add_argument("--queue", type=int, metavar="Q", help=f"first queue number (default: {DEFAULT_QUEUE})")
    parser.add_argument(
        "--workers", type=int, default=1, metavar="N", help="worker processes; they use queues Q to Q+2N-1 (default: 1)"
    )
    parser.add_argument("--spread", choices=SPREADS, default="ports", help=f"with --setup: {SPREAD}")
    parser.add_argument(
        "--setup",
        action="store_true",
        help="create the device, routes, rules and sysctl settings, and remove exactly those at the end",
    )
    parser.add_argument(
        "--keep-sysctls",
        action="store_true",
        help="with --setup: leave the host's sysctl settings (forwarding) as they are at the end",
    )
    parser.add_argument(
        "--role",
        choices=("router", "host"),
        help="what --setup prepares: a router, or a host (CLAT); hook model only (default: router)",
    )
    parser.add_argument(
        "--inject",
        choices=("device", "ip"),
        help="how results are sent: through the domain device (default for a router) or raw IP sockets (for a host)",
    )
    parser.add_argument("--source", choices=("netlink", "netfilterqueue"), help="packet source (default: netlink)")
    parser.add_argument(
        "--busy-poll",
        type=int,
        default=100,
        metavar="USEC",
        help="microseconds to poll for the next packet before sleeping, as long as polling finds any; 0: off "
        "(default: 100)",
    )
    parser.add_argument(
        "--offload",
        action=argparse.BooleanOptionalAction,
        help="translate packets between known pairs of addresses, and of known flows, in the kernel at ingress; "
        "without --setup those that rules with `offload` took. Other chains at ingress, and at prerouting up to -450, "
        "do not see these packets (default: the domain's key offload)",
    )
    parser.add_argument(
        "--offload-entries",
        type=int,
        default=ENTRIES,
        metavar="N",
        help="most pairs and flows that the kernel keeps; the least recently used make room (default: %(default)s)",
    )
    parser.add_argument(
        "--no-fast-path",
        action="store_true",
        help="translate every packet with the full translator: slower, for debugging",
    )
    parser.add_argument(
        "--icmp-rate",
        type=float,
        default=1000.0,
        metavar="N",
        help="ICMP errors that a worker sends per second, and as many Packet Too Big again (default: 1000)",
    )
    parser.add_argument(
        "--icmp-burst", type=int, default=50, metavar="N", help="ICMP errors sent in one burst (default: 50)"
    )
    parser.add_argument("--summary", type=Path, metavar="FILE", help="write the counters as JSON to FILE at the end")
    parser.add_argument("--ready-fd", type=int, metavar="N", help="write a line to file descriptor N when ready")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """The command. Exit status 2: what the operator has to mend. 75: what the host lacks now; 1: a bug. After these the
    unit starts it again."""
    _take_standard()
    with closing(Log(2)) as log, closing(Log(1)) as out:
        sys.unraisablehook = lambda what: None  # destructors of what an ended run leaves; its fence has told of others
        try:
            # only the service has the options: a reload frees the domain
            service = Service(_options(arguments), log, lost_lines=lambda: log.lost, store=Store.of(os.environ))
        except OperatorError as error:
            if (stays := succession.goes_on(arguments.domain, error, log, exit_status.LACKING)) is None:
                raise
            log(f"nfxlat: {error}")
            return stays
        for one in (log, out):
            one.name(service.domain)
        return _run(service, arguments.domain, log, out)


def mistaken(words: Sequence[str]) -> int:
    """The exit status where these are no arguments of it, as has been told: a predecessor goes on, as behind any other
    mistake."""
    named = [after for word, after in pairwise(words) if word == "--domain"]
    named += [word.partition("=")[2] for word in words if word.startswith("--domain=")]
    domain = named[0] if named else None
    with closing(Log(2)) as log:
        why = OperatorError("the command line is wrong")
        stays = succession.goes_on(domain, why, log, exit_status.LACKING)
    return exit_status.MISTAKE if stays is None else stays


def _run(service: Service, domain: str | None, log: Log, out: Log) -> int:
    try:
        result = service.run()
    except Exception as error:
        status = _told(error, log)
        stays = succession.goes_on(domain, error, log, exit_status.LACKING)
        return status if stays is None else stays
    for line in summary_lines(result):
        out(line)
    return 0


def _told(error: Exception, log: Log) -> int:
    """Tell why it has ended; the exit status, by which the unit starts it again or not."""
    status = exit_status.of(error)
    if isinstance(error, OperatorError):
        log(f"nfxlat: {error}")
        return status
    if status == exit_status.LACKING:
        log(f"nfxlat: {exit_status.lack(error)}")
        return status
    log(traceback.format_exc())
    return 1


def _options(arguments: argparse.Namespace) -> Options:
    """What the arguments ask for, checked. Raises OperatorError."""
    _refuse_what_the_model_lacks(arguments)
    first = DEFAULT_QUEUE if arguments.queue is None else arguments.queue
    queues = checked(first, arguments.workers, spread=arguments.spread)
    if not 0 <= arguments.icmp_rate < math.inf or arguments.icmp_burst < 1:
        raise OperatorError("invalid limit", where="--icmp-rate, --icmp-burst", hint="a rate from 0, a burst from 1")
    if arguments.summary is not None:
        summary_file.refuse(arguments.summary)
    if arguments.ready_fd is not None:
        _refuse_closed(arguments.ready_fd)
    if not 0 <= arguments.busy_poll <= MAX_BUSY_POLL:
        raise OperatorError(
            f"invalid time {arguments.busy_poll}", where="--busy-poll", hint=f"0 to {MAX_BUSY_POLL} microseconds"
        )
    if not LEAST_ENTRIES <= arguments.offload_entries <= MOST_ENTRIES:
        hint = f"{LEAST_ENTRIES} to {MOST_ENTRIES}"
        raise OperatorError(f"invalid number {arguments.offload_entries}", where="--offload-entries", hint=hint)
    default: Literal["ip", "device"] = "ip" if arguments.role == "host" else "device"
    return Options(
        domain=_domain(arguments),
        queues=queues,
        source="tun" if arguments.model == "device" else arguments.source or "netlink",
        inject=arguments.inject or default,
        setup=arguments.setup,
        keep_sysctls=arguments.keep_sysctls,
        model=arguments.model,
        role=arguments.role or "router",
        fast_path=not arguments.no_fast_path,
        offload_entries=arguments.offload_entries,
        icmp_rate=arguments.icmp_rate,
        icmp_burst=arguments.icmp_burst,
        busy_poll=arguments.busy_poll,
        summary_file=arguments.summary,
        ready_descriptor=arguments.ready_fd,
        configuration=arguments.config,
        read_again=(lambda opener: _domain(arguments, opener)) if arguments.config else None,
    )


def _domain(arguments: argparse.Namespace, opener: Opener = files.opened) -> Domain:
    domain = chosen_domain(arguments, opener)
    if arguments.offload is not None:
        domain = replace(domain, offload=arguments.offload)
    return domain.as_host() if arguments.role == "host" else domain


def _take_standard() -> None:
    """Those of stdin, stdout and stderr that are closed are /dev/null: else a queue's or a raw socket would have the
    number, and be sent the lines of the log."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest that is free


def _refuse_closed(descriptor: int) -> None:
    try:
        writes = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY
    except (OSError, ValueError, OverflowError):
        what = "is not open"
    else:
        if writes:
            return
        what = "is not open for writing"
    raise OperatorError(f"file descriptor {descriptor} {what}", where="--ready-fd", hint="open it, e.g. with 3>FILE")


def _refuse_what_the_model_lacks(arguments: argparse.Namespace) -> None:
    if arguments.keep_sysctls and not arguments.setup:
        raise OperatorError("needs --setup", where="--keep-sysctls")
    if arguments.spread != "ports" and not arguments.setup:
        hint = "without it your own rules do: nfxlat rules load --spread addresses"
        raise OperatorError("needs --setup", where="--spread", hint=hint)
    model = arguments.model
    if model != "hook" and arguments.role == "host":
        raise OperatorError(f"the {model} model has no host role", where="--role", hint="use --model hook")
    if model != "device":
        return
    for flag, given in (
        ("--queue", arguments.queue is not None),
        ("--source", arguments.source is not None),
        ("--inject", arguments.inject == "ip"),
        ("--spread", arguments.spread != "ports"),
    ):
        if given:
            raise OperatorError(
                "not available with the device model", where=flag, hint="leave it out, or use --model hook"
            )


def summary_lines(result: dict[str, Any]) -> list[str]:
    """The counters as a person reads them."""
    totals = result["totals"]
    head = (
        f"summary of {result['domain']} after {result['seconds']:.1f} s: {totals['packets']} packets taken, "
        f"{totals['injected']} injected ({totals['fast']} by the fast path, {totals['superframes']} superframes), "
        f"{totals['errors_sent']} ICMP errors sent"
    )
    lines = [head]
    for reason, row in sorted(result["reasons"].items(), key=lambda item: -sum(item[1].values())):
        lines.append(f"  {reason:<28}" + "".join(f" {label} {number:<10}" for label, number in row.items()).rstrip())
    for queue, losses in result["queues"].items():
        if losses["full"] or losses["socket"]:
            lines.append(f"  queue {queue}: the kernel dropped {losses['full']} (full), {losses['socket']} (socket)")
    if (offload := result.get("offload")) is not None:
        known = f"{offload['pairs']} pairs and {offload['flows']} flows known"
        gone = "".join(f", {offload[why]} {why}" for why in ENDED if offload[why])
        lines.append(f"  translated at ingress, {known}, {offload['learnt']} learnt{gone}:")
        for direction in DIRECTIONS:
            row = ", ".join(f"{name} {number}" for name, number in offload[direction].items() if number)
            lines.append(f"    {direction}: {row or 'nothing'}")
    if result.get("unexpected"):
        lines.append(f"  {result['unexpected']} packets routed into {result['domain']} matched no rule")
    if result["workers_restarted"]:
        hands = totals.get("in_killed_hands", 0)
        lines.append(f"  workers restarted: {result['workers_restarted']}, at most {hands} packets lost in their hands")
    return lines
