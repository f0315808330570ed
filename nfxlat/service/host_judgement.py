"""Judge the host that a plan is made for: what `--setup` asks before it touches anything, `rules check --live` and
`doctor` ask too.
"""

import contextlib
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address
from itertools import islice
from pathlib import Path

from nfxlat import ipaddresses
from nfxlat.errors import OperatorError
from nfxlat.host import addresses, found, managers, policy, sysctl
from nfxlat.host.links import index_of
from nfxlat.judgement import Finding
from nfxlat.nft.check.judgements.host import Host
from nfxlat.nft.check.others import flowtables, forwarding, untracked_nat
from nfxlat.nft.kernel import load
from nfxlat.nft.kernel.base_chains import hooked
from nfxlat.nft.language.chains import home_table
from nfxlat.nft.language.scan import scan
from nfxlat.plan import sysctls
from nfxlat.plan.facts import MAIN
from nfxlat.plan.neighbours import Answers
from nfxlat.plan.plan import Plan
from nfxlat.plan.policy import Network, diverted
from nfxlat.service.live_neighbours import NOTHING, unanswered
from nfxlat.xlat import prefixes
from nfxlat.xlat.domain import Domain
from nfxlat.xlat.prefixes import Span

PROC = Path("/proc/thread-self/net")
JUDGED = 64  # prefixes of a domain; a large EAMT has some for each entry
SHOWN = 4  # of the prefixes that a policy rule concerns


def judged(meant: Sequence[Plan], *, before: bool = False) -> Iterator[Finding]:
    """Findings on the calling thread's network namespace. With `before`, all that the plans say is going to be done.

    Raises OperatorError without the right to look.
    """
    for plan in meant:
        yield from _managers(plan)
        yield from _routes_taken(plan)
        yield from _policy(plan, rivals(plan, meant))
        yield from _addresses(plan)
        yield from _sysctls(plan, before)
        yield from unanswered(plan.domain, plan.rules.role, Answers(plan.proxies, plan.sysctls) if before else NOTHING)


def rivals(meant: Plan, others: Iterable[Plan]) -> dict[str, set[str | None]]:
    """By prefix, the devices of other domains that want the same route: one can have it, and rules tell them apart."""
    own = {(route.network, route.table) for route in meant.routes if route.device}
    found: dict[str, set[str | None]] = {}
    for other in others:
        if other is not meant:
            for route in other.routes:
                if route.device and (route.network, route.table) in own:
                    found.setdefault(route.network, set()).add(route.device)
    return found


def judged_rules(meant: Sequence[Plan], *, all_tables: bool = False) -> Iterator[Finding]:
    """Findings on what is loaded: of those tables that forwarded packets pass, less those of `--setup`, or of all."""
    try:
        tables = None if all_tables else _tables()
        source = scan(load.ruleset(tables), "ruleset")
    except OperatorError as error:
        yield Host.RULESET.at("ruleset", fault=error.what)
        return
    routers = [plan for plan in meant if plan.rules.role == "router"]
    tracked = {plan.device.name for plan in routers if plan.rules.model == "device"}
    yield from forwarding(source, [plan.device.name for plan in routers], tracked)
    yield from flowtables(source)
    yield from _legacy()
    yield from untracked_nat(source, [plan.domain for plan in routers])


def _legacy() -> Iterator[Finding]:
    for tool, file in (("iptables", "ip_tables_names"), ("ip6tables", "ip6_tables_names")):
        with contextlib.suppress(OSError):  # no such module
            if "filter" in (PROC / file).read_text().split():
                yield Host.LEGACY.at(tool, tool=tool)


def _tables() -> list[tuple[str, str]]:
    tables = hooked(("forward", "postrouting"))
    return [(family, name) for family, name in tables if not name.startswith(home_table(""))]


def _managers(plan: Plan) -> Iterator[Finding]:
    for manager, remedy in managers.unguarded(plan.name):
        yield Host.MANAGER.at(f"device {plan.name}", manager=manager, domain=plan.name, remedy=remedy)


def _routes_taken(plan: Plan) -> Iterator[Finding]:
    """Prefixes to which routes of others lead; those into the device, and unreachable ones behind it, are meant."""
    if plan.rules.role == "host":  # native IPv4, where there is any, comes first
        return
    terminal = {route.network: route for route in plan.routes if route.device is not None}
    for text in [one for one in terminal if one.endswith("/0")]:
        version = f"IPv{terminal[text].version}"
        yield Host.ALL_TAKEN.at(f"route {text}", domain=plan.name, version=version)
    own = set(terminal) - plan.shared
    table = next((route.table for route in plan.routes), MAIN)
    for (text, metric, _), devices in sorted(found.routes(own, table).items()):
        others = devices - {plan.device.name, None}
        if others and metric > terminal[text].metric:
            way = f"dev {', '.join(sorted(map(str, others)))} metric {metric}"
            yield Host.ROUTE_TAKEN.at(f"route {text}", domain=plan.name, network=text, way=way)


def _policy(plan: Plan, shared: Mapping[str, set[str | None]]) -> Iterator[Finding]:
    """Rules of policy routing that come before the table where the plan's routes are."""
    selecting = plan.rules.model != "hook"
    for version, ip in ((4, "ip"), (6, "ip -6")):
        routed = (route.network for route in plan.routes if route.version == version and route.device is not None)
        of_version: list[Network] = [ipaddresses.network(text) for text in islice(routed, JUDGED)]
        if version == 4 and plan.rules.role == "host":
            continue
        rules = policy.rules(version, in_vrf=bool(plan.device.vrf))
        tables = policy.routes(version, rules, of_version)
        devices = {plan.device.name, *(name for text in of_version for name in shared.get(str(text), ()))}
        for one in diverted(devices, of_version, rules, tables):
            judgement = Host.POLICY_RULE_SELECTS if one.whole and selecting else Host.POLICY_RULE
            shown = texts = prefixes.texts(one.networks)
            first = max(1, one.rule.priority - 1)
            remedy = "; ".join(f"{ip} rule add pref {first} to {text} lookup main" for text in texts)
            if len(texts) > SHOWN:
                remedy = f"{ip} rule add pref {first} lookup main suppress_prefixlength 0"
                shown = [*texts[:SHOWN], f"{len(texts) - SHOWN} more"]
            facts = {"network": ", ".join(shown), "way": one.way, "domain": plan.name, "remedy": remedy}
            yield judgement.at(f"{ip} rule {one.rule.priority}", rule=one.rule.text, **facts)


def _addresses(plan: Plan) -> Iterator[Finding]:
    """Addresses of this node, those of the device aside, that the domain says are somebody else's."""
    domain = plan.domain
    native, taken6 = prefixes.native6_spans(domain), prefixes.spans(prefixes.translated6(domain))
    router = plan.rules.role != "host"  # a host's own addresses are meant to be mapped
    taken4 = prefixes.translated4_spans(domain) if router else []
    hosts = prefixes.clat6_spans(domain) if router else []
    found: dict[IPv4Address | IPv6Address, int] = {}  # and the length of its prefix, the shortest
    own = index_of(plan.device.name)
    for one in addresses.within(domain.vrf):
        if one.ifindex != own:
            address = ipaddresses.address(one.address)
            found[address] = min(one.length, found.get(address, one.length))
    for address, length in sorted(found.items(), key=lambda item: (item[0].version, int(item[0]))):
        where = f"address {address}"
        if address.is_loopback or address.is_link_local:  # never translated
            continue
        if address.version == 6 and _inside(address, native):  # this node is one of the IPv6 hosts in prefix6
            continue
        if inside := _inside(address, taken4 if address.version == 4 else taken6):
            swallowed = address.version == 4 and (_is_mapped(domain, int(address)) or _holds(inside, address, length))
            judgement = Host.LOCAL_ADDRESS if swallowed else Host.LOCAL_ADDRESS_OF_MANY
            yield judgement.at(where, network=inside, domain=plan.name)
        elif inside := _inside(address, hosts if address.version == 6 else []):
            yield Host.LOCAL_HOST.at(where, network=inside, domain=plan.name)


def _is_mapped(domain: Domain, address: int) -> bool:
    """Whether an IPv4 address by itself, not as one of a prefix, stands for an IPv6 host."""
    return (address, address) in (*prefixes.spans(domain.pool4), *domain.eamt.v4_spans())


def _holds(network: str, address: IPv4Address | IPv6Address, length: int) -> bool:
    """Whether `network`, which holds the address, holds all of its link too, and so its neighbours."""
    return length < address.max_prefixlen - 1 and ipaddresses.network(network).prefixlen <= length


def _inside(address: IPv4Address | IPv6Address, taken: Sequence[Span]) -> str:
    """The prefix of `taken` (in order, without overlaps) that the address is in; empty without one."""
    at = bisect_left(taken, int(address), key=lambda span: span[1])
    if at == len(taken) or taken[at][0] > int(address):
        return ""
    networks = prefixes.networks([taken[at]], address.max_prefixlen)
    return prefixes.texts(network for network in networks if address in network)[0]


def _sysctls(plan: Plan, before: bool) -> Iterator[Finding]:
    def finding(judgement: Host, key: str) -> Finding:
        return judgement.at(sysctls.dotted(key), key=sysctls.dotted(key), domain=plan.name)

    own = f"net/ipv4/conf/{plan.device.vrf or plan.device.name}"  # in a VRF its settings count
    if not before and not plan.device.vrf and _largest(own, "rp_filter") == 1:  # the plan has the routes that it takes
        yield finding(Host.RP_FILTER, f"{own}/rp_filter")
    if _largest(own, "accept_local") == 1:
        yield finding(Host.ACCEPT_LOCAL, f"{own}/accept_local")
    for key in ("net/ipv4/fwmark_reflect", "net/ipv6/fwmark_reflect"):
        if sysctl.read(key) == "1":
            yield finding(Host.FWMARK_REFLECT, key)


def _largest(directory: str, name: str) -> int:
    """The kernel takes the larger of the device's (one that comes has the default's) and all's (linux/inetdevice.h
    IN_DEV_MAXCONF)."""
    own = sysctl.read(f"{directory}/{name}") or sysctl.read(f"net/ipv4/conf/default/{name}")
    return max(int(value or 0) for value in (own, sysctl.read(f"net/ipv4/conf/all/{name}")))
