"""`nfxlat stats --mappings`: packets and octets of each mapping."""

import argparse
import contextlib
import json
import sys
import time
from collections.abc import Iterator

from nfxlat import ipaddresses
from nfxlat.cli.screen import say
from nfxlat.errors import OperatorError
from nfxlat.service.counted import Asking, Counted
from nfxlat.service.status import Running

SORTED = 100_000  # more than these are told as they come
SECONDS, LONGEST = 10.0, 86400.0  # to count for


def check(arguments: argparse.Namespace) -> None:
    """Raises OperatorError for a filter that is none, and for a time that is none."""
    if arguments.seconds is None:
        arguments.seconds = SECONDS
    if not 0 <= arguments.seconds <= LONGEST:
        raise OperatorError("invalid time", where="--seconds", hint=f"from 0 to {LONGEST:g} s")
    if arguments.mappings:
        try:
            ipaddresses.network(arguments.mappings, strict=False)
        except ValueError:
            raise OperatorError("not an address or a prefix", where=f"--mappings {arguments.mappings}") from None


def show(arguments: argparse.Namespace, found: list[Running]) -> int:
    """What is counted from now on, for some seconds or until Ctrl-C; where all is counted always, that."""
    with contextlib.ExitStack() as stack:
        asking = [stack.enter_context(contextlib.closing(Asking(one, arguments.mappings))) for one in found]
        waits = [one for one in asking if not one.always]
        if waits:
            print(f"counting for {arguments.seconds:g} s (Ctrl-C: no longer)", file=sys.stderr)
            began = time.monotonic()
            with contextlib.suppress(KeyboardInterrupt):
                time.sleep(arguments.seconds)
        for one, asked in zip(found, asking, strict=True):
            seconds = asked.seconds if asked.always else time.monotonic() - began
            if arguments.json:
                for row in _sorted(asked.rows()):
                    print(json.dumps({"domain": one.domain, "seconds": round(seconds, 1), **row._asdict()}))
            else:
                _table(one, seconds, asked.rows())
    return 0


def _table(one: Running, seconds: float, rows: Iterator[Counted]) -> None:
    say(f"{one.domain}: packets and octets behind IP headers in {seconds:.1f} s")
    say(f"{'packets from':>14} {'octets from':>16} {'packets to':>14} {'octets to':>16}  mapping")
    none = True
    for row in _sorted(rows):
        none = False
        name = f"{row.v4} {row.v6 or '(is gone)'}" if row.v4 else f"prefix6 {row.v6}".rstrip() + ", and in no EAM"
        numbers = f"{row.packets_from:>14} {row.octets_from:>16} {row.packets_to:>14} {row.octets_to:>16}"
        say(f"{numbers}  {name}")
    if none:
        say("  no packet")


def _sorted(rows: Iterator[Counted]) -> Iterator[Counted]:
    """Those with most octets first, unless they are too many."""
    first: list[Counted] = []
    for row in rows:
        first.append(row)
        if len(first) > SORTED:
            break
    else:
        first.sort(key=lambda row: -(row.octets_from + row.octets_to))
    yield from first
    yield from rows
