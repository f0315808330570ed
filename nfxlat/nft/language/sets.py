"""Sets that a domain fills: what it translates, by name, for the rules of a file.

    ip daddr @siit0_to xlat to siit0            pool4 and the IPv4 side of the EAMs
    ip6 daddr @siit0_from xlat from siit0       prefix6; in the host role the IPv6 side of the EAMs

Each table that mentions one gets it. Elements are no part of the rules' structure, so that a load after a change of
mappings alone changes elements and leaves every chain where it is.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from nfxlat.nft.language.program import Program
from nfxlat.nft.language.source import Rule
from nfxlat.terms import Role
from nfxlat.xlat import prefixes
from nfxlat.xlat.domain import Domain
from nfxlat.xlat.prefixes import Span


class SetName(NamedTuple):
    """A set of addresses that are `bits` (32, 128) wide."""

    family: str
    table: str
    name: str
    bits: int

    def __str__(self) -> str:
        return f"{self.family} {self.table} {self.name}"


Contents = Mapping[SetName, list[Span]]


@dataclass(frozen=True, slots=True)
class GeneratedSet:
    """A set of addresses that are `bits` (32, 128) wide, and what is in it."""

    name: str
    bits: int
    spans: list[Span]

    def lines(self, *, elements: bool) -> list[str]:
        """As nft has it; without its `elements`, as its structure."""
        lines = [f"set {self.name} {{", f"\ttype ipv{4 if self.bits == 32 else 6}_addr", "\tflags interval"]
        lines.append("\tauto-merge")
        if self.spans and elements:  # nft has no empty list
            lines.append(f"\telements = {{ {', '.join(prefixes.span_texts(self.spans, self.bits))} }}")
        return [*lines, "}"]


def of_domain(name: str, domain: Domain, role: Role, direction: str) -> GeneratedSet:
    """The set `name` of what the domain translates in a direction: `to` IPv6, or `from` it."""
    if direction == "to":
        return GeneratedSet(name, 32, prefixes.translated4_spans(domain))
    if role == "host":
        return GeneratedSet(name, 128, prefixes.clat6_spans(domain))
    return GeneratedSet(name, 128, prefixes.spans(prefixes.translated6(domain)))


def mentioned(program: Program) -> Iterator[tuple[Rule, GeneratedSet]]:
    """The sets that rules mention by `@DOMAIN_to` and `@DOMAIN_from`, once a table, each with the first such rule.

    A set of that name that the file makes itself is its own.
    """
    names = {f"@{domain.name}_{way}": (domain, way) for domain in program.domains.values() for way in ("to", "from")}
    own = program.source.set_names
    seen = set()
    for rule in program.source.rules:
        for word in rule.words:
            key = (rule.chain.table.key, word)
            if word in names and key not in seen and (*rule.chain.table.key, word[1:]) not in own:
                seen.add(key)
                domain, direction = names[word]
                yield rule, of_domain(word[1:], domain, program.role(domain), direction)
