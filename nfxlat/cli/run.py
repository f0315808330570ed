"""`nfxlat run`: the translator."""

import argparse
import sys
from pathlib import Path
from typing import Any, Literal

from nfxlat.cli.domain_arguments import add_domain_arguments, chosen_domain
from nfxlat.errors import OperatorError
from nfxlat.queues import DEFAULT_QUEUE, checked
from nfxlat.service.device_model import service
from nfxlat.service.options import Options
from nfxlat.terms import MODELS

MAX_BUSY_POLL = 10_000  # microseconds


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "run",
        help="translate what nftables rules send to a queue, or what is routed into a device",
        description="Translate what nftables rules send to queue Q, and TCP on queue Q+1, or what is routed into the "
        "domain device, until SIGTERM or SIGINT. SIGUSR1 writes the summary file.",
    )
    add_domain_arguments(parser)
    parser.add_argument(
        "--model",
        choices=MODELS,
        default="hook",
        help="what selects packets. hook: rules (default); device: routes into the domain device, which hands them "
        "over itself; route: rules that take what is routed into the domain device",
    )
    parser.add_argument("--queue", type=int, metavar="Q", help=f"first queue number (default {DEFAULT_QUEUE})")
    parser.add_argument(
        "--workers", type=int, default=1, metavar="N", help="worker processes; N of them own queues Q to Q+2N-1 (1)"
    )
    parser.add_argument(
        "--setup",
        action="store_true",
        help="make device, routes, rules and sysctls, and take exactly those down at the end",
    )
    parser.add_argument("--role", choices=("router", "host"), help="which rules --setup loads (router); hook model")
    parser.add_argument(
        "--inject",
        choices=("device", "ip"),
        help="device (default for a router): through the domain device; ip (default for a host): raw IP sockets",
    )
    parser.add_argument("--source", choices=("netlink", "netfilterqueue"), help="packet source (netlink)")
    parser.add_argument(
        "--busy-poll",
        type=int,
        default=100,
        metavar="USEC",
        help="how long a worker looks for the next packet before it sleeps, where that pays; 0: never (100)",
    )
    parser.add_argument("--no-fast-path", action="store_true", help="give every packet to the core")
    parser.add_argument("--icmp-rate", type=float, default=1000.0, metavar="N", help="own ICMP errors a second (1000)")
    parser.add_argument("--icmp-burst", type=int, default=50, metavar="N", help="and at once (50)")
    parser.add_argument("--summary", type=Path, metavar="FILE", help="write the counters as JSON there at the end")
    parser.add_argument("--ready-fd", type=int, metavar="N", help="write a line to this descriptor when ready")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """The command."""
    result = service(_options(arguments), _report).run()  # only the service has them: a reload frees the domain
    for line in summary_lines(result):
        print(line)
    return 0


def _options(arguments: argparse.Namespace) -> Options:
    """What the arguments ask for, checked. Raises OperatorError."""
    _refuse_what_the_model_lacks(arguments)
    queues = checked(DEFAULT_QUEUE if arguments.queue is None else arguments.queue, arguments.workers)
    if arguments.icmp_rate < 0 or arguments.icmp_burst < 1:
        raise OperatorError("must not be negative, and the burst at least 1", where="--icmp-rate, --icmp-burst")
    if not 0 <= arguments.busy_poll <= MAX_BUSY_POLL:
        raise OperatorError(
            f"no microseconds: {arguments.busy_poll}", where="--busy-poll", hint=f"0 to {MAX_BUSY_POLL}"
        )
    default: Literal["ip", "device"] = "ip" if arguments.role == "host" else "device"
    return Options(
        domain=chosen_domain(arguments),
        queues=queues,
        source="tun" if arguments.model == "device" else arguments.source or "netlink",
        inject=arguments.inject or default,
        setup=arguments.setup,
        model=arguments.model,
        role=arguments.role or "router",
        fast_path=not arguments.no_fast_path,
        icmp_rate=arguments.icmp_rate,
        icmp_burst=arguments.icmp_burst,
        busy_poll=arguments.busy_poll,
        summary_file=arguments.summary,
        ready_descriptor=arguments.ready_fd,
        read_again=(lambda: chosen_domain(arguments)) if arguments.config else None,
    )


def _refuse_what_the_model_lacks(arguments: argparse.Namespace) -> None:
    model = arguments.model
    if model != "hook" and arguments.role == "host":
        raise OperatorError(f"the {model} model has no host role", where="--role", hint="--model hook")
    if model != "device":
        return
    for flag, given in (
        ("--queue", arguments.queue is not None),
        ("--source", arguments.source is not None),
        ("--inject", arguments.inject == "ip"),
    ):
        if given:
            what = "packets come from the domain device and go back into it: the device model has no such choice"
            raise OperatorError(what, where=flag, hint="leave it out, or --model hook")


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
    if result.get("unexpected"):
        lines.append(f"  {result['unexpected']} packets were routed into {result['domain']} without a rule taking them")
    if result["workers_restarted"]:
        lines.append(f"  workers restarted: {result['workers_restarted']}")
    return lines


def _report(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
