"""What fields of a packet may be where it meets a rule; and whether rules tell two statements apart that take packets
to the same addresses: by interface, mark, user, source."""

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from itertools import product

from nfxlat.nft.language.literals import addresses4, addresses6, behind
from nfxlat.nft.language.program import Network, Statement
from nfxlat.nft.language.source import Chain, Rule, Source
from nfxlat.nft.language.tokens import Token

_NAME, _NUMBER = re.compile(r'(?!\d+$)("[^"]+"|\w[\w.:*-]*)'), re.compile(r"0x[0-9A-Fa-f]+|\d+")
FIELDS: dict[tuple[str, ...], re.Pattern[str]] = {
    **{(word,): _NAME for word in ("iifname", "oifname", "iif", "oif")},
    ("meta", "sdifname"): _NAME,
    **{("meta", word): _NUMBER for word in ("mark", "skuid", "iifgroup", "oifgroup")},
    ("ct", "mark"): _NUMBER,
    ("vlan", "id"): _NUMBER,
}


def apart(source: Source, one: Statement, other: Statement) -> bool:
    """Whether no packet gets to both, at whatever hook."""
    pairs = [(a, b) for a, b in product(one.bases, other.bases) if a.base and b.base and a.base.hook == b.base.hook]
    return all(_told(source, (one, a), (other, b)) for a, b in pairs)


def _told(source: Source, one: tuple[Statement, Chain], other: tuple[Statement, Chain]) -> bool:
    for field in FIELDS:
        these, those = (may_be(source, where.rule, where.matches, base, field) for where, base in (one, other))
        if these is not None and those is not None and not any(same(a, b) for a, b in product(these, those)):
            return True
    these_, those_ = (_sources(source, where) for where, _ in (one, other))
    return bool(these_ and those_) and not any(_overlap(a, b) for a, b in product(these_, those_))


def may_be(
    source: Source,
    rule: Rule,
    tokens: Sequence[Token],
    base: Chain,
    field: tuple[str, ...],
    seen: frozenset[tuple[str, str, str]] = frozenset(),
) -> frozenset[str] | None:
    """What a field of a packet may be that gets from `base` past the matches of a rule; None: anything."""
    if found := behind(source, tokens, field, FIELDS[field]):
        numbers = FIELDS[field] is _NUMBER
        return frozenset(str(int(text, 0)) if numbers else text.strip('"') for text in found)
    if rule.chain is base or rule.chain.key in seen:
        return None
    ways = [
        caller for caller in source.rules if rule.chain.name in caller.targets and base in source.bases(caller.chain)
    ]
    ways = [caller for caller in ways if caller.chain.table is rule.chain.table]
    possible: set[str] = set()
    for caller in ways:
        matches = _leading(caller, rule.chain.name)
        values = may_be(source, caller, matches, base, field, seen | {rule.chain.key})
        if values is None:
            return None
        possible |= values
    return frozenset(possible)


def _leading(caller: Rule, target: str) -> tuple[Token, ...]:
    """The tokens of a rule that leads to the chain `target`; of a verdict map only the keys that do."""
    words = caller.words
    if "vmap" not in words:
        return caller.tokens
    at = words.index("vmap")
    if words[at + 1 : at + 2] != ["{"]:
        return caller.tokens[:at]
    keys, element = [], []
    for token in caller.tokens[at + 2 :]:
        if token.text not in (",", "}"):
            element.append(token)
        else:
            if element and element[-1].text == target:
                keys += [element[0], token]
            element = []
    opened = caller.tokens[at + 1]
    return (*caller.tokens[:at], opened, *keys[:-1], Token("mark", "}", opened.start, opened.end))


def _sources(source: Source, statement: Statement) -> list[Network]:
    read = addresses4 if statement.family == "ip" else addresses6
    return [*read(source, statement.matches, "saddr")]


def same(one: str, other: str) -> bool:
    """Whether two values, or names of interfaces with a `*`, may be the same."""
    return fnmatchcase(one, other) or fnmatchcase(other, one)


def _overlap(one: Network, other: Network) -> bool:
    return one.version == other.version and one.overlaps(other)
