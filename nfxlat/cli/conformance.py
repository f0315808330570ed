"""`nfxlat conformance`: hold a translator against the RFCs, packet by packet."""

from __future__ import annotations

import argparse
import datetime
import itertools
import json
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from nfxlat.conformance import campaign, deviations, formats, suite, table
from nfxlat.conformance.campaign import FAILED, SKIPPED, Report
from nfxlat.conformance.drivers.registry import ALL
from nfxlat.conformance.links import OWN4, OWN6, THEIRS4, THEIRS6, Sides
from nfxlat.conformance.show import domain_lines, show
from nfxlat.errors import OperatorError
from nfxlat.lab.netns import Terminated, signals_raise

KSFT_SKIP = 4  # tools/testing/selftests/kselftest.h


def add_parser(subparsers: Any) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "conformance",
        help="test a translator against the RFCs, case by case",
        description="Sends packets through a translator and compares what comes out, octet by octet, with what RFC "
        "7915, 6052, 7757, 6791 and 4884 say. It tests either a translator that is set up already, between two "
        "interfaces, or ones that it starts itself, in network namespaces. It sends on no other interface. See "
        "contrib/conformance.md. Exit status: 0 all cases pass, 1 some do not, 2 wrong arguments, or it cannot run "
        "here (then 4 with --ktap), 128+N stopped by signal N.",
    )
    what = parser.add_argument_group("what is tested")
    what.add_argument(
        "--driver",
        type=_words,
        metavar="NAME,...",
        help=f"start these: {', '.join(ALL)}; or all (default: hook)",
    )
    what.add_argument(
        "--ipv4-side", metavar="IF", help="interface to the IPv4 side of a translator that is set up already"
    )
    what.add_argument("--ipv6-side", metavar="IF", help="interface to its IPv6 side")
    what.add_argument("--domain", default="base", metavar="NAME", help="domain that it is set up with (default: base)")
    what.add_argument(
        "--translator4",
        type=_words,
        default=(THEIRS4,),
        metavar="ADDRESS,...",
        help=f"its IPv4 addresses, the first one on the link (default: {THEIRS4})",
    )
    what.add_argument(
        "--translator6",
        type=_words,
        default=(THEIRS6,),
        metavar="ADDRESS,...",
        help=f"its IPv6 addresses, the first one on the link (default: {THEIRS6})",
    )
    what.add_argument(
        "--gateway4", default=OWN4, metavar="ADDRESS", help="our address on that link (default: %(default)s)"
    )
    what.add_argument(
        "--gateway6", default=OWN6, metavar="ADDRESS", help="our address on that link (default: %(default)s)"
    )
    cases = parser.add_argument_group("cases")
    cases.add_argument("--section", type=_words, default=(), metavar="NAME,...", help="only cases of these sections")
    cases.add_argument(
        "--case",
        action="append",
        default=[],
        metavar="TEXT",
        help="only cases with this number or name (may be repeated)",
    )
    cases.add_argument("--list", action="store_true", help="list the cases and exit")
    cases.add_argument("--show", action="store_true", help="show the cases and their packets, and exit")
    cases.add_argument("--domains", action="store_true", help="say what has to be set up for each domain, and exit")
    output = parser.add_argument_group("output")
    output.add_argument("--json", action="store_true", help="one JSON object on stdout; the rest goes to stderr")
    output.add_argument("--ktap", action="store_true", help="KTAP on stdout; the rest goes to stderr")
    output.add_argument("--markdown", action="store_true", help="the results in Markdown on stdout")
    output.add_argument("--junit", type=Path, metavar="FILE", help="write JUnit XML to FILE")
    output.add_argument("--verbose", action="store_true", help="report every failure, known or not")
    parser.set_defaults(run=run)


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for word in text.split(",") if word)


def run(args: argparse.Namespace) -> int:
    """Run the command; its exit status."""
    if sum((args.json, args.ktap, args.markdown)) > 1:
        raise OperatorError("cannot be combined", where="--json, --ktap, --markdown", hint="choose one")
    whole = suite.load()
    if args.domains:
        print("\n".join(line for domain in whole.domains.values() for line in domain_lines(domain)))
        return 0
    given = args.ipv4_side is not None or args.ipv6_side is not None
    if given and args.domain not in whole.domains:
        raise OperatorError(f"no such domain {args.domain!r}", where="--domain", hint="see --domains")
    cases = campaign.chosen(whole, args.section, args.case, [args.domain] if given else [])
    if args.list or args.show:
        for case in cases:
            print(
                "\n".join(show(whole, case))
                if args.show
                else f"{case.number:5} {case.id} ({case.level}, {case.clause})"
            )
        return 0
    names = _drivers(args, given=given)
    if cannot := _cannot(names):
        if not args.ktap:
            raise cannot
        print(f"KTAP version 1\n1..0 # SKIP {cannot}")
        return KSFT_SKIP
    quiet = args.json or args.ktap or args.markdown
    console = Console(stderr=quiet, highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = 160
    try:
        with signals_raise():
            reports = [_given(args, whole, cases)] if given else _driven(names, whole, cases, console)
    except (KeyboardInterrupt, Terminated) as stopped:
        console.print("stopped; everything is removed")
        return 128 + (stopped.number if isinstance(stopped, Terminated) else signal.SIGINT)
    _tell(args, whole, reports, console)
    return 1 if any(report.count(FAILED) for report in reports) else 0


def _drivers(args: argparse.Namespace, *, given: bool) -> tuple[str, ...]:
    """Their names; none for one that is set up already."""
    if given and args.driver:
        raise OperatorError("cannot be combined", where="--driver, --ipv4-side", hint="choose one")
    if given:
        if args.ipv4_side is None or args.ipv6_side is None or args.ipv4_side == args.ipv6_side:
            raise OperatorError("two interfaces are needed", where="--ipv4-side, --ipv6-side", hint="name one for each")
        return ()
    if args.driver == ("all",):
        return tuple(name for name, driver in ALL.items() if not driver.missing())
    names: tuple[str, ...] = args.driver or ("hook",)
    for name in names:
        if name not in ALL:
            raise OperatorError(f"no such driver {name!r}", where="--driver", hint=f"choose from {', '.join(ALL)}")
    return names


def _cannot(names: tuple[str, ...]) -> OperatorError | None:
    """Why it cannot run here: nobody's mistake."""
    if os.geteuid() != 0:
        return OperatorError("packet sockets and namespaces need root", where="nfxlat conformance", hint="run as root")
    missing = ((name, ALL[name].missing()) for name in names)
    return next((OperatorError(why, where=f"--driver {name}") for name, why in missing if why), None)


def _given(args: argparse.Namespace, whole: suite.Suite, cases: list[suite.Case]) -> Report:
    """One that is set up already."""
    names = {4: args.ipv4_side, 6: args.ipv6_side}
    theirs = (args.translator4[0], args.translator6[0])
    with Sides(names, args.translator4, args.translator6, theirs, (args.gateway4, args.gateway6)) as sides:
        return campaign.through_link(whole, cases, sides, "given", f"between {args.ipv4_side} and {args.ipv6_side}")


def _driven(names: tuple[str, ...], whole: suite.Suite, cases: list[suite.Case], console: Console) -> list[Report]:
    reports = []
    for name in names:
        reports.append(campaign.through(whole, cases, ALL[name]))
        last = reports[-1]
        console.print(
            f"{last.title}: {last.version}; {len(cases)} cases in {last.seconds:.0f} s; takes off {last.hops[0]} "
            f"hop{'s' * (last.hops[0] != 1)}",
            markup=False,
        )
    return reports


def page(whole: suite.Suite, reports: Sequence[Report], date: str) -> list[str]:
    """The results in Markdown."""
    versions = list(dict.fromkeys(report.version for report in reports))
    lines = [f"{date}: {'; '.join(versions)}.", ""]
    lines += ["| translator | | cases | hops | seconds |", "|---|---|---|---|---|"]
    for one in reports:
        lines.append(f"| {one.name} | {one.title} | {len(one.outcomes)} | {one.hops[0]} | {one.seconds:.0f} |")
    failed = table.deviation_rows(reports)
    return [
        *lines,
        "",
        *table.markdown(table.rows(whole, reports)),
        "",
        *(table.markdown(failed) if failed[1:] else []),
    ]


def _print_failures(report: Report, console: Console, *, verbose: bool) -> None:
    found, unknown = deviations.sorted_out(report, deviations.load())
    for entry, outcomes in found.items():
        if outcomes:
            console.print(f"{report.name}: {len(outcomes)} FAILED, known ({entry.whose}): {entry.why}", markup=False)
    told = [one for one in report.outcomes if one.result == FAILED] if verbose else unknown
    for _, alike in itertools.groupby(told, lambda one: one.case.number if verbose else one.lines):
        first, *more = alike
        case = first.case
        others = f", and {len(more)} more like it" if more else ""
        console.print(f"{report.name}: FAILED {case.number} {case.id}{others}", markup=False)
        console.print(f"  {case.level}, {case.clause}", markup=False)
        for line in first.lines:
            console.print(f"    {line}", markup=False)


def _tell(args: argparse.Namespace, whole: suite.Suite, reports: Sequence[Report], console: Console) -> None:
    date = datetime.datetime.now(datetime.UTC).isoformat(" ", "minutes")
    if args.junit is not None:
        try:
            args.junit.write_text(formats.as_junit(whole, reports))
        except OSError as error:
            raise OperatorError(error.strerror or str(error), where=str(args.junit)) from None
    if args.json:
        print(json.dumps(formats.as_json(whole, reports, date)))
        return
    if args.ktap:
        print("\n".join(formats.as_ktap(reports)))
        return
    if args.markdown:
        print("\n".join(page(whole, reports, date)))
        return
    for report in reports:
        _print_failures(report, console, verbose=args.verbose)
        for why in dict.fromkeys(one.lines for one in report.outcomes if one.result == SKIPPED):
            console.print(f"{report.name}: skipped where {' '.join(why)}", markup=False)
    head, *rest = table.rows(whole, reports)
    shown = Table(box=SIMPLE_HEAD, pad_edge=False)
    for number, heading in enumerate(head):
        shown.add_column(heading, justify="right" if number == 1 else "left")
    for row in rest:
        shown.add_row(*row)
    console.print(shown)
