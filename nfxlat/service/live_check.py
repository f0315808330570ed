"""Judge the host that a program of rules is to run on: routes, sysctls, addresses, other rules."""

from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import NamedTuple

from pyroute2 import IPRoute

from nfxlat.errors import OperatorError
from nfxlat.host import managers, sysctl
from nfxlat.host.addresses import local_addresses
from nfxlat.host.routes import FAMILIES
from nfxlat.host.rtnetlink import RT_TABLE_MAIN, RTN_UNICAST, RTN_UNREACHABLE
from nfxlat.judgement import Finding
from nfxlat.nft.check.judgements.host import Host
from nfxlat.nft.check.others import flowtables, stateful, untracked_nat
from nfxlat.nft.kernel import load
from nfxlat.nft.language.program import Program
from nfxlat.nft.language.scan import scan
from nfxlat.plan import sysctls
from nfxlat.service.live_neighbours import unanswered
from nfxlat.terms import Role
from nfxlat.xlat import prefixes
from nfxlat.xlat.domain import Domain

PREFIXES_JUDGED = 64  # of each family and domain; a large EAMT has a route for each entry
DEFAULT4 = IPv4Network("0.0.0.0/0")

Network = IPv4Network | IPv6Network


class _Route(NamedTuple):
    network: Network
    kind: int
    interface: int | None
    metric: int


def check_live(program: Program) -> list[Finding]:
    """Findings on the calling thread's network namespace. Raises OperatorError without the right to look."""
    found: list[Finding] = []
    table = _routes()
    indexes = {name: _interface(name) for name in program.domains}
    for domain in program.domains.values():
        role = program.role(domain)
        index = indexes[domain.name]
        found += _device(domain, index)
        found += _terminal_routes(domain, role, {number for number in indexes.values() if number}, index, table)
        found += _addresses(domain, role)
        found += _sysctls(domain, role)
        found += unanswered(domain, role)
    found += _ruleset(program)
    return list(dict.fromkeys(found))  # several domains, one forwarding


def _interface(name: str) -> int | None:
    with IPRoute() as ipr:
        return next(iter(ipr.link_lookup(ifname=name)), None)


def _device(domain: Domain, index: int | None) -> Iterator[Finding]:
    if index is None:
        yield Host.DEVICE.at(f"device {domain.name}", domain=domain.name)
    for manager, remedy in managers.unguarded(domain.name):
        yield Host.MANAGER.at(f"device {domain.name}", manager=manager, domain=domain.name, remedy=remedy)


def _routes() -> list[_Route]:
    found = []
    with IPRoute() as ipr:
        for family in FAMILIES.values():
            for message in ipr.route("dump", family=family):
                if (message.get_attr("RTA_TABLE") or message["table"]) != RT_TABLE_MAIN:
                    continue
                default = "0.0.0.0" if family == FAMILIES[4] else "::"
                network = ip_network(f"{message.get_attr('RTA_DST') or default}/{message['dst_len']}")
                metric = message.get_attr("RTA_PRIORITY") or 0
                found.append(_Route(network, message["type"], message.get_attr("RTA_OIF"), metric))
    return found


def _terminal_routes(
    domain: Domain, role: Role, all_indexes: set[int], index: int | None, table: list[_Route]
) -> Iterator[Finding]:
    networks: list[Network] = [DEFAULT4] if role == "host" else [*prefixes.terminal4(domain)[:PREFIXES_JUDGED]]
    networks += prefixes.clat6(domain) if role == "host" else prefixes.terminal6(domain)[:PREFIXES_JUDGED]
    for network in networks:
        name = prefixes.texts([network])[0] if network.prefixlen else "default"
        facts = {"ip": "ip -6" if network.version == 6 else "ip", "network": name, "domain": domain.name}
        here = [route for route in table if route.network == network]
        good = all_indexes if network == prefixes.DUMMY4 else {index} - {None}  # which domains share
        if not any(route.kind == RTN_UNICAST and route.interface in good for route in here):
            judgement = Host.TERMINAL_ROUTE_HOST if role == "host" else Host.TERMINAL_ROUTE
            yield judgement.at(f"route {name}", **facts)
        if not any(route.kind == RTN_UNREACHABLE for route in here):
            yield Host.FAIL_CLOSED.at(f"route {name}", **facts)


def _addresses(domain: Domain, role: Role) -> Iterator[Finding]:
    """Addresses of this node that the domain says are somebody else's."""
    mapped: list[Network] = [*prefixes.translated6(domain)]
    if role != "host":  # a host's own addresses are meant to be mapped: what comes from prefix6 to them is taken
        mapped += [*prefixes.clat6(domain), *prefixes.translated4(domain)]
    for address in sorted((ip_address(packed) for packed in local_addresses()), key=lambda a: (a.version, int(a))):
        if any(address in native for native in prefixes.native6(domain) if address.version == native.version):
            continue  # pool4 inside prefix6: this node is one of its IPv6 hosts
        network = next((n for n in mapped if address.version == n.version and address in n), None)
        if network is None:
            continue
        [inside] = prefixes.texts([network])
        yield Host.LOCAL_ADDRESS.at(f"address {address}", network=inside, domain=domain.name)


def _sysctls(domain: Domain, role: Role) -> Iterator[Finding]:
    def finding(judgement: Host, key: str) -> Finding:
        return judgement.at(sysctls.dotted(key), key=sysctls.dotted(key), domain=domain.name)

    own = f"net/ipv4/conf/{domain.name}"
    forwarding = {
        "router": (sysctls.FORWARD4, sysctls.FORWARD6, f"{own}/forwarding"),
        "masquerade": (sysctls.FORWARD4,),
        "host": (),
    }
    yield from (finding(Host.FORWARDING, key) for key in forwarding[role] if sysctl.read(key) == "0")
    if _largest(own, "rp_filter") == 1:
        yield finding(Host.RP_FILTER, f"{own}/rp_filter")
    if _largest(own, "accept_local") == 1:
        yield finding(Host.ACCEPT_LOCAL, f"{own}/accept_local")
    for key in ("net/ipv4/fwmark_reflect", "net/ipv6/fwmark_reflect"):
        if sysctl.read(key) == "1":
            yield finding(Host.FWMARK_REFLECT, key)


def _largest(directory: str, name: str) -> int:
    """The kernel takes the larger of the device's and all's (linux/inetdevice.h IN_DEV_MAXCONF)."""
    return max(int(sysctl.read(f"{place}/{name}") or 0) for place in (directory, "net/ipv4/conf/all"))


def _ruleset(program: Program) -> Iterator[Finding]:
    try:
        source = scan(load.run("list ruleset"), "ruleset")
    except OperatorError as error:
        yield Host.RULESET.at("ruleset", fault=error.what)
        return
    yield from stateful(source, program)
    yield from flowtables(source)
    yield from untracked_nat(source, program)
