"""Judge the host that a program of rules is to run on: what is lacking, and whether the host is fit."""

from collections.abc import Iterator

from nfxlat import ipaddresses
from nfxlat.host.facts import facts
from nfxlat.host.found import look
from nfxlat.judgement import Finding
from nfxlat.nft.check.judgements.host import Host
from nfxlat.nft.language.compile import queues_of
from nfxlat.nft.language.program import Program
from nfxlat.plan import sysctls
from nfxlat.plan.compare import Found, Wanted, lacking_sysctls, unended
from nfxlat.plan.plan import Plan
from nfxlat.queues import Queues
from nfxlat.service.host_judgement import JUDGED, judged, judged_rules
from nfxlat.service.plan_notes import plans
from nfxlat.xlat import prefixes


def check_live(program: Program) -> list[Finding]:
    """Findings on the calling thread's network namespace. Raises OperatorError without the right to look."""
    found: list[Finding] = []
    all_meant = list(plans(program, queues_of(program, Queues()), facts).values())
    for meant in all_meant:
        there = look(Wanted.of_plan(meant))
        found += _device(meant, there)
        found += _terminal_routes(meant, there)
        found += _forwarding(meant, there)
    found += judged(all_meant)
    found += judged_rules(all_meant, all_tables=True)
    return list(dict.fromkeys(found))  # several domains, one forwarding


def _device(meant: Plan, found: Found) -> Iterator[Finding]:
    if found.device == "missing":
        yield Host.DEVICE.at(f"device {meant.name}", domain=meant.name)


def _terminal_routes(meant: Plan, found: Found) -> Iterator[Finding]:
    """Prefixes of the plan that do not end as it says; whatever the metric, since rules of one's own may choose it."""
    for route in unended(Wanted.of_plan(meant), found)[:JUDGED]:
        network = ipaddresses.network(route.network)
        name = prefixes.texts([network])[0] if network.prefixlen else "default"
        facts = {"ip": "ip -6" if network.version == 6 else "ip", "network": name, "domain": meant.name}
        terminal = Host.TERMINAL_ROUTE_HOST if meant.rules.role == "host" else Host.TERMINAL_ROUTE
        yield (Host.FAIL_CLOSED if route.device is None else terminal).at(f"route {name}", **facts)


def _forwarding(meant: Plan, found: Found) -> Iterator[Finding]:
    keys = (sysctls.FORWARD4, sysctls.FORWARD6, f"net/ipv4/conf/{meant.name}/forwarding")
    for one in lacking_sysctls(Wanted.of_plan(meant), found):
        if one.key in keys:
            key = sysctls.dotted(one.key)
            yield Host.FORWARDING.at(key, key=key, domain=meant.name)
