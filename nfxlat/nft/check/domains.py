"""Judge the domains that a file uses together: one-way ones, overlaps, loops, hooks that `load` adds."""

from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network
from itertools import combinations
from typing import TypeVar

from nfxlat.judgement import Finding, Severity
from nfxlat.nft.language.chains import DIRECTIONS, intercepted, own_table
from nfxlat.nft.language.literals import addresses4
from nfxlat.nft.language.program import Program
from nfxlat.nft.language.scan import Source
from nfxlat.xlat import prefixes
from nfxlat.xlat.domain import Domain

Network = TypeVar("Network", IPv4Network, IPv6Network)


def domains(program: Program) -> Iterator[Finding]:
    """Findings on each domain in use, at its first statement, and on each pair."""
    for domain in program.domains.values():
        yield from _one_way(program, domain)
        yield from _output(program, domain)
        yield from _loops(program, domain)
        for (family, name), table in program.source.tables.items():
            if name == own_table(domain) and family in DIRECTIONS.values():
                where = program.source.place(table.blocks[0][0].start if table.blocks else 0)
                effect = "load makes a table of that name for the domain, in the place of this one"
                yield Finding("name", Severity.ERROR, where, f"table {family} {name}", effect, "another name")
    for one, other in combinations(program.domains.values(), 2):
        yield from _overlap(program, one, other)


def untracked_nat(source: Source, program: Program) -> Iterator[Finding]:
    """Rules of `source` that would put source NAT on what routers of the program translate."""
    routed = [domain for domain in program.domains.values() if program.role(domain) == "router"]
    for rule in source.rules:
        verdict = next((token for token in rule.tokens if token.text in ("masquerade", "snat")), None)
        sources = addresses4(source, rule.tokens, "saddr") if verdict is not None else []
        domain = next((d for d in routed if _common(sorted(sources), prefixes.translated4(d))), None)
        if verdict is None or domain is None:
            continue
        what = f"{verdict.text} of addresses that {domain.name} translates to"
        effect = f"what comes from {domain.name} is untracked: no NAT happens, and it leaves with those addresses"
        remedy = "translate behind NAT, at postrouting: rules/xlat/masquerade.nft"
        yield Finding("untracked-nat", Severity.WARNING, source.place(verdict.start), what, effect, remedy)


def _at(program: Program, domain: Domain) -> str:
    return program.source.place(program.of(domain)[0].at.start)


def _one_way(program: Program, domain: Domain) -> Iterator[Finding]:
    missing = [direction for direction in DIRECTIONS if not program.of(domain, direction)]
    for direction in missing:
        what = f"no rule says `xlat {direction} {domain.name}`"
        version = "IPv4" if direction == "to" else "IPv6"
        effect = f"the replies, {version} packets, are routed into the device and refused there"
        table = "ip: ip daddr ..." if direction == "to" else "ip6: ip6 daddr ..."
        remedy = f"in a table {table} xlat {direction} {domain.name}"
        yield Finding("one-way", Severity.WARNING, _at(program, domain), what, effect, remedy)


def _output(program: Program, domain: Domain) -> Iterator[Finding]:
    for direction, ip in DIRECTIONS.items():
        if not intercepted(program.role(domain), ip) or any(
            "output" in program.hooks(statement) for statement in program.of(domain, direction)
        ):
            continue
        what = f"no rule takes {'IPv4' if ip == 'ip' else 'IPv6'} packets of {domain.name} at output"
        effect = (
            "this node's own packets, and its kernel's ICMP errors about translated packets (Packet Too Big, Time "
            "Exceeded), never pass prerouting"
        )
        remedy = f"nothing: load adds one, in table {ip} {own_table(domain)}"
        yield Finding("output", Severity.NOTE, _at(program, domain), what, effect, remedy)


def _loops(program: Program, domain: Domain) -> Iterator[Finding]:
    """IPv6 addresses of hosts that lie inside a prefix6 of the file."""
    for other in program.domains.values():
        if other.prefix6 is None:
            continue
        for network in domain.eamt.v6_networks():
            if not network.overlaps(other.prefix6):
                continue
            what = f"{prefixes.texts([network])[0]}, an IPv6 host of {domain.name}, lies in prefix6 of {other.name}"
            effect = (
                f"what is translated to it is taken by {other.name} too, which has no mapping of its source: refused"
            )
            if other is domain:
                effect = "what is translated to it is routed into the device that it came from, and refused"
            remedy = "give the host an address outside prefix6, or take it as pool4"
            yield Finding("loop", Severity.ERROR, _at(program, domain), what, effect, remedy)
            break


def _overlap(program: Program, one: Domain, other: Domain) -> Iterator[Finding]:
    same4 = _common(prefixes.translated4(one), prefixes.translated4(other))
    same6 = _common(prefixes.translated6(one), prefixes.translated6(other))
    for same in (same4, same6):  # of either family
        if same is None:
            continue
        what = f"{same[0]} of {one.name} and {same[1]} of {other.name} overlap"
        effect = (
            "the first rule that matches decides, and the reply may meet the other domain, whose addresses differ; "
            "one route can lead into one device only"
        )
        remedy = "prefixes of their own, or one domain; where rules tell them apart (iifname), in both directions"
        yield Finding("overlap", Severity.WARNING, _at(program, other), what, effect, remedy)


def _common(one: list[Network], other: list[Network]) -> tuple[Network, Network] | None:
    """The first two that overlap, of two lists in the order of addresses without overlaps of their own."""
    first = second = 0
    while first < len(one) and second < len(other):
        a, b = one[first], other[second]
        if int(a.broadcast_address) < int(b.network_address):
            first += 1
        elif int(b.broadcast_address) < int(a.network_address):
            second += 1
        else:
            return a, b
    return None
