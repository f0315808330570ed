"""`nfxlat rules`: nft files with the `xlat` statement, compiled, loaded, unloaded and judged."""

import argparse
import dataclasses
import json
import sys
from pathlib import Path

from nfxlat import config, files
from nfxlat.cli.screen import say
from nfxlat.errors import OperatorError, printable
from nfxlat.host import capabilities
from nfxlat.host.facts import facts
from nfxlat.host.found import look
from nfxlat.judgement import Severity
from nfxlat.nft.check.judge import check
from nfxlat.nft.kernel import includes, ruleset
from nfxlat.nft.language.compile import compile_rules, queues_of
from nfxlat.nft.language.program import Program, program
from nfxlat.nft.shipped import RULES
from nfxlat.plan.compare import Wanted, remaining
from nfxlat.queues import DEFAULT_QUEUE, SPREAD, SPREADS, Queues, checked
from nfxlat.service.live_check import check_live
from nfxlat.service.plan_notes import host_commands, plan_notes, plans, run_options


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "rules",
        help="compile, load and check nft rules with the xlat statement",
        description="For nft files in which rules may end in `xlat to PREFIX|DOMAIN` or `xlat from PREFIX|DOMAIN`.",
    )
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    for name, function, text in (
        ("compile", _compile, "print the plain nft that load would load"),
        ("load", _load, "load it in one transaction, replacing what the same file loaded before"),
        ("unload", _unload, "remove exactly what was loaded from the file"),
        ("check", _check, "check its translation points; exit status 1 if there are errors"),
    ):
        verb = verbs.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        verb.add_argument("file", type=Path, metavar="FILE", help="nft file")
        verb.set_defaults(run=function)
        if name != "unload":
            verb.add_argument(
                "--config", type=Path, metavar="FILE", help="TOML configuration with the domains that rules name"
            )
        if name in ("compile", "load"):
            verb.add_argument(
                "--queue",
                type=int,
                default=DEFAULT_QUEUE,
                metavar="Q",
                help="first queue number; a domain uses two per worker (default: %(default)s)",
            )
            verb.add_argument(
                "--workers", type=int, default=1, metavar="N", help="worker processes of each domain (default: 1)"
            )
            verb.add_argument("--spread", choices=SPREADS, default="ports", help=SPREAD)
        if name == "check":
            verb.add_argument("--live", action="store_true", help="check this host too")
            verb.add_argument("--json", action="store_true", help="one JSON array of findings on stdout")
        if name == "compile":
            what = verb.add_mutually_exclusive_group()
            what.add_argument("--explain", action="store_true", help="explain why each addition is there")
            what.add_argument(
                "--commands",
                action="store_true",
                help="instead of the rules, print the ip and sysctl commands that they still need on this host",
            )


def _program(arguments: argparse.Namespace) -> Program:
    try:
        text = files.text(arguments.file)
    except (OSError, UnicodeDecodeError) as error:
        what = error.strerror if isinstance(error, OSError) else f"not UTF-8: {error.reason}"
        raise OperatorError(f"cannot be read: {what}", where=str(arguments.file)) from None
    configured = config.load(arguments.config).domains if arguments.config else ()
    return program(text, str(arguments.file), configured, includes.read)


def _queues(arguments: argparse.Namespace, found: Program) -> Queues:
    """Those of the first domain. Raises OperatorError."""
    return checked(arguments.queue, arguments.workers, len(found.domains), arguments.spread)


def _compile(arguments: argparse.Namespace) -> int:
    found = _program(arguments)
    queues, owner = _queues(arguments, found), ruleset.owner_of(str(arguments.file))
    _sound(found)
    made = plans(found, queues_of(found, queues), facts).values()
    if arguments.commands:
        for command in host_commands(remaining(one, look(Wanted.of_plan(one))) for one in made):
            say(command)
        return 0
    notes = plan_notes(made, found.offloaded())
    text = compile_rules(found, explain=arguments.explain, queues=queues, owner=owner, notes=notes).text
    if sys.stdout.isatty():  # else it is for nft, to the character
        for line in text.splitlines():
            print("\t".join(map(printable, line.split("\t"))))
    else:
        print(text, end="")
    return 0


def _check(arguments: argparse.Namespace) -> int:
    found = _program(arguments)
    findings = check(found)
    if arguments.live:
        findings += check_live(found)
    if arguments.json:
        print(json.dumps([dataclasses.asdict(finding) for finding in findings]))
    else:
        for finding in findings:
            say(*finding.lines())
        if any(finding.severity is Severity.ERROR for finding in findings):
            name = "netdev" if any("postrouting" in statement.hooks for statement in found.statements) else "router"
            print(f"{RULES / 'xlat' / name}.nft is an example that works")
        numbers = {severity: sum(finding.severity is severity for finding in findings) for severity in Severity}
        counts = [f"{number} {severity}{'' if number == 1 else 's'}" for severity, number in numbers.items()]
        say(f"{arguments.file}: {', '.join(counts)}")
    return int(any(finding.severity is Severity.ERROR for finding in findings))


def _sound(found: Program) -> None:
    """Refuse what check calls an error. Raises OperatorError for the first one, the others go to stderr."""
    errors = [finding for finding in check(found) if finding.severity is Severity.ERROR]
    for finding in errors[1:]:
        print("\n".join(map(printable, finding.lines())), file=sys.stderr)
    if errors:
        what = ": ".join(filter(None, (errors[0].what, errors[0].effect)))
        raise OperatorError(what, where=errors[0].where, hint=errors[0].instead)


def _load(arguments: argparse.Namespace) -> int:
    found = _program(arguments)
    first = _queues(arguments, found)
    _sound(found)
    capabilities.require("CAP_NET_ADMIN", what="nfxlat rules load")
    owner = ruleset.owner_of(str(arguments.file))
    compiled = compile_rules(found, native=ruleset.native(), queues=first, owner=owner)
    how = ruleset.install(compiled, str(arguments.file))
    if how == "elements":
        say(f"rules unchanged; {', '.join(f'set {name}' for name in compiled.sets)} updated")
        return 0
    for family, name in ruleset.loaded_from(compiled.owner):
        there = (family, name) in compiled.tables
        say(f"table {family} {name} {'loaded' if there else 'emptied: its hooks stay, without rules, until unload'}")
    for name, queues in queues_of(found, first).items():
        options = run_options(queues, name in found.offloaded())
        run = f"nfxlat run --config {arguments.config or 'FILE'} --domain {name} {options}"
        say(f"domain {name}: queues {queues.first} to {queues.last} ({how}); {run}")
    return 0


def _unload(arguments: argparse.Namespace) -> int:
    capabilities.require("CAP_NET_ADMIN", what="nfxlat rules unload")
    gone = ruleset.remove(ruleset.owner_of(str(arguments.file)))
    for family, name in gone:
        say(f"table {family} {name} removed")
    if not gone:
        print(printable(f"nothing is loaded from {arguments.file}"), file=sys.stderr)
    return 0
