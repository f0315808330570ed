"""The record of what was made: written before each change, read by whoever comes after a `kill -9`.

A record says what may stand, a plan what shall. It is a frozen value; a change of it is a new one. As JSON it carries
its version, and what it does not understand it does not guess at.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from nfxlat.plan.facts import MAIN
from nfxlat.plan.neighbours import Proxy
from nfxlat.plan.plan import Plan
from nfxlat.plan.routes import Route

VERSION = 1
Table = tuple[str, str]  # family, name


class Unreadable(Exception):
    """The record is damaged, or of a version that this code does not know; the text says which."""


@dataclass(frozen=True, slots=True)
class Record:
    """What may stand of one domain.

    `device`, `kind`: the device that is ours to remove ("" where there is none, or it is kept), `vrf`: that it is in.
    `tables`: nft tables (family, name). `clsact`: indexes of interfaces that got a clsact qdisc from us. `proxies`:
    what is answered for on other interfaces. `purpose`: role, model and configuration, for those who judge the host
    later; empty where that is long. A version of this code that did not know these left them out. What other domains
    may have too (`groups` of sysctls, routes to `shared` prefixes) is in a record of its own, with its users
    (nfxlat.host.shared).
    """

    device: str = ""
    kind: Literal["", "veth", "tun"] = ""
    addresses: tuple[str, ...] = ()
    routes: tuple[Route, ...] = ()
    shared: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    clsact: tuple[int, ...] = ()
    proxies: tuple[Proxy, ...] = ()
    purpose: tuple[str, ...] = ()
    vrf: str = ""

    def covering(self, plan: Plan, tables: tuple[Table, ...]) -> "Record":
        """What may stand while this is being changed to `plan`, whose rules are in `tables`."""
        own = not plan.device.kept
        return replace(
            self,
            device=plan.device.name if own else "",
            kind=plan.device.kind if own else "",
            addresses=_union(self.addresses, plan.addresses),
            routes=_union(self.routes, plan.routes),
            shared=_union(self.shared, tuple(sorted(plan.shared))),
            groups=_union(self.groups, groups(plan)),
            tables=_union(self.tables, tables),
            proxies=_union(self.proxies, plan.proxies),
            vrf=plan.device.vrf,
        )

    def encode(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {"version": VERSION, **{field.name: getattr(self, field.name) for field in fields(self)}}


def groups(plan: Plan) -> tuple[str, ...]:
    """The shared settings that a plan uses."""
    return _union((), tuple(sysctl.group for sysctl in plan.sysctls if sysctl.group))


def decode(data: Mapping[str, Any]) -> Record:
    """The inverse of `encode`, of what JSON made of it. Raises Unreadable."""
    if (version := data.get("version")) != VERSION:
        raise Unreadable(f"its version is {version!r}, but this nfxlat reads version {VERSION}")
    if unknown := data.keys() - {"version", "netns_cookie", *(field.name for field in fields(Record))}:
        raise Unreadable(f"it has {', '.join(sorted(unknown))}, which a newer nfxlat has written")
    try:
        record = Record(
            device=_text(data["device"]),
            kind=_kind(data["kind"]),
            addresses=tuple(_text(each) for each in data["addresses"]),
            routes=tuple(_route(each) for each in data["routes"]),
            shared=tuple(_text(each) for each in data["shared"]),
            groups=tuple(_text(each) for each in data["groups"]),
            tables=tuple((_text(family), _text(name)) for family, name in data["tables"]),
            clsact=tuple(_number(each) for each in data["clsact"]),
            proxies=tuple(Proxy(_text(interface), _text(address)) for interface, address in data.get("proxies", ())),
            purpose=tuple(_text(each) for each in data.get("purpose", ())),
            vrf=_text(data.get("vrf", "")),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise Unreadable(f"it is damaged ({type(error).__name__}: {error})") from None
    return record


def _union(one: tuple[Any, ...], other: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(dict.fromkeys((*one, *other)))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a text")
    return value


def _number(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError(f"{value!r} is not a number")
    return value


def _kind(value: object) -> Literal["", "veth", "tun"]:
    if value == "veth":
        return "veth"
    if value == "tun":
        return "tun"
    if value == "":
        return ""
    raise ValueError(f"{value!r} is not a kind of device")


def _route(value: Any) -> Route:
    network, device, metric, mtu, source, *more = value
    [table] = more or [MAIN]
    return Route(
        _text(network),
        None if device is None else _text(device),
        _number(metric),
        None if mtu is None else _number(mtu),
        None if source is None else _text(source),
        _number(table),
    )
