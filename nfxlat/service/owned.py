"""Whether what a domain of this namespace needs is there, asked from outside: `nfxlat stats --check`.

Of a set-up the record tells what was made; without one the translator tells what it misses.
"""

from typing import Any

from nfxlat.errors import OperatorError
from nfxlat.host import state
from nfxlat.host.found import look
from nfxlat.nft.kernel import listing
from nfxlat.plan.compare import Wanted, lacks
from nfxlat.plan.record import Record, Unreadable, decode


def missing(domain: str, summary: dict[str, Any]) -> list[str]:
    """Each thing by its kind and name. `summary`: of the domain's translator, as `service.answer` lets it pass.

    Raises OperatorError where it cannot be looked at.
    """
    record = _record(domain)
    if record is None:
        return list(summary.get("missing", ()))
    wanted = Wanted.of_record(domain, record)
    things = [f"{lack.kind} {lack.what}" for lack in lacks(wanted, look(wanted))]
    gone = [f"rules {family} {table}" for family, table in record.tables if not listing.rules(family, table)]
    return [*things, *gone]


def _record(domain: str) -> Record | None:
    path = state.path_of(domain)
    try:
        found = state.read(domain)
        return decode(found) if found is not None else None
    except Unreadable as error:
        raise state.unreadable(path, str(error)) from None
    except (OSError, ValueError) as error:
        raise OperatorError(f"cannot be read: {error}", where=str(path), hint="run as root") from None
