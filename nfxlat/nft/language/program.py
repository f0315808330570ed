"""An nft file with `xlat` statements, and the domain that each of them means."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network

from nfxlat.errors import OperatorError
from nfxlat.nft.language.includes import refuse_xlat
from nfxlat.nft.language.literals import literals6
from nfxlat.nft.language.scan import Source
from nfxlat.nft.language.statement import MAPPED, Xlat, meant_prefix6, network4, network6, prefix6_faults, statements
from nfxlat.terms import Role
from nfxlat.xlat import prefixes
from nfxlat.xlat.domain import Domain
from nfxlat.xlat.eamt import Eamt


@dataclass(frozen=True, slots=True)
class Unresolved:
    """A statement without a domain: why (all faults), and what to write instead."""

    faults: tuple[str, ...]
    remedy: str


@dataclass(slots=True)
class Program:
    """A file, its statements in order, and what each means. `inline` are the domains that statements make themselves.

    `domains` holds those in use, in the order of their first statement.
    """

    source: Source
    statements: list[Xlat]
    meaning: list[Domain | Unresolved] = field(default_factory=list)
    domains: dict[str, Domain] = field(default_factory=dict)
    inline: set[str] = field(default_factory=set)

    def uses(self) -> list[tuple[Xlat, Domain]]:
        """The statements that have a domain."""
        pairs = zip(self.statements, self.meaning, strict=True)
        return [(statement, domain) for statement, domain in pairs if isinstance(domain, Domain)]

    def of(self, domain: Domain, direction: str | None = None) -> list[Xlat]:
        return [s for s, d in self.uses() if d is domain and direction in (None, s.direction)]

    def hooks(self, statement: Xlat) -> set[str]:
        """Names of the hooks from which packets reach the statement."""
        return {c.base.hook for c in self.source.bases(statement.rule.chain) if c.base}

    def sources(self) -> list[str]:
        """The domain devices that translated packets come in on: those of routers (others use raw sockets)."""
        return [domain.name for domain in self.domains.values() if self.role(domain) == "router"]

    def role(self, domain: Domain) -> Role:
        """A router's IPv4 is taken at prerouting; at postrouting a host's own, and what NAT has led to IPv6 hosts.

        What comes back as IPv6 is for prefix6 there, and for the EAMs' IPv6 side at a host; pool4 is for no host.
        """
        if not any("postrouting" in self.hooks(s) for s in self.of(domain, "to")):
            return "router"
        named = [network for s in self.of(domain, "from") for network in literals6(self.source, s)]
        if any(a.overlaps(b) for a in named for b in prefixes.translated6(domain)):
            return "masquerade"
        own = any(a.overlaps(b) for a in named for b in prefixes.clat6(domain))
        return "masquerade" if domain.pool4 and not own else "host"


def program(text: str, name: str, configured: Sequence[Domain] = ()) -> Program:
    """The program of nft input `text`, called `name` in messages. Raises OperatorError where it cannot be read."""
    refuse_xlat(text, name)
    source = Source(text, name)
    found = Program(source, statements(source))
    made = _inline_domains(source, found.statements, configured)
    found.inline = {domain.name for domain in made.values()}
    for statement in found.statements:
        meaning = _meaning(statement, configured, made)
        if isinstance(meaning, Domain):
            meaning = found.domains.setdefault(meaning.name, meaning)
        found.meaning.append(meaning)
    return found


def _inline_domains(source: Source, found: list[Xlat], configured: Sequence[Domain]) -> dict[IPv6Network, Domain]:
    """One domain for each prefix that statements give a mapping of the other address for: xlat0, xlat1 ..."""
    mapped: dict[IPv6Network, dict[tuple[IPv4Network, IPv6Network], Xlat]] = {}
    for statement in found:
        if not statement.mappings or not statement.names_prefix or prefix6_faults(statement.operand.text):
            continue
        entries = mapped.setdefault(IPv6Network(statement.operand.text), {})
        for key, value in statement.mappings:
            v4, v6 = (key, value) if statement.direction == "to" else (value, key)
            entries[network4(source, v4), network6(source, v6)] = statement
    taken = {domain.name for domain in configured}
    names = (name for number in range(len(mapped) + len(taken)) if (name := f"xlat{number}") not in taken)
    made = {}
    for prefix6, entries in mapped.items():
        first = next(iter(entries.values()))
        try:
            made[prefix6] = Domain(next(names), prefix6=prefix6, eamt=Eamt(entries))
        except OperatorError as error:
            raise source.fault(error.what, first.at, error.hint) from error
    return made


def _meaning(statement: Xlat, configured: Sequence[Domain], made: dict[IPv6Network, Domain]) -> Domain | Unresolved:
    operand = statement.operand.text
    if not statement.names_prefix:
        for domain in configured:
            if domain.name == operand:
                if statement.mappings:
                    fault = f"the domain {operand} has its own mappings; `with` gives a bare prefix one"
                    return Unresolved((fault,), f"xlat {statement.direction} {operand}, and eam in the configuration")
                return domain
        names = ", ".join(domain.name for domain in configured) or "none"
        return Unresolved((f"no domain {operand!r} is configured",), f"there is {names}; give the file by --config")
    if faults := prefix6_faults(operand):
        guess = meant_prefix6(operand)
        return Unresolved(tuple(faults), f"did you mean {guess}?" if guess else "such as 2001:db8:64::/96")
    prefix6 = IPv6Network(operand)
    if prefix6 in made:
        return made[prefix6]
    same = [domain for domain in configured if domain.prefix6 == prefix6]
    if len(same) == 1:
        return same[0]
    return _open_address(statement, [domain.name for domain in same])


def _open_address(statement: Xlat, same: list[str]) -> Unresolved:
    prefix6, word = statement.operand.text, MAPPED[statement.direction]
    example = "{ 192.0.0.1 : 2001:db8:2::2 }" if statement.direction == "to" else "{ 2001:db8:2::2 : 192.0.0.1 }"
    remedy = f"name a domain (xlat {statement.direction} siit0), or add `with {word} {example}`"
    if same:
        return Unresolved((f"{prefix6} is the prefix6 of several domains: {', '.join(same)}",), remedy)
    other = "destination" if word == "source" else "source"
    return Unresolved(
        (f"{prefix6} maps the {other} only: what becomes of the {word} is open, and SIIT keeps no state to choose",),
        remedy,
    )
