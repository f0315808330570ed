"""Judge the host that a program of rules is to run on: routes, sysctls, addresses, other rules."""

from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import NamedTuple

from pyroute2 import IPRoute

from nfxlat.errors import OperatorError
from nfxlat.host import managers, sysctl
from nfxlat.host.addresses import local_addresses
from nfxlat.host.routes import FAMILIES
from nfxlat.host.rtnetlink import RTN_UNICAST, RTN_UNREACHABLE
from nfxlat.nft.check.domains import untracked_nat
from nfxlat.nft.check.finding import Finding, Severity
from nfxlat.nft.check.judge import flowtables, stateful
from nfxlat.nft.kernel import load
from nfxlat.nft.language.program import Program
from nfxlat.nft.language.scan import Source
from nfxlat.service.live_neighbours import unanswered
from nfxlat.terms import Role
from nfxlat.xlat import prefixes
from nfxlat.xlat.domain import Domain

PREFIXES_JUDGED = 64  # of each family and domain; a large EAMT has a route for each entry
TABLE_MAIN = 254  # linux/rtnetlink.h
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
        what, effect = "no such device", "terminal routes have nothing to lead into, and nothing can be injected"
        remedy = f"nfxlat run --domain {domain.name} makes it"
        yield Finding("device", Severity.WARNING, f"device {domain.name}", what, effect, remedy)
    for manager, remedy in managers.unguarded(domain.name):
        what, effect = f"{manager} runs here", "it may give the device addresses and take its routes away"
        yield Finding("manager", Severity.NOTE, f"device {domain.name}", what, effect, remedy)


def _routes() -> list[_Route]:
    found = []
    with IPRoute() as ipr:
        for family in FAMILIES.values():
            for message in ipr.route("dump", family=family):
                if (message.get_attr("RTA_TABLE") or message["table"]) != TABLE_MAIN:
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
        ip = "ip -6" if network.version == 6 else "ip"
        here = [route for route in table if route.network == network]
        good = all_indexes if network == prefixes.DUMMY4 else {index} - {None}  # which domains share
        if not any(route.kind == RTN_UNICAST and route.interface in good for route in here):
            effect = (
                f"kernel ICMP errors to {name} are never made, for want of a route; while nobody translates, packets "
                f"follow some other route; and rp_filter may drop what comes from {domain.name} with such a source"
            )
            if role == "host":
                effect = "packets are routed elsewhere, or nowhere, and never meet the rule at postrouting"
            remedy = f"{ip} route add {name} dev {domain.name}"
            yield Finding("terminal-route", Severity.ERROR, f"route {name}", "no terminal route", effect, remedy)
        if not any(route.kind == RTN_UNREACHABLE for route in here):
            effect = f"if {domain.name} goes, its route goes too, and packets follow a shorter prefix untranslated"
            remedy = f"{ip} route add unreachable {name} metric 4294967295"
            what = "no unreachable route behind the terminal one"
            yield Finding("fail-closed", Severity.WARNING, f"route {name}", what, effect, remedy)


def _addresses(domain: Domain, role: Role) -> Iterator[Finding]:
    """Addresses of this node that the domain says are somebody else's."""
    mapped: list[Network] = [*prefixes.translated6(domain), *prefixes.clat6(domain)]
    if role != "host":  # a host's own IPv4 address is meant to be mapped
        mapped += prefixes.translated4(domain)
    for address in sorted((ip_address(packed) for packed in local_addresses()), key=lambda a: (a.version, int(a))):
        if any(address in native for native in prefixes.native6(domain) if address.version == native.version):
            continue  # pool4 inside prefix6: this node is one of its IPv6 hosts
        network = next((n for n in mapped if address.version == n.version and address in n), None)
        if network is None:
            continue
        what = f"an address of this node, and inside {prefixes.texts([network])[0]} of {domain.name}"
        effect = "packets to it end here and are not translated, so the host that it stands for is not reached"
        remedy = "take it off this node, or out of the domain"
        yield Finding("local-address", Severity.ERROR, f"address {address}", what, effect, remedy)


def _sysctls(domain: Domain, role: Role) -> Iterator[Finding]:
    def finding(code: str, key: str, value: int, effect: str, remedy: str, severity: Severity) -> Finding:
        return Finding(code, severity, sysctl.dotted(key), f"is {value}", effect, remedy)

    keys = (sysctl.FORWARD4, sysctl.FORWARD6, f"net/ipv4/conf/{domain.name}/forwarding")
    if role != "host":
        for key in keys if role == "router" else keys[:1]:
            if sysctl.read(key) == "0":
                effect = f"what is injected through {domain.name} is not forwarded but dropped"
                remedy = f"sysctl -w {sysctl.dotted(key)}=1, or nfxlat run --inject ip"
                yield finding("forwarding", key, 0, effect, remedy, Severity.ERROR)
    own = f"net/ipv4/conf/{domain.name}"
    if _largest(own, "rp_filter") == 1:
        effect = f"IPv4 packets from {domain.name} pass only if the route back to their source leads into it: with the "
        effect += "terminal routes it does, with any other route they are dropped without a word"
        remedy = "keep the terminal routes, 192.0.0.8 and rfc6791-v4 among them; or 2 (loose)"
        yield finding("rp-filter", f"{own}/rp_filter", 1, effect, remedy, Severity.NOTE)
    if _largest(own, "accept_local") == 1:
        effect = f"packets from {domain.name} with this node's own address as source are taken for its own"
        remedy = f"sysctl -w {sysctl.dotted(own)}.accept_local=0: nfxlat sends those by the raw socket"
        yield finding("accept-local", f"{own}/accept_local", 1, effect, remedy, Severity.WARNING)
    for key in ("net/ipv4/fwmark_reflect", "net/ipv6/fwmark_reflect"):
        if sysctl.read(key) == "1":
            effect = "an ICMP error of the kernel bears the mark of its packet: where a rule at output ahead of -449 "
            effect += (
                "rejects what nfxlat sends by raw socket, the mark is nfxlat's, and the error is let off untranslated"
            )
            remedy = f"sysctl -w {sysctl.dotted(key)}=0"
            yield finding("fwmark-reflect", key, 1, effect, remedy, Severity.WARNING)


def _largest(directory: str, name: str) -> int:
    """The kernel takes the larger of the device's and all's (linux/inetdevice.h IN_DEV_MAXCONF)."""
    return max(int(sysctl.read(f"{place}/{name}") or 0) for place in (directory, "net/ipv4/conf/all"))


def _ruleset(program: Program) -> Iterator[Finding]:
    try:
        source = Source(load.run("list ruleset"), "ruleset")
    except OperatorError as error:
        what, effect = f"cannot be read: {error.what}", "other rules may drop what is translated"
        yield Finding("ruleset", Severity.WARNING, "ruleset", what, effect)
        return
    yield from stateful(source, program.sources())
    yield from flowtables(source)
    yield from untracked_nat(source, program)
