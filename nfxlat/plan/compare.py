"""What is missing of a plan on a host, told by names that an operator can look up."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from nfxlat.plan.plan import Plan
from nfxlat.plan.routes import Place, Route
from nfxlat.plan.sysctls import Sysctl

Kind = Literal["device", "address", "route", "sysctl"]
SHOWN = 4  # names of a kind; more are told as a number


@dataclass(frozen=True, slots=True)
class Found:
    """What of a plan was looked for and is there.

    `device`: "up", "down", "missing", or "foreign" (another device of that name). `routes`: what stands at each place
    of the main table, by the interface's name (None: unreachable); several where next hops are several. `sysctls`:
    values by key, of those that exist.
    """

    device: Literal["up", "down", "missing", "foreign"]
    addresses: frozenset[str] = frozenset()
    routes: Mapping[Place, frozenset[str | None]] = field(default_factory=dict)
    sysctls: Mapping[str, str] = field(default_factory=dict)


class Lack(NamedTuple):
    """One thing that the plan wants and the host has not; `what` is how it is found by hand."""

    kind: Kind
    what: str


def lacks(plan: Plan, found: Found) -> list[Lack]:
    """All that is missing, in the order in which it is made."""
    missing_routes = (Lack("route", str(route)) for route in lacking_routes(plan, found))
    return [*_device(plan, found), *_addresses(plan, found), *missing_routes, *_sysctls(plan, found)]


def lacking_routes(plan: Plan, found: Found) -> list[Route]:
    """Routes that are not there. One that domains share may lead into the device of any of them."""
    return [route for route in plan.routes if not _stands(route, route.network in plan.shared, found)]


def lacking_sysctls(plan: Plan, found: Found) -> list[Sysctl]:
    """Those that exist and have another value."""
    return [wanted for wanted in plan.sysctls if found.sysctls.get(wanted.key, wanted.value) != wanted.value]


def told(missing: list[Lack]) -> str:
    """In one line, by name, as many as one can read."""
    parts = []
    for kind in dict.fromkeys(lack.kind for lack in missing):
        names = [lack.what for lack in missing if lack.kind == kind]
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        parts.append(f"{kind} {', '.join(names[:SHOWN])}{more}")
    return "; ".join(parts)


def _device(plan: Plan, found: Found) -> Iterator[Lack]:
    if found.device != "up":
        yield Lack("device", f"{plan.device.name} ({found.device})")


def _addresses(plan: Plan, found: Found) -> Iterator[Lack]:
    for address in plan.addresses:
        if address not in found.addresses:
            yield Lack("address", f"{address}/32 dev {plan.device.name}")


def _sysctls(plan: Plan, found: Found) -> Iterator[Lack]:
    for wanted in lacking_sysctls(plan, found):
        yield Lack("sysctl", f"{wanted} (it is {found.sysctls[wanted.key]})")


def _stands(route: Route, shared: bool, found: Found) -> bool:
    devices = found.routes.get(route.place, frozenset())
    if route.device is not None and shared:
        return any(device is not None for device in devices)
    return route.device in devices
