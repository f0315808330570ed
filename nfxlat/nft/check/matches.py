"""Judge what an `xlat` rule matches on: the side that is translated, the interface, the addresses."""

from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network
from itertools import pairwise

from nfxlat.judgement import Finding, Severity
from nfxlat.nft.check.route_selection import misplaced, selects
from nfxlat.nft.language.literals import ADDRESS6, literals4, literals6
from nfxlat.nft.language.program import Program
from nfxlat.nft.language.scan import Rule, Token
from nfxlat.nft.language.statement import Xlat, meant_prefix6, prefix6_faults
from nfxlat.xlat import prefixes
from nfxlat.xlat.domain import Domain

ICMP6_ERRORS = "icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem }"
_RETURNING = ("return", "accept", "drop")

Networks = list[IPv4Network] | list[IPv6Network]


def matches(program: Program, statement: Xlat, domain: Domain | None) -> Iterator[Finding]:
    """Findings on the matches of one statement; `domain` None: it has none, or it is not known."""
    yield from _malformed(program, statement)
    hooks = program.hooks(statement)
    where = program.source.place(statement.rule.tokens[0].start)
    words = [program.source.value(token).text for token in _seen(program, statement)]
    if domain is not None and "iifname" in words and _interface(words, "iifname") == domain.name:
        effect = (
            "what comes from the domain's own device is translated already and never taken again: this matches nothing"
        )
        yield Finding("loop", Severity.ERROR, where, f'iifname "{domain.name}"', effect, "match the side it comes from")
    if hooks & {"prerouting", "output"} and not selects(words, hooks, domain.name if domain is not None else None):
        yield from _destination(program, statement, domain, words, where)
    yield from misplaced(words, hooks, where)
    if "postrouting" in hooks and statement.direction == "to":
        yield from _postrouting(where, words, domain)


def callers(program: Program, chain: str, table: tuple[str, str]) -> list[Rule]:
    """The rules of the table that jump or go to a chain, and those that lead to their chains in turn."""
    found: list[Rule] = []
    waiting, seen = [chain], {chain}
    while waiting:
        target = waiting.pop()
        for rule in program.source.rules:
            if rule.chain.table.key == table and target in program.source.targets(rule):
                found.append(rule)
                if rule.chain.name not in seen:
                    seen.add(rule.chain.name)
                    waiting.append(rule.chain.name)
    return found


def _seen(program: Program, statement: Xlat) -> list[Token]:
    """All that decides whether a packet gets to the statement: its own matches, those on the way, returns ahead."""
    found = list(statement.matches)
    for rule in callers(program, statement.rule.chain.name, statement.rule.chain.table.key):
        found += rule.tokens
    for rule in program.source.rules:
        if rule is statement.rule:
            break
        if rule.chain is statement.rule.chain and "!=" in rule.words and set(_RETURNING) & set(rule.words):
            found += rule.tokens
    return found


def _malformed(program: Program, statement: Xlat) -> Iterator[Finding]:
    for token in statement.matches:
        if token.kind != "word" or not ADDRESS6.fullmatch(token.text):
            continue
        guess = meant_prefix6(token.text)
        for fault in prefix6_faults(token.text, translation=False):
            remedy = f"did you mean {guess}?" if guess else ""
            yield Finding("prefix", Severity.ERROR, program.source.place(token.start), fault, "", remedy)
        if guess and (other := meant_prefix6(statement.operand.text)) and _differ(guess, other):
            what = f"{token.text} is matched and {statement.operand.text} named, and they are not the same prefix"
            effect = "what is matched would not be in the prefix that is taken off"
            where = program.source.place(token.start)
            yield Finding("prefix", Severity.ERROR, where, what, effect, "write one of them, once, in a domain")


def _differ(one: str, other: str) -> bool:
    first, second = (IPv6Network(text.partition(" ")[0], strict=False) for text in (one, other))
    return not first.overlaps(second)


def _destination(
    program: Program, statement: Xlat, domain: Domain | None, words: list[str], where: str
) -> Iterator[Finding]:
    ip = "ip" if statement.direction == "to" else "ip6"
    sides = {after for before, after in pairwise(words) if before == ip}
    role = program.role(domain) if domain is not None else "router"
    good = "ip daddr { pool4, EAM }" if ip == "ip" else "ip6 daddr PREFIX6" if role != "host" else "ip6 daddr CLAT"
    if domain is None and ip == "ip6" and "saddr" in sides:
        good = "ip6 daddr of this host's translated address, and ICMPv6 errors to it from any source"
    if "daddr" not in sides:
        what = "the source is matched, and not the destination that is translated"
        effect = "everything from there is taken, to whatever destination, and what the domain does not map is lost"
        if "saddr" not in sides:
            what, effect = "no match on the destination that is translated", "every packet of the family is queued"
        if ip == "ip6" and "saddr" in sides:
            effect = (
                "ICMPv6 errors about translated packets come from routers that have addresses of their own, outside "
                "the prefix: Packet Too Big and Time Exceeded are missed, so large packets vanish without a word"
            )
        yield Finding("destination", Severity.ERROR, where, what, effect, good)
        return
    if ip == "ip6" and "saddr" in sides and not _errors_taken(program, statement, domain):
        what = "the source is matched too"
        effect = (
            "ICMPv6 errors come from routers with addresses of their own: Packet Too Big and Time Exceeded from "
            "outside the prefix are missed"
        )
        yield Finding(
            "errors-missed", Severity.WARNING, where, what, effect, f"a second rule: {good} {ICMP6_ERRORS} ..."
        )
    if domain is not None:
        yield from _side(program, statement, domain, where)


def _errors_taken(program: Program, statement: Xlat, domain: Domain | None) -> bool:
    """Whether another statement of the same direction and domain takes ICMPv6 errors whatever their source."""
    others = program.of(domain, "from") if domain is not None else []
    return any(other is not statement and not _has(other, "ip6", "saddr") for other in others)


def _has(statement: Xlat, family: str, field: str) -> bool:
    words = [token.text for token in statement.matches]
    return any(pair == (family, field) for pair in pairwise(words))


def _side(program: Program, statement: Xlat, domain: Domain, where: str) -> Iterator[Finding]:
    """Literal destinations that the domain does not translate in this direction."""
    wanted: Networks
    other: Networks
    literal: Networks
    if statement.direction == "to":
        wanted, other, literal = prefixes.translated4(domain), [], literals4(program.source, statement)
    else:
        wanted, other, literal = (
            prefixes.translated6(domain),
            prefixes.clat6(domain),
            literals6(program.source, statement),
        )
        if program.role(domain) == "host":
            wanted, other = other, wanted
    for network in literal:
        if any(network.overlaps(one) for one in wanted):
            continue
        what = f"{network} is no destination that domain {domain.name} translates here"
        effect = "nfxlat would hand these packets back untranslated"
        if statement.direction == "to" and domain.prefix6 is not None:
            effect = "they would become addresses of prefix6, which are routed into the domain's own device and refused"
        if any(network.overlaps(one) for one in other):
            what = f"{network} is the wrong side of domain {domain.name}"
            effect = "these addresses are this family's own hosts: packets to them need no translation"
        have = ", ".join(prefixes.texts(wanted)[:4]) or "nothing"
        yield Finding("side", Severity.ERROR, where, what, effect, f"what is translated: {have}")


def _interface(words: list[str], key: str) -> str:
    index = words.index(key) + 1
    return words[index].strip("\"'") if index < len(words) else ""


def _postrouting(where: str, words: list[str], domain: Domain | None) -> Iterator[Finding]:
    device = f'"{domain.name}"' if domain is not None else "the domain's device"
    remedy = f"oifname {device if domain is not None else 'DOMAIN'}, and a default route into that device"
    out = _interface(words, "oifname") if "oifname" in words else ""
    if domain is not None and (out == domain.name or out.startswith("$")):
        yield from _host_source(where, domain)
        return
    what = f'oifname "{out}" is not {device}' if out else "no match on the output interface"
    effect = (
        "a packet gets here by an IPv4 route to that link: on an IPv6-only uplink there is none, and the rule is never "
        "reached; where there is one, the original leaves beside its translation, since postrouting must accept it"
    )
    yield Finding("route", Severity.ERROR, where, what, effect, remedy)


def _host_source(where: str, domain: Domain) -> Iterator[Finding]:
    if not len(domain.eamt) and not domain.pool4:
        what = f"domain {domain.name} has no explicit mapping of this host's own address"
        effect = "the source of what leaves is mapped into prefix6, which is the far translator's: no reply comes here"
        yield Finding("host-source", Severity.ERROR, where, what, effect, 'eam = [["192.0.0.1", "2001:db8:2::2"]]')
