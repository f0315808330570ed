"""Judge the domains that a file uses together: one-way ones, overlaps, loops, hooks that `load` adds."""

from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network
from itertools import combinations, product
from typing import TypeVar

from nfxlat.judgement import Finding
from nfxlat.nft.check.apart import apart
from nfxlat.nft.check.judgements.surroundings import Domains
from nfxlat.nft.check.place import VERSIONS
from nfxlat.nft.language.chains import intercepted, own_table, table_of
from nfxlat.nft.language.program import Program
from nfxlat.nft.language.statement import TAKES
from nfxlat.terms import FAMILIES
from nfxlat.xlat import prefixes
from nfxlat.xlat.domain import Domain

Network = TypeVar("Network", IPv4Network, IPv6Network)


def domains(program: Program) -> Iterator[Finding]:
    """Findings on each domain in use, at its first statement, and on each two."""
    for domain in program.domains.values():
        yield from _one_way(program, domain)
        yield from _output(program, domain)
        yield from _loops(program, domain)
        yield from _name(program, domain)
    for one, other in combinations(program.domains.values(), 2):
        yield from _overlap(program, one, other)


def _at(program: Program, domain: Domain) -> str:
    return program.source.place(program.of(domain)[0].at.start)


def _one_way(program: Program, domain: Domain) -> Iterator[Finding]:
    for direction, family in TAKES.items():
        if not program.of(domain, direction):
            facts = {"direction": direction, "family": family, "version": VERSIONS[family], "domain": domain.name}
            yield Domains.ONE_WAY.at(_at(program, domain), **facts)


def _output(program: Program, domain: Domain) -> Iterator[Finding]:
    for direction, family in TAKES.items():
        if intercepted(program.role(domain), family) and "output" not in program.hooks(domain, direction):
            facts = {
                "family": family,
                "version": VERSIONS[family],
                "domain": domain.name,
                "table": table_of(program, domain, family)[1],
            }
            yield Domains.OUTPUT.at(_at(program, domain), **facts)


def _loops(program: Program, domain: Domain) -> Iterator[Finding]:
    """IPv6 addresses of hosts that lie inside a prefix6 of the file."""
    for other in program.domains.values():
        inside = (n for n in domain.eamt.v6_networks() if other.prefix6 is not None and n.overlaps(other.prefix6))
        if network := next(inside, None):
            judgement = Domains.LOOP if other is domain else Domains.LOOP_OTHER
            facts = {"network": prefixes.texts([network])[0], "domain": domain.name, "other": other.name}
            yield judgement.at(_at(program, domain), **facts)


def _name(program: Program, domain: Domain) -> Iterator[Finding]:
    for family in FAMILIES:
        table = program.source.tables.get((family, own_table(domain)))
        if table is not None and table.key == table_of(program, domain, family):
            where = program.source.place(table.blocks[0][0].start if table.blocks else 0)
            yield Domains.NAME.at(where, table=f"{family} {table.name}")


def _overlap(program: Program, one: Domain, other: Domain) -> Iterator[Finding]:
    hosts = {program.role(one), program.role(other)} == {"host"}  # whose IPv4 is taken by its route
    same4 = None if hosts else common(prefixes.translated4(one), prefixes.translated4(other))
    same6 = common(_taken6(program, one), _taken6(program, other))
    for direction, same in (("to", same4), ("from", same6)):
        if same is None:
            continue
        facts = {"one": f"{same[0]} of {one.name}", "two": f"{same[1]} of {other.name}"}
        if not _apart(program, one, other, direction):
            yield Domains.OVERLAP.at(_at(program, other), **facts)
        elif any("output" not in program.hooks(domain, direction) for domain in (one, other)):
            example = f'oifname "{other.name}" xlat {direction} {other.name}'
            yield Domains.OVERLAP_OUTPUT.at(_at(program, other), **facts, domain=one.name, example=example)


def _taken6(program: Program, domain: Domain) -> list[IPv6Network]:
    return prefixes.clat6(domain) if program.role(domain) == "host" else prefixes.translated6(domain)


def _apart(program: Program, one: Domain, other: Domain, direction: str) -> bool:
    """Whether the rules of the direction tell packets of the one from those of the other."""
    pairs = product(program.of(one, direction), program.of(other, direction))
    return all(apart(program.source, these, those) for these, those in pairs)


def common(one: list[Network], other: list[Network]) -> tuple[Network, Network] | None:
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
