"""Judge what an `xlat` rule matches on: the side that is translated, the addresses, the interfaces."""

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Network, IPv6Network
from itertools import pairwise

from nfxlat.judgement import Finding
from nfxlat.nft.check.apart import may_be
from nfxlat.nft.check.judgements.statement import Match, Place
from nfxlat.nft.check.place import DEFRAGMENTATION
from nfxlat.nft.check.selection import RETURNING, ahead_of, output_interface, selects
from nfxlat.nft.language import leaving
from nfxlat.nft.language.chains import WHOLE
from nfxlat.nft.language.inputs import FRAME
from nfxlat.nft.language.program import Program, Statement
from nfxlat.nft.language.source import Source
from nfxlat.nft.language.tokens import Token
from nfxlat.xlat import prefixes
from nfxlat.xlat.domain import Domain

SHOWN = 4  # prefixes that are translated

Networks = Sequence[IPv4Network] | Sequence[IPv6Network]


def matches(program: Program, statement: Statement) -> Iterator[Finding]:
    """Findings on the matches of one statement, those on the way to it included."""
    domain = statement.domain
    where = program.source.place(statement.rule.tokens[0].start)
    words = [program.source.value(token).text for token in seen(program.source, statement)]
    if domain is not None and _comes_from(program.source, statement) == {domain.name}:
        yield Match.LOOP.at(where, domain=domain.name)
    if _draws_a_seed(words):
        yield Match.SEED.at(where)
    if statement.hooks & {"prerouting", "output"}:
        if not selects(words, statement.hooks, domain.name if domain is not None else None):
            yield from _destination(program, statement, words, where)
        if "prerouting" in statement.hooks and leaving.direct(words):
            yield Match.INTERFACE_AT_PREROUTING.at(where)
        if "output" in statement.hooks and leaving.by_route(words):
            yield Match.INTERFACE_BY_FIB_AT_OUTPUT.at(where)
    if "postrouting" in statement.hooks and statement.direction == "to":
        yield from _route(program, domain, output_interface(program.source, statement), where)
    if statement.reassembled:
        yield from _fragments_taken(program, statement, where)


def seen(source: Source, statement: Statement) -> list[Token]:
    """All that decides whether a packet gets to the statement: its own matches, those on the way, returns ahead."""
    callers = source.callers(statement.rule.chain)
    found = list(statement.matches)
    for rule in callers:
        found += rule.tokens
    for rule in (statement.rule, *callers):
        for ahead in ahead_of(source, rule):
            found += ahead.tokens
    return found


def _comes_from(source: Source, statement: Statement) -> set[str]:
    """The interfaces that its packets may come from; empty: any."""
    found: set[str] = set()
    for base in statement.bases:
        names = may_be(source, statement.rule, statement.matches, base, ("iifname",))
        if names is None:
            return set()
        found |= names
    return found


def _draws_a_seed(words: list[str]) -> bool:
    """Whether one of its hashes is `jhash ... mod N`, and no seed behind."""
    hashes = (words[at:] for at, word in enumerate(words) if word == "jhash")
    return any("mod" in rest and rest[rest.index("mod") + 2 :][:1] != ["seed"] for rest in hashes)


def _destination(program: Program, statement: Statement, words: list[str], where: str) -> Iterator[Finding]:
    sides = {after for before, after in pairwise(words) if before == statement.family}
    good = _good(program, statement, sides)
    if "daddr" not in sides:
        judgement = Match.NO_DESTINATION
        if "saddr" in sides:
            judgement = Match.SOURCE_ALONE if statement.family == "ip" else Match.SOURCE_ALONE_6TO4
        yield judgement.at(where, good=good)
        return
    if statement.family == "ip6" and "saddr" in sides and not _errors_taken(program, statement):
        yield Match.ERRORS_MISSED.at(where, good=good)
    if statement.domain is not None:
        yield from _side(program, statement, statement.domain, where)


def _good(program: Program, statement: Statement, sides: set[str]) -> str:
    """The destination to match on."""
    if statement.family == "ip":
        return "ip daddr { pool4, EAM }"
    if statement.domain is None and "saddr" in sides:
        return "ip6 daddr of this host's translated address, and ICMPv6 errors to it from any source"
    host = statement.domain is not None and program.role(statement.domain) == "host"
    return "ip6 daddr CLAT" if host else "ip6 daddr PREFIX6"


def _errors_taken(program: Program, statement: Statement) -> bool:
    """Whether another statement of the same direction and domain takes ICMPv6 errors whatever their source."""
    others = program.of(statement.domain, "from") if statement.domain is not None else []
    return any(other is not statement and not _has_source(other) for other in others)


def _has_source(statement: Statement) -> bool:
    words = [token.text for token in statement.matches]
    return ("ip6", "saddr") in pairwise(words)


def _side(program: Program, statement: Statement, domain: Domain, where: str) -> Iterator[Finding]:
    """Destinations that the domain does not translate in this direction."""
    wanted, other = _sides(program, statement, domain)
    for network in statement.destinations:
        if _inside(network, wanted):
            continue
        if _inside(network, other):
            judgement = Match.SIDE_WRONG
        elif statement.direction == "to" and domain.prefix6 is not None:
            judgement = Match.SIDE_IN_PREFIX6
        else:
            judgement = Match.SIDE_UNMAPPED
        translated = ", ".join(prefixes.texts(wanted)[:SHOWN]) or "nothing"
        yield judgement.at(where, network=network, domain=domain.name, translated=translated)


def _sides(program: Program, statement: Statement, domain: Domain) -> tuple[Networks, Networks]:
    """Destinations that are translated in the statement's direction, and those that are hosts of the family."""
    if statement.direction == "to":
        return prefixes.translated4(domain), ()
    far, own = prefixes.translated6(domain), prefixes.clat6(domain)
    return (own, far) if program.role(domain) == "host" else (far, own)


def _inside(network: IPv4Network | IPv6Network, others: Networks) -> bool:
    return any(network.overlaps(other) for other in others)


def _route(program: Program, domain: Domain | None, found: str, where: str) -> Iterator[Finding]:
    """At postrouting: the output interface is a domain's device, where the original ends, `found` being what is
    matched."""
    if domain is None or (found not in program.domains and not found.startswith("$")):
        device = f'"{domain.name}"' if domain is not None else "DOMAIN"
        yield (Match.ROUTE_ELSEWHERE if found else Match.NO_ROUTE).at(where, found=found, device=device)
    elif not len(domain.eamt) and not domain.pool4:
        yield Match.HOST_SOURCE.at(where, domain=domain.name)


def _fragments_taken(program: Program, statement: Statement, where: str) -> Iterator[Finding]:
    """Of a statement that asks for whole datagrams: one ahead of defragmentation that takes all to its destination."""
    source = program.source
    words = " ".join(token.text for token in statement.matches)
    for other in program.statements:
        base, taken = other.rule.chain.base, " ".join(token.text for token in other.matches)
        if base is None or base.hook != "prerouting" or other.direction != statement.direction or other.reassembled:
            continue
        taken = taken.replace(FRAME, "").strip()
        by_destination = taken.startswith(f"{other.family} daddr ") and taken in words
        alone = len(taken.split()) == 3 or taken.endswith("}")
        early = base.priority is not None and base.priority <= DEFRAGMENTATION
        if early and by_destination and alone and not _fragments_let_go(source, other):
            facts = {
                "line": source.place(other.at.start).split(":")[-2],
                "destination": taken.partition("daddr ")[2],
                "whole": WHOLE[other.family],
            }
            yield Place.FRAGMENTS_TAKEN.at(where, **facts)


def _fragments_let_go(source: Source, statement: Statement) -> bool:
    """Whether a rule ahead in its chain lets fragments go on."""
    ahead = source.rules[: source.rules.index(statement.rule)]
    return any(
        rule.chain is statement.rule.chain and {"frag", "frag-off"} & set(rule.words) and RETURNING & set(rule.words)
        for rule in ahead
    )
