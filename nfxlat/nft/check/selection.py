"""Rules that a route selects for: `fib daddr oifname "siit0"` at prerouting, `oifname "siit0"` at output."""

from collections.abc import Iterator, Sequence, Set

from nfxlat.nft.language import leaving
from nfxlat.nft.language.program import Statement
from nfxlat.nft.language.source import Rule, Source

RETURNING = {"return", "accept", "drop"}


def selects(words: Sequence[str], hooks: Set[str], device: str | None) -> bool:
    """Whether the route into `device` (None: any) is what the rules match, at prerouting and at output."""
    at = {"prerouting": leaving.by_route(words), "output": leaving.direct(words)}
    found = [at[hook] for hook in hooks & set(at)]
    return bool(found) and all(device in devices if device else devices for devices in found)


def output_interface(source: Source, statement: Statement) -> str:
    """What `oifname` matches, or what a rule ahead leaves: `oifname != "siit0" return`; "" if nothing does."""
    callers = source.callers(statement.rule.chain)
    tokens = [*statement.matches, *(token for caller in callers for token in caller.tokens)]
    if found := leaving.direct([source.value(token).text for token in tokens], equal=True):
        return min(found)
    for rule in (statement.rule, *callers):
        for ahead in ahead_of(source, rule):
            words = [source.value(token).text for token in ahead.tokens]
            if words[:2] == ["oifname", "!="]:
                return min(leaving.direct(words))
    return ""


def ahead_of(source: Source, rule: Rule) -> Iterator[Rule]:
    """Rules ahead of one in its chain that let go what does not match: `oifname != "siit0" return`."""
    for ahead in source.rules[: source.rules.index(rule)]:
        if ahead.chain is rule.chain and "!=" in ahead.words and RETURNING & set(ahead.words):
            yield ahead
