"""What a domain of this namespace needs, and whether it is there, asked from outside: `nfxlat stats`.

Of a set-up the record tells what was made, and the translator how many rules each chain is to have; without one the
translator tells what it misses. Which of its workers run only it can tell.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from nfxlat.errors import OperatorError
from nfxlat.host import state
from nfxlat.host.found import look
from nfxlat.nft.kernel import listing
from nfxlat.plan.compare import Wanted, lacks
from nfxlat.plan.record import Record, Unreadable, decode


class Thing(NamedTuple):
    """`name`: how it is found by hand; `state`: in brackets, what it is instead, where it is not as it should be."""

    kind: str
    name: str
    there: bool
    state: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.name}{self.state}"


def missing(domain: str, summary: dict[str, Any]) -> list[str]:
    """Each thing that is not there, by its kind and name. `summary`: of the domain's translator, as `service.answer`
    lets it pass.

    Raises OperatorError where it cannot be looked at.
    """
    return [str(thing) for thing in things(domain, summary) if not thing.there]


def is_set_up(domain: str) -> bool:
    """Whether a record tells what was made. Raises OperatorError where it cannot be read."""
    return _record(domain) is not None


def things(domain: str, summary: dict[str, Any]) -> list[Thing]:
    """All of them; of workers, and of what no record tells, only what is missing. Raises OperatorError where it cannot
    be looked at."""
    record = _record(domain)
    if record is None:
        split = (line.partition(" ") for line in summary.get("missing", ()))
        return [*(Thing(kind, name, False) for kind, _, name in split), *_missing_workers(summary)]
    wanted = Wanted.of_record(domain, record)
    gone: dict[tuple[str, str], str] = {}
    for lack in lacks(wanted, look(wanted)):
        name, bracket, how = lack.what.partition(" (")
        gone[lack.kind, name] = bracket + how
    found = [Thing(kind, name, (kind, name) not in gone, gone.get((kind, name), "")) for kind, name in _named(wanted)]
    return [*found, *_missing_workers(summary), *_rules(record, summary.get("chains", {}))]


def _missing_workers(summary: Mapping[str, Any]) -> list[Thing]:
    """Those that died and cannot be started again now: each has queues that nobody reads."""
    return [Thing("worker", str(number), False) for number in summary.get("workers_missing", ())]


def _rules(record: Record, chains: Mapping[str, Mapping[str, int]]) -> Iterator[Thing]:
    """By table; `state` tells of the chains that have fewer rules than `chains` says."""
    asleep = listing.dormant()
    for family, table in record.tables:
        name, there = f"{family} {table}", Counter(rule.chain for rule in listing.rules(family, table))
        fewer = [
            f"chain {chain}: {there[chain]} of {number}"
            for chain, number in chains.get(name, {}).items()
            if there[chain] < number
        ]
        state = ""
        if there and ((family, table) in asleep or fewer):
            state = f" ({'dormant' if (family, table) in asleep else ', '.join(fewer)})"
        yield Thing("rules", name, bool(there) and not state, state)


def _named(wanted: Wanted) -> Iterator[tuple[str, str]]:
    """As `lacks` does."""
    yield "device", wanted.device
    yield from (("address", f"{address}/32 dev {wanted.device}") for address in wanted.addresses)
    yield from (("route", str(route)) for route in wanted.routes)
    yield from (("sysctl", str(one)) for one in wanted.sysctls)
    yield from (("neighbour", str(one)) for one in wanted.proxies)


def _record(domain: str) -> Record | None:
    path = state.path_of(domain)
    try:
        found = state.read(domain)
        return decode(found) if found is not None else None
    except Unreadable as error:
        raise state.unreadable(path, str(error)) from None
    except (OSError, ValueError) as error:
        raise OperatorError(f"cannot be read: {error}", where=str(path), hint="run as root") from None
