"""A case and a domain in words, for the command line."""

from __future__ import annotations

from collections.abc import Iterator

from nfxlat.conformance.hosts import HOSTS, OWN, Hosts
from nfxlat.conformance.judge import octets_of
from nfxlat.conformance.links import OWN4, OWN6, THEIRS4, THEIRS6
from nfxlat.conformance.native import native
from nfxlat.conformance.suite import Case, Domain, Suite


def show(suite: Suite, case: Case) -> Iterator[str]:
    """What is sent and wanted, who is who, and why."""
    domain = suite.domains[case.domain]
    hosts = Hosts(case.number, domain.prefix6)
    sent, names = octets_of(case, hosts)
    yield f"{case.number} {case.id}"
    yield f"  {case.level}, {case.clause}; domain {case.domain}: {domain.about}"
    if case.why:
        yield f"  {case.why}"
    for text, one in zip(case.texts["send"], sent, strict=True):
        octets = one.octets
        yield f"  send {text}"
        yield f"       {octets[:160].hex()}" + (f"... {len(octets)} octets" if len(octets) > 160 else "")
    for text in case.texts["want"] or ("nothing",):
        yield f"  want {text}"
    for other in case.others:
        yield "    or " + " and ".join(other or ("nothing",))
    for name in sorted(names & (HOSTS.keys() | OWN.keys())):
        yield f"  {name} is {HOSTS.get(name) or OWN.get(name)}"
    yield ""


def domain_lines(domain: Domain) -> Iterator[str]:
    """What has to be set up for a domain."""
    yield f"{domain.name}: {domain.about}"
    yield f"  IPv4 link: {THEIRS4}/24, MTU {domain.mtu4}, default route via {OWN4}"
    yield f"  IPv6 link: {THEIRS6}/64, MTU {domain.mtu6}, default route via {OWN6}"
    for network in native(domain):
        yield f"  route: {network} via {OWN6}, IPv6 hosts inside prefix6"
    if domain.prefix6 is not None:
        yield f"  prefix6: {domain.prefix6}"
    for four in domain.pool4:
        yield f"  translated by prefix6: {four}"
    for four, six in domain.eam:
        yield f"  mapping: {four} = {six}"
    for network4 in domain.pool6791:
        yield f"  rfc6791-v4: {network4}"
    for key, value in domain.settings.items():
        yield f"  {key}: {value}"
    yield ""
