"""Whether this host is fit for the domains on it, for `nfxlat doctor`: what `--setup` and `rules check --live` say."""

import contextlib
from collections.abc import Iterator

from nfxlat import ipaddresses
from nfxlat.errors import OperatorError
from nfxlat.host import registry, state
from nfxlat.judgement import Finding, Severity
from nfxlat.plan.plan import Plan
from nfxlat.plan.record import Unreadable, decode
from nfxlat.service import domains
from nfxlat.service.diagnosis import Diagnosis, State
from nfxlat.service.host_judgement import judged, judged_rules
from nfxlat.service.purpose import meant_by, plan_here
from nfxlat.xlat.domain import Domain

ANY = Domain(prefix6=ipaddresses.network6("2001:db8::/96"))
TOLD_ELSEWHERE = ("manager", "flowtable", "ruleset")  # for any domain


def fitness(chosen: Plan | None = None) -> Iterator[Diagnosis]:
    """Findings about domains that are set up or added here, and about `chosen`, which is still to be set up."""
    standing, coming = _known()
    if chosen is not None:
        coming = [chosen, *(plan for plan in coming if plan.name != chosen.name)]
    coming = [plan for plan in coming if plan.name not in {other.name for other in standing} or plan is chosen]
    # Rules matter on a host without a domain too: the first is called siit0 mostly.
    for_rules = [*standing, *coming] or [plan_here(ANY, "router", "hook")]
    try:
        findings = [*judged(standing), *judged(coming, before=True), *judged_rules(for_rules)]
    except Exception as error:
        yield Diagnosis("host", State.UNKNOWN, str(error), "it cannot be judged", "run as root")
        return
    yield from (_diagnosis(finding) for finding in dict.fromkeys(findings) if finding.code not in TOLD_ELSEWHERE)


def _known() -> tuple[list[Plan], list[Plan]]:
    """Domains whose record tells what they are for, and those that were added."""
    standing = []
    for data in state.others().values():
        with contextlib.suppress(Unreadable):  # told elsewhere
            meant = meant_by(decode(data))
            standing += [meant] if meant is not None else []
    added = []
    for name in registry.names():
        try:
            added.append(plan_here(domains.added(name), "router", "hook"))
        except OperatorError:
            continue
    return standing, added


_STATES = {Severity.ERROR: State.MISSING, Severity.WARNING: State.WARNING, Severity.NOTE: State.NOTE}


def _diagnosis(finding: Finding) -> Diagnosis:
    found = f"{finding.what} [{finding.code}]"
    return Diagnosis(finding.where, _STATES[finding.severity], found, finding.effect, finding.instead)
