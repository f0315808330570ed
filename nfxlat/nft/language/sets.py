"""Sets that a domain fills: what it translates, by name, for the rules of a file.

    ip daddr @siit0_to xlat to siit0            pool4 and the IPv4 side of the EAMs
    ip6 daddr @siit0_from xlat from siit0       prefix6; in the host role the IPv6 side of the EAMs
    ip6 saddr @siit0_prefix6                    prefix6, in any role
    ip6 daddr @siit0_native                     never translated: pool4 and EAM hosts inside prefix6 (in the
                                                host role pool4 alone), this host, its link, multicast

Each table that mentions one gets it. Elements are no part of the rules' structure, so that a load after a change of
mappings alone changes elements and leaves every chain where it is.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from nfxlat import ipaddresses
from nfxlat.nft.language.emit import GeneratedSet
from nfxlat.nft.language.program import Program
from nfxlat.nft.language.source import GENERATED, Rule
from nfxlat.terms import Role
from nfxlat.xlat import prefixes
from nfxlat.xlat.domain import Domain
from nfxlat.xlat.prefixes import Span

STAYS6 = tuple(map(ipaddresses.network6, ("::1/128", "fe80::/10", "ff00::/8")))  # special.stays6


class SetName(NamedTuple):
    """A set of addresses that are `bits` (32, 128) wide."""

    family: str
    table: str
    name: str
    bits: int

    def __str__(self) -> str:
        return f"{self.family} {self.table} {self.name}"

    @property
    def lets_off(self) -> bool:
        """Whether what is in it is left alone, rather than translated."""
        return self.name.endswith("_native")


Contents = Mapping[SetName, list[Span]]


def set_name(domain: str, kind: str) -> str:
    """What a rule calls a domain's set; nft takes no name that begins with a digit."""
    return f"{'_' if domain[0].isdigit() else ''}{domain}_{kind}"


class GeneratedSets:
    """The generated sets of domains in their roles, each made once."""

    def __init__(self, roles: Mapping[str, Role]) -> None:
        self._roles = roles
        self._made: dict[tuple[str, str], GeneratedSet] = {}

    def of(self, domain: Domain, kind: str) -> GeneratedSet:
        """The set of a kind of `GENERATED`."""
        key = domain.name, kind
        if key not in self._made:
            spans = _spans(domain, self._roles[domain.name], kind)
            self._made[key] = GeneratedSet(set_name(domain.name, kind), GENERATED[kind], spans)
        return self._made[key]

    def mentioned(self, program: Program) -> Iterator[tuple[Rule, GeneratedSet]]:
        """The sets that rules mention, once a table, each with the first such rule.

        A set of that name that the file makes itself is its own.
        """
        names = {f"@{set_name(d.name, kind)}": (d, kind) for d in program.domains.values() for kind in GENERATED}
        seen = set()
        for rule in program.source.rules:
            for word in rule.words:
                key = (*rule.chain.table.key, word[1:])
                if word in names and key not in seen and key not in program.source.set_names:
                    seen.add(key)
                    yield rule, self.of(*names[word])


def _spans(domain: Domain, role: Role, kind: str) -> list[Span]:
    if kind == "to":
        return prefixes.translated4_spans(domain)
    if kind == "from" and role == "host":
        return prefixes.clat6_spans(domain)
    if kind == "native":
        inside = prefixes.spans(prefixes.pool6(domain)) if role == "host" else prefixes.native6_spans(domain)
        return prefixes.merged([*prefixes.spans(STAYS6), *inside])
    return prefixes.spans(prefixes.translated6(domain))
