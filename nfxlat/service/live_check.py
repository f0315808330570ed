"""Judge the host that a program of rules is to run on: what is lacking, and whether the host is fit."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace

from nfxlat import ipaddresses
from nfxlat.errors import OperatorError
from nfxlat.host import input_checks
from nfxlat.host.facts import facts
from nfxlat.host.found import look
from nfxlat.judgement import Finding, Severity
from nfxlat.nft.check.judgements.host import Host
from nfxlat.nft.check.unchecked import unchecked
from nfxlat.nft.kernel import ruleset
from nfxlat.nft.kernel.base_chains import ahead_of
from nfxlat.nft.language.compile import queues_of
from nfxlat.nft.language.inputs import Inputs
from nfxlat.nft.language.needs import FIRST
from nfxlat.nft.language.program import Program
from nfxlat.plan import sysctls
from nfxlat.plan.compare import Found, Wanted, lacking_sysctls, unended
from nfxlat.plan.plan import Plan
from nfxlat.queues import Queues
from nfxlat.service.host_judgement import JUDGED, judged, judged_rules, rivals
from nfxlat.service.plan_notes import plans
from nfxlat.xlat import prefixes


def check_live(program: Program) -> list[Finding]:
    """Findings on the calling thread's network namespace, the worst first. Raises OperatorError without the right to
    look."""
    found: list[Finding] = []
    all_meant = list(plans(program, queues_of(program, Queues()), facts).values())
    for meant in all_meant:
        there = look(Wanted.of_plan(meant))
        found += _device(meant, there)
        found += _terminal_routes(meant, there, rivals(meant, all_meant))
        found += _forwarding(meant, there)
        found += unchecked(program, meant.domain, _inputs(meant))
    found += _passed_over(program)
    found += judged(all_meant)
    found += judged_rules(all_meant, all_tables=True)
    several = dict.fromkeys(found)  # several domains, one forwarding
    return sorted(several, key=lambda finding: list(Severity).index(finding.severity))


def _passed_over(program: Program) -> Iterator[Finding]:
    """Chains that are loaded, and not the program's, which packets of its statements with `offload` pass by. Tables of
    a former load of its file are its own: they are emptied by the next."""
    allowed = [statement for statement in program.statements if statement.repeated.by]
    if not allowed:
        return
    bases = (chain.base for statement in allowed for chain in statement.bases)
    at = [base.priority for base in bases if base and base.hook == "prerouting" and base.priority is not None]
    last = max(at, default=FIRST)
    names = ", ".join(dict.fromkeys(statement.operand.text for statement in allowed))
    own = {*program.source.tables, *ruleset.loaded_from(ruleset.owner_of(program.source.name))}
    for chain in ahead_of(last):
        if chain.key not in own:
            sees = "may see" if chain.hook == "prerouting" and chain.priority == last else "sees"
            yield Host.PASSED_OVER.at(f"chain {' '.join(chain[:3])}", chain=chain, sees=sees, names=names)


def _inputs(meant: Plan) -> Inputs:
    """What the host asks of packets, less what there is nobody for: interfaces that may come, bridges that show rules
    nothing of others'."""
    try:
        asked = input_checks.found(meant.domain, meant.rules.role)
    except OSError as error:
        raise OperatorError(f"cannot be listed: {os.strerror(error.errno or 0)}", where="interfaces") from None
    bridges = input_checks.shown_by_bridges() if asked.bridges else []
    modes = dict(asked.unlike4)
    there = {modes.get(name, asked.reverse4) for name in input_checks.outside(meant.name)}
    usual = asked.reverse4 if asked.reverse4 in there else "off"
    return replace(asked, reverse4=usual, bridges=tuple(one for one in asked.bridges if one[0] in bridges))


def _device(meant: Plan, found: Found) -> Iterator[Finding]:
    if found.device == "missing":
        yield Host.DEVICE.at(f"device {meant.name}", domain=meant.name)


def _terminal_routes(meant: Plan, found: Found, shared: Mapping[str, set[str | None]]) -> Iterator[Finding]:
    """Prefixes of the plan that do not end as it says; whatever the metric, since rules of one's own may choose it."""
    leads: dict[str, set[str | None]] = {}
    for (text, *_), devices in found.routes.items():
        leads.setdefault(text, set()).update(devices)
    lacking = unended(Wanted.of_plan(meant), found)
    lacking = [one for one in lacking if not leads.get(one.network, set()) & shared.get(one.network, set())]
    for route in lacking[:JUDGED]:
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
