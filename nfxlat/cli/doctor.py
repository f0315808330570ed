"""`nfxlat doctor`: what this kernel and host can do, what to change, and GRO settings on request."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from nfxlat.cli import screen
from nfxlat.cli.domain_arguments import add_domain_arguments, chosen_domain
from nfxlat.cli.screen import cell, is_narrow, say, stack
from nfxlat.config.keys import FLAGS
from nfxlat.errors import OperatorError, printable
from nfxlat.host import capabilities, offload
from nfxlat.plan.plan import Plan
from nfxlat.service import doctor
from nfxlat.service.diagnosis import Diagnosis, State
from nfxlat.service.purpose import plan_here
from nfxlat.terms import MODELS

STYLE = {
    State.OK: "green",
    State.NOTE: "yellow",
    State.WARNING: "bold yellow",
    State.MISSING: "red",
    State.FATAL: "bold red",
    State.UNKNOWN: "magenta",
}


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "doctor",
        help="check what this kernel and host can do, and what to change",
        description="Checks this kernel and host, and tries in a temporary network namespace what cannot be looked up. "
        "With a domain, says whether this host is fit for it, as --setup does. Changes nothing without --apply or "
        "--undo. Exit status: 0 nfxlat can run here, 1 it cannot.",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    add_domain_arguments(parser)
    parser.add_argument(
        "--model", choices=MODELS, default="hook", help="model that this domain will run in (default: %(default)s)"
    )
    parser.add_argument("--role", choices=("router", "host"), default="router", help="and role (default: %(default)s)")
    parser.add_argument(
        "--tune",
        nargs="*",
        metavar="DEVICE",
        help="show the GRO settings that make superframes (default: network cards, and veths with an address)",
    )
    parser.add_argument("--apply", action="store_true", help="with --tune: change the settings")
    parser.add_argument("--undo", action="store_true", help="with --tune: restore what --apply changed")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """The command."""
    if (arguments.apply or arguments.undo) and arguments.tune is None:
        raise OperatorError("needs --tune", where="--apply, --undo")
    if arguments.apply and arguments.undo:
        raise OperatorError("cannot be combined", where="--apply, --undo", hint="choose one")
    if arguments.undo and arguments.tune:
        raise OperatorError("takes no device: it restores everything that --apply changed", where="--undo")
    if arguments.tune is not None:
        return _tune(arguments)
    findings = doctor.examine(_chosen(arguments))
    ok = doctor.can_run(findings)
    if arguments.json:
        print(json.dumps({"ok": ok, "findings": [dataclasses.asdict(finding) for finding in findings]}))
    else:
        console = _console()
        if is_narrow(console):
            for finding in findings:
                head = cell(f"{finding.what}: ").append(finding.state, STYLE[finding.state])
                stack(console, head.append_text(cell(f", {finding.found}")), _advice(finding))
        else:
            console.print(_table(findings))
        console.print("nfxlat can run here" if ok else "nfxlat CANNOT run here: see the fatal findings", markup=False)
    return 0 if ok else 1


def _chosen(arguments: argparse.Namespace) -> Plan | None:
    """What is to be set up, as `nfxlat run` would be told; None where nothing is said."""
    if not any((arguments.config, arguments.domain, *(getattr(arguments, name) for name in FLAGS))):
        return None
    return plan_here(chosen_domain(arguments), arguments.role, arguments.model)


def _console() -> Console:
    return screen.console()


def _table(findings: list[Diagnosis]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("check", "state", "found", "meaning, and what to do"):
        table.add_column(heading, overflow="fold")
    for finding in findings:
        state = Text(finding.state, STYLE[finding.state])
        table.add_row(cell(finding.what), state, cell(finding.found), _advice(finding))
    return table


def _advice(finding: Diagnosis) -> Text:
    advice = cell(finding.meaning)
    if finding.remedy:
        advice.append("; " if finding.meaning else "").append(printable(finding.remedy), style="bold")
    return advice


def _tune(arguments: argparse.Namespace) -> int:
    changed: list[str] = []

    def report(line: str) -> None:
        changed.append(line)
        if not arguments.json:
            say(line)

    if arguments.apply or arguments.undo:
        capabilities.require("CAP_NET_ADMIN", what="--apply" if arguments.apply else "--undo")
    if arguments.undo:
        offload.undo(report)
    elif arguments.apply:
        offload.tune(offload.interfaces(arguments.tune or None), report)
    if arguments.json:
        shown = [dataclasses.asdict(one) for one in offload.interfaces(arguments.tune or None)]
        print(json.dumps({"changed": changed, "interfaces": shown}))
    elif arguments.apply or arguments.undo:
        print("nothing to change" if not changed else "done", file=sys.stderr)
    else:
        _console().print(_settings(offload.interfaces(arguments.tune or None)))
    return 0


def _settings(interfaces: list[offload.Interface]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("device", "setting", "now", "makes superframes"):
        table.add_column(heading)
    for interface in interfaces:
        for key, value in interface.wanted.items():
            style = "yellow" if key in interface.changes else "green"
            table.add_row(cell(interface.name), key, cell(interface.settings[key], style), value)
    return table
