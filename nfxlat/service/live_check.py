"""Judge the host that a program of rules is to run on: routes, sysctls, addresses, other rules."""

from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network

from nfxlat import ipaddresses
from nfxlat.errors import OperatorError
from nfxlat.host import managers, sysctl
from nfxlat.host.addresses import local_addresses
from nfxlat.host.facts import facts
from nfxlat.host.found import look
from nfxlat.judgement import Finding
from nfxlat.nft.check.judgements.host import Host
from nfxlat.nft.check.others import flowtables, stateful, untracked_nat
from nfxlat.nft.kernel import load
from nfxlat.nft.language.compile import queues_of
from nfxlat.nft.language.program import Program
from nfxlat.nft.language.scan import scan
from nfxlat.plan import sysctls
from nfxlat.plan.compare import Found, Wanted, lacking_sysctls, unended
from nfxlat.plan.plan import Plan
from nfxlat.queues import Queues
from nfxlat.service.live_neighbours import unanswered
from nfxlat.service.plan_notes import plans
from nfxlat.terms import Role
from nfxlat.xlat import prefixes
from nfxlat.xlat.domain import Domain

JUDGED = 64  # routes of a domain; a large EAMT has some for each entry

Network = IPv4Network | IPv6Network


def check_live(program: Program) -> list[Finding]:
    """Findings on the calling thread's network namespace. Raises OperatorError without the right to look."""
    found: list[Finding] = []
    for name, meant in plans(program, queues_of(program, Queues()), facts).items():
        domain, role, there = program.domains[name], meant.rules.role, look(Wanted.of_plan(meant))
        found += _device(meant, there)
        found += _terminal_routes(meant, there)
        found += _addresses(domain, role)
        found += _sysctls(meant, there)
        found += unanswered(domain, role)
    found += _ruleset(program)
    return list(dict.fromkeys(found))  # several domains, one forwarding


def _device(meant: Plan, found: Found) -> Iterator[Finding]:
    if found.device == "missing":
        yield Host.DEVICE.at(f"device {meant.name}", domain=meant.name)
    for manager, remedy in managers.unguarded(meant.name):
        yield Host.MANAGER.at(f"device {meant.name}", manager=manager, domain=meant.name, remedy=remedy)


def _terminal_routes(meant: Plan, found: Found) -> Iterator[Finding]:
    """Prefixes of the plan that do not end as it says; whatever the metric, since rules of one's own may choose it."""
    for route in unended(Wanted.of_plan(meant), found)[:JUDGED]:
        network = ipaddresses.network(route.network)
        name = prefixes.texts([network])[0] if network.prefixlen else "default"
        facts = {"ip": "ip -6" if network.version == 6 else "ip", "network": name, "domain": meant.name}
        terminal = Host.TERMINAL_ROUTE_HOST if meant.rules.role == "host" else Host.TERMINAL_ROUTE
        yield (Host.FAIL_CLOSED if route.device is None else terminal).at(f"route {name}", **facts)


def _addresses(domain: Domain, role: Role) -> Iterator[Finding]:
    """Addresses of this node that the domain says are somebody else's."""
    mapped: list[Network] = [*prefixes.translated6(domain)]
    if role != "host":  # a host's own addresses are meant to be mapped: what comes from prefix6 to them is taken
        mapped += [*prefixes.clat6(domain), *prefixes.translated4(domain)]
    for address in sorted(
        (ipaddresses.address(packed) for packed in local_addresses()), key=lambda a: (a.version, int(a))
    ):
        if any(address in native for native in prefixes.pool6(domain) if address.version == native.version):
            continue  # pool4 inside prefix6: this node is one of its IPv6 hosts
        network = next((n for n in mapped if address.version == n.version and address in n), None)
        if network is None:
            continue
        [inside] = prefixes.texts([network])
        yield Host.LOCAL_ADDRESS.at(f"address {address}", network=inside, domain=domain.name)


def _sysctls(meant: Plan, found: Found) -> Iterator[Finding]:
    def finding(judgement: Host, key: str) -> Finding:
        return judgement.at(sysctls.dotted(key), key=sysctls.dotted(key), domain=meant.name)

    own = f"net/ipv4/conf/{meant.name}"
    off = [one.key for one in lacking_sysctls(Wanted.of_plan(meant), found)]
    forwarding = (sysctls.FORWARD4, sysctls.FORWARD6, f"{own}/forwarding")
    yield from (finding(Host.FORWARDING, key) for key in off if key in forwarding)
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
        source = scan(load.ruleset(), "ruleset")
    except OperatorError as error:
        yield Host.RULESET.at("ruleset", fault=error.what)
        return
    yield from stateful(source, program)
    yield from flowtables(source)
    yield from untracked_nat(source, program)
