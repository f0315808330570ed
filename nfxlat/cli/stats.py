"""`nfxlat stats`: the counters of running translators, for people and for machines, and whether they are well."""

import argparse
import json
from pathlib import Path

from nfxlat.cli import mappings, offload_table
from nfxlat.cli.run import summary_lines
from nfxlat.cli.screen import say
from nfxlat.cli.translators import chosen
from nfxlat.errors import OperatorError
from nfxlat.service import health, metrics, summary_file
from nfxlat.service.health import Health
from nfxlat.service.status import ask

SHOWN = 10  # missing things


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    stats = commands.add_parser(
        "stats",
        help="show the counters of running translators",
        description="Counters of the translators in this network namespace.",
    )
    how = stats.add_mutually_exclusive_group()
    how.add_argument(
        "--check",
        action="store_true",
        help="say in one line each whether they are healthy: everything they need is there, and packet counts add up; "
        "exit status 0: healthy, 1: something is wrong, 2: none is running",
    )
    how.add_argument("--openmetrics", action="store_true", help="as metrics for Prometheus, in the OpenMetrics format")
    how.add_argument(
        "--textfile",
        type=Path,
        metavar="FILE",
        help="the same, into FILE, in one step, for the textfile collector of node_exporter; -: stdout",
    )
    how.add_argument(
        "--offload",
        action="store_true",
        help="list the pairs and flows that are translated at ingress: interface, addresses, what they become, "
        "packets, octets, age, state; needs CAP_SYS_ADMIN",
    )
    how.add_argument(
        "--mappings",
        nargs="?",
        const="",
        metavar="FILTER",
        help="packets and octets of each EAM and of prefix6, or of those that overlap an address or prefix; counted "
        "only while this runs, unless the configuration says count-mappings = true",
    )
    stats.add_argument(
        "--seconds",
        type=float,
        metavar="S",
        help=f"how long --mappings counts (default: {mappings.SECONDS:g})",
    )
    stats.add_argument("--json", action="store_true", help="one JSON object per translator, each on its own line")
    stats.add_argument("--domain", metavar="NAME", help="only this domain")
    stats.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """The command."""
    if arguments.json and (arguments.openmetrics or arguments.textfile):
        raise OperatorError("not with --openmetrics or --textfile", where="--json", hint="leave one of them out")
    if arguments.seconds is not None and arguments.mappings is None:
        raise OperatorError("it is how long --mappings counts", where="--seconds", hint="add --mappings")
    if arguments.check:
        return _check(arguments)
    if arguments.mappings is not None:
        mappings.check(arguments)
        return mappings.show(arguments, chosen(arguments.domain))
    if arguments.openmetrics:
        print(metrics.openmetrics([*health.look(arguments.domain)]), end="")
        return 0
    if arguments.textfile:
        _write(arguments.textfile, metrics.textfile([*health.look(arguments.domain)]))
        return 0
    if arguments.offload:
        return offload_table.show(chosen(arguments.domain), as_json=arguments.json)
    for one in chosen(arguments.domain):
        result = ask(one)
        if arguments.json:
            print(json.dumps({"pid": one.pid, **result}))
        else:
            say(*summary_lines(result))
    return 0


def _write(path: Path, text: str) -> None:
    if str(path) == "-":
        print(text, end="")
    else:
        summary_file.write(path, text, "--textfile")


def _check(arguments: argparse.Namespace) -> int:
    found = [*health.look(arguments.domain)]
    if not found:
        chosen(arguments.domain)  # raises: none at all is another exit status
    for one in found:
        if arguments.json:
            print(json.dumps(_told(one)))
        else:
            say(_line(one))
    return int(not all(one.well for one in found))


def _told(one: Health) -> dict[str, object]:
    account = one.account
    return {
        "domain": one.domain,
        "pid": one.one.pid if one.one is not None else None,
        "well": one.well,
        "missing": one.missing,
        "off": one.off,
        "arrived": account.arrived if account is not None else None,
        "went": account.went if account is not None else None,
    }


def _line(one: Health) -> str:
    name = f"{one.domain} (pid {one.one.pid})" if one.one is not None else one.domain
    parts = [*one.off, *([f"missing: {_shortened(one.missing)}"] if one.missing else [])]
    there = "all is there" if one.set_up else "nothing of yours has gone (nfxlat rules check --live has the rest)"
    said = f"off: {'; '.join(parts)}" if parts else f"well: {there}"
    return f"{name}: {said}; {one.account}" if one.account is not None else f"{name}: {said}"


def _shortened(things: list[str]) -> str:
    more = f" and {len(things) - SHOWN} more" if len(things) > SHOWN else ""
    return "; ".join(things[:SHOWN]) + more
