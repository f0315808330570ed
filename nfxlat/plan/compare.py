"""What a host lacks of a plan, or of what a record says was made, told by names that an operator can look up."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

from nfxlat.plan.neighbours import Proxy
from nfxlat.plan.plan import Plan
from nfxlat.plan.record import Record
from nfxlat.plan.routes import Place, Route
from nfxlat.plan.sysctls import Sysctl

Kind = Literal["device", "address", "route", "sysctl", "neighbour"]
State = Literal["up", "down", "missing", "foreign", "elsewhere", "altered"]
SHOWN = 4  # names of a kind; more are told as a number


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be there: of a plan, or of a record. `tun`: what kind of device; `vrf`: that it is in, "" for none."""

    device: str
    tun: bool
    addresses: tuple[str, ...]
    routes: tuple[Route, ...]
    shared: frozenset[str]
    sysctls: tuple[Sysctl, ...]
    proxies: tuple[Proxy, ...] = ()
    vrf: str = ""

    @classmethod
    def of_plan(cls, plan: Plan) -> "Wanted":
        kind = plan.device.kind == "tun"
        return cls(
            plan.device.name,
            kind,
            plan.addresses,
            plan.routes,
            plan.shared,
            plan.sysctls,
            plan.proxies,
            plan.device.vrf,
        )

    @classmethod
    def of_record(cls, domain: str, record: Record) -> "Wanted":
        sysctls = tuple(Sysctl(group, "1", group) for group in record.groups)
        tun = record.kind == "tun"
        shared = frozenset(record.shared)
        return cls(domain, tun, record.addresses, record.routes, shared, sysctls, record.proxies, record.vrf)


@dataclass(frozen=True, slots=True)
class Found:
    """What of it was looked for and is there.

    `device`: "up", "down", "missing", "foreign" (another device of that name), "elsewhere" (not in the VRF that is
    wanted, or in one, or a bridge, where none is), or "altered" (its MAC address, MTU or ARP). `routes`: what stands at
    each place, by the interface's name (None: unreachable); several where next hops are several. `sysctls`: values by
    key, of those that exist.
    """

    device: State
    addresses: frozenset[str] = frozenset()
    routes: Mapping[Place, frozenset[str | None]] = field(default_factory=dict)
    sysctls: Mapping[str, str] = field(default_factory=dict)
    proxies: frozenset[Proxy] = frozenset()


class Lack(NamedTuple):
    """One thing that is wanted and not there; `what` is how it is found by hand."""

    kind: Kind
    what: str


def lacks(wanted: Wanted, found: Found) -> list[Lack]:
    """All that is missing, in the order in which it is made."""
    rest = _rest(wanted, found)
    return [
        *_device(wanted, found),
        *(Lack("address", f"{address}/32 dev {wanted.device}") for address in rest.addresses),
        *(Lack("route", str(route)) for route in rest.routes),
        *(Lack("sysctl", f"{one} (it is {found.sysctls[one.key]})") for one in rest.sysctls),
        *(Lack("neighbour", str(one)) for one in rest.proxies),
    ]


def remaining(plan: Plan, found: Found) -> Plan:
    """What of it is still to be made; the device aside."""
    rest = _rest(Wanted.of_plan(plan), found)
    return replace(plan, addresses=rest.addresses, routes=rest.routes, sysctls=rest.sysctls, proxies=rest.proxies)


def _rest(wanted: Wanted, found: Found) -> Wanted:
    return replace(
        wanted,
        addresses=tuple(address for address in wanted.addresses if address not in found.addresses),
        routes=tuple(route for route in wanted.routes if not _stands(route, wanted, found)),
        sysctls=tuple(lacking_sysctls(wanted, found)),
        proxies=tuple(one for one in wanted.proxies if one not in found.proxies),
    )


def unended(wanted: Wanted, found: Found) -> list[Route]:
    """Routes in whose place nothing of the kind stands, whatever its metric: packets to the prefix take others."""
    leads: dict[str, set[str | None]] = {}
    for (network, *_), devices in found.routes.items():
        leads.setdefault(network, set()).update(devices)
    return [route for route in wanted.routes if not _leads(route, wanted, leads.get(route.network, set()))]


def lacking_sysctls(wanted: Wanted, found: Found) -> list[Sysctl]:
    """Those that exist and have another value."""
    return [one for one in wanted.sysctls if found.sysctls.get(one.key, one.value) != one.value]


def told(missing: list[Lack]) -> str:
    """In one line, by name, as many as one can read."""
    parts = []
    for kind in dict.fromkeys(lack.kind for lack in missing):
        names = [lack.what for lack in missing if lack.kind == kind]
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        parts.append(f"{kind} {', '.join(names[:SHOWN])}{more}")
    return "; ".join(parts)


def _device(wanted: Wanted, found: Found) -> Iterator[Lack]:
    if found.device != "up":
        state: str = found.device
        if state == "elsewhere":
            state = f"not in VRF {wanted.vrf}" if wanted.vrf else "in a VRF or a bridge"
        if state == "altered":
            state = "its MAC address, MTU or ARP was changed"
        yield Lack("device", f"{wanted.device} ({state})")


def _stands(route: Route, wanted: Wanted, found: Found) -> bool:
    """Whether all packets take it: nobody has put another route beside it."""
    devices = found.routes.get(route.place, frozenset())
    return _leads(route, wanted, devices) and (len(devices) == 1 or route.network in wanted.shared)


def _leads(route: Route, wanted: Wanted, devices: set[str | None] | frozenset[str | None]) -> bool:
    """Whether one of `devices` is the route's; where domains share it, any of theirs."""
    if route.device is not None and route.network in wanted.shared:
        return any(device is not None for device in devices)
    return route.device in devices
