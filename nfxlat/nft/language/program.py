"""An nft file with `xlat` statements, and what each of them means: read once, then values."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from ipaddress import IPv4Network, IPv6Network
from types import MappingProxyType

from nfxlat.nft.language.includes import Reader, read_includes, variables
from nfxlat.nft.language.literals import addresses4, addresses6
from nfxlat.nft.language.meaning import Unresolved, inline_domains, meaning_of
from nfxlat.nft.language.repeat import NOT_REPEATED, Repeated, repeated
from nfxlat.nft.language.scan import scan
from nfxlat.nft.language.source import Chain, Source
from nfxlat.nft.language.statement import Xlat, statements
from nfxlat.nft.language.tokens import Token
from nfxlat.terms import Role
from nfxlat.xlat import prefixes
from nfxlat.xlat.domain import Domain

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Statement(Xlat):
    """A statement in its place: what it means, and which packets get to it.

    `hooks` are the names of the hooks of `bases`, the base chains from which packets reach it; `destinations` those of
    its own matches that are written out, or are variables; `repeated` how its decision may be repeated at ingress.
    """

    meaning: Domain | Unresolved
    bases: tuple[Chain, ...]
    hooks: frozenset[str]
    destinations: tuple[Network, ...]
    repeated: Repeated

    @property
    def domain(self) -> Domain | None:
        """The domain that it means; None: see `meaning`."""
        return self.meaning if isinstance(self.meaning, Domain) else None


@dataclass(frozen=True, slots=True)
class Program:
    """A file, its statements in order, the domains in use in the order of their first statement, and their roles."""

    source: Source
    statements: tuple[Statement, ...]
    domains: Mapping[str, Domain]
    roles: Mapping[str, Role]

    def uses(self) -> list[tuple[Statement, Domain]]:
        """The statements that have a domain."""
        return [(statement, statement.domain) for statement in self.statements if statement.domain is not None]

    def of(self, domain: Domain, direction: str | None = None) -> list[Statement]:
        """The statements of a domain, in one direction or in both."""
        return [s for s in self.statements if s.meaning is domain and direction in (None, s.direction)]

    def hooks(self, domain: Domain, direction: str) -> frozenset[str]:
        """Names of the hooks from which a domain's packets of one direction are taken."""
        return frozenset().union(*(statement.hooks for statement in self.of(domain, direction)))

    def offloaded(self) -> frozenset[str]:
        """The domains whose statements say `offload`, and whose configuration does not."""
        return frozenset(d.name for statement, d in self.uses() if statement.offload is not None and not d.offload)

    def role(self, domain: Domain) -> Role:
        """What the node is to the packets of a domain."""
        return self.roles[domain.name]

    def routed(self) -> list[Domain]:
        """The domains of routers: what they translate comes in by their devices (others use raw sockets)."""
        return [domain for domain in self.domains.values() if self.role(domain) == "router"]


def _no_files(operand: str, name: str, top: str) -> tuple[()]:
    return ()


def program(text: str, name: str, configured: Sequence[Domain] = (), included: Reader = _no_files) -> Program:
    """The program of nft input `text`, called `name` in messages. Raises OperatorError where it cannot be read.

    `included` reads the files that it includes, to refuse those with a statement of their own.
    """
    files = read_includes(text, name, included)
    source = scan(text, name)
    written = statements(source)
    unread: frozenset[int] = frozenset()
    if files and any(statement.offload for statement in written):  # a list of addresses may have a million lines
        given, unread = variables(files)
        source = scan(text, name, given)
        written = statements(source)
    opaque = [token for token in source.includes if token.start in unread]
    made = inline_domains(source, written, configured)
    domains: dict[str, Domain] = {}
    found = []
    for statement in written:
        meaning = meaning_of(statement, configured, made)
        if isinstance(meaning, Domain):
            meaning = domains.setdefault(meaning.name, meaning)
        found.append(_placed(source, statement, meaning, opaque))
    roles = {name: _role(domain, [s for s in found if s.meaning is domain]) for name, domain in domains.items()}
    return Program(source, tuple(found), MappingProxyType(domains), MappingProxyType(roles))


def _placed(source: Source, statement: Xlat, meaning: Domain | Unresolved, unread: Sequence[Token]) -> Statement:
    bases = source.bases(statement.rule.chain)
    again = NOT_REPEATED
    if statement.offload:
        again = repeated(source, statement.rule, statement.family, bases, unread)
    read: Callable[[Source, Sequence[Token], str], Sequence[Network]]
    read = addresses4 if statement.family == "ip" else addresses6
    return Statement(
        **{field.name: getattr(statement, field.name) for field in fields(statement)},
        meaning=meaning,
        bases=bases,
        hooks=frozenset(chain.base.hook for chain in bases if chain.base),
        destinations=tuple(read(source, statement.matches, "daddr")),
        repeated=again,
    )


def _role(domain: Domain, found: Sequence[Statement]) -> Role:
    """A router's IPv4 is taken at prerouting; at postrouting a host's own, and what NAT has led to IPv6 hosts.

    What comes back as IPv6 is for prefix6 there, and for the EAMs' IPv6 side at a host; pool4 is for no host.
    """
    if not any("postrouting" in statement.hooks for statement in found if statement.direction == "to"):
        return "router"
    named = [network for statement in found if statement.direction == "from" for network in statement.destinations]
    if _overlap(named, prefixes.translated6(domain)):
        return "masquerade"
    return "masquerade" if domain.pool4 and not _overlap(named, prefixes.clat6(domain)) else "host"


def _overlap(some: Sequence[Network], others: Sequence[IPv6Network]) -> bool:
    return any(one.version == 6 and one.overlaps(other) for one in some for other in others)
