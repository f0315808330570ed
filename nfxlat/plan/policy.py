"""Policy routing (`ip rule`) that leads what a domain's routes end to elsewhere, past the table that they are in."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network
from typing import NamedTuple

from nfxlat.plan.facts import MAIN

THROW = ""  # in the place of a device: on to the next rule (ip-route(8))

Network = IPv4Network | IPv6Network


class PolicyRule(NamedTuple):
    """A rule as ip-rule(8) shows it in `text`. `table`: where it looks, None where it refuses; where the domain is in a
    VRF, that VRF's counts as MAIN. `some`: it matches on more than the destination, `to`. Routes of at most `suppress`
    bits do not count (suppress_prefixlength)."""

    priority: int
    text: str
    table: int | None
    some: bool = False
    to: Network | None = None
    suppress: int = -1


class TableRoute(NamedTuple):
    """A route of a policy's table. `device`: the interface's name, None where it leads nowhere, or THROW."""

    network: Network
    device: str | None


class Diverted(NamedTuple):
    """The rule, the prefixes that it leads elsewhere, and where; `whole`: all packets to all of one of them."""

    rule: PolicyRule
    networks: tuple[Network, ...]
    way: str
    whole: bool


def diverted(
    devices: Collection[str | None],
    networks: Iterable[Network],
    rules: Sequence[PolicyRule],
    tables: Mapping[int, Collection[TableRoute]],
) -> Iterator[Diverted]:
    """Each rule that comes before the main table for a prefix whose route into one of `devices` is there, once.

    `rules` are of the prefixes' family, in order; `tables`, the routes of tables other than main that hold or are in
    the prefixes.
    """
    by_rule: dict[PolicyRule, list[Diverted]] = {}
    for network in networks:
        for found in _before_main(devices, network, rules, tables):
            by_rule.setdefault(found.rule, []).append(found)
    for rule, found_all in by_rule.items():
        concerned = tuple(network for found in found_all for network in found.networks)
        yield Diverted(rule, concerned, found_all[0].way, any(found.whole for found in found_all))


def _before_main(
    devices: Collection[str | None],
    network: Network,
    rules: Sequence[PolicyRule],
    tables: Mapping[int, Collection[TableRoute]],
) -> Iterator[Diverted]:
    for rule in rules:
        if rule.to is not None and not rule.to.overlaps(network):
            continue
        whole = not rule.some and (rule.to is None or _holds(rule.to, network))
        if rule.table == MAIN:
            ended = network.prefixlen > rule.suppress
        elif rule.table is None:
            ended = True
            yield Diverted(rule, (network,), "nowhere", whole)
        else:
            routes = tables.get(rule.table, ())
            route = _route(network, [one for one in routes if one.network.prefixlen > rule.suppress])
            ended = route is not None and route.device != THROW
            if ended and route is not None and route.device not in devices:
                whole = whole and _holds(route.network, network)
                yield Diverted(rule, (network,), _way(route), whole)
        if ended and whole:
            return


def _way(route: TableRoute) -> str:
    name = str(route.network) if route.network.prefixlen else "default"
    return f"{name} dev {route.device}" if route.device else f"{name}, nowhere"


def _route(network: Network, routes: Collection[TableRoute]) -> TableRoute | None:
    """The route that all of a prefix takes, or one that takes a part of it."""
    holding = [one for one in routes if _holds(one.network, network)]
    if holding:
        return max(holding, key=lambda one: one.network.prefixlen)
    return next((one for one in routes if one.network.overlaps(network)), None)


def _holds(one: Network, other: Network) -> bool:
    return one.prefixlen <= other.prefixlen and one.overlaps(other)
