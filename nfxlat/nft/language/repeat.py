"""What the decision of a rule hangs on that ends in `xlat ... offload`: whether it may be repeated without the rules.

The program at ingress (nfxlat/offload) knows a packet by interface, addresses, protocol and ports, and takes TCP and
UDP alone. So everything counts that a packet meets up to the statement: the matches of its rule and of those that lead
to its chain, the rules ahead of all of these, and chains of the same input that come first.

    addresses and interfaces alone   by pair: all packets of an interface between two addresses meet the same rule
    protocol or ports too            by flow
    anything else                    a fault: what is not understood is one, since nft has no grammar for others

A rule ahead that never meets what the program takes (ICMP, the other family) counts for nothing. One that drops,
accepts or returns what it matches may count and log that: it goes on to see all of it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from nfxlat.nft.language.selectors import Fault, Reading, read
from nfxlat.nft.language.source import Chain, Rule, Source
from nfxlat.nft.language.tokens import Token

Repeat = Literal["", "pair", "flow"]  # "": not at all

FINAL: Final = ("accept", "drop", "reject", "return", "queue", "goto", "xlat")  # what is matched does not come back
_FIRST: Final = ("prerouting", "ingress")


@dataclass(frozen=True, slots=True)
class Repeated:
    """`by` holds where there are no faults. `counted` are counters that do not see what the kernel translates."""

    by: Repeat
    faults: tuple[Fault, ...] = ()
    counted: tuple[Token, ...] = ()


NOT_REPEATED: Final = Repeated("")


def repeated(source: Source, rule: Rule, family: str, bases: Sequence[Chain]) -> Repeated:
    """How a statement of `rule` that takes packets of `family` (ip, ip6), reached from `bases`, can be repeated."""
    way = [rule, *source.callers(rule.chain)]
    on_the_way = {id(one) for one in way}
    by: Repeat = "pair"
    faults: list[Fault] = []
    counted: list[Token] = []
    aside = [other for other in _aside(source, way, bases) if id(other) not in on_the_way]
    for one in (*way, *aside):
        found = read(source, one, family)
        ahead = id(one) not in on_the_way
        if ahead and found.never:
            continue
        if found.by_flow and (not ahead or found.verdict):
            by = "flow"
        faults += _faults(found, ends=ahead and found.verdict in FINAL)
        if found.counter is not None and not (ahead and found.verdict in FINAL):
            counted.append(found.counter)
    return Repeated(by, tuple(dict.fromkeys(faults)), tuple(dict.fromkeys(counted)))


def _faults(found: Reading, *, ends: bool) -> list[Fault]:
    """`ends`: all that the rule matches ends there."""
    return [fault for fault in found.faults if not (ends and fault.sees)]


def _aside(source: Source, way: Sequence[Rule], bases: Sequence[Chain]) -> Iterator[Rule]:
    """What a packet may meet before: rules ahead, in chains that they call, in chains of the input that come first."""
    seen: set[tuple[str, str, str]] = set()
    for one in way:
        for other in _ahead(source, one):
            yield other
            yield from _called(source, other, seen)
    for base in bases:
        for chain in source.chains.values():
            if _comes_first(chain, base):
                yield from _of(source, chain, seen)


def _ahead(source: Source, rule: Rule) -> Iterator[Rule]:
    """In its chain. Where commands put it is not looked at: they may all be ahead."""
    behind = False
    for other in source.rules:
        if other is rule:
            behind = True
        elif other.chain is rule.chain and (not behind or other.insert_at is not None):
            yield other


def _called(source: Source, rule: Rule, seen: set[tuple[str, str, str]]) -> Iterator[Rule]:
    for name in rule.targets:
        chain = source.chains.get((*rule.chain.table.key, name))
        if chain is not None:
            yield from _of(source, chain, seen)


def _of(source: Source, chain: Chain, seen: set[tuple[str, str, str]]) -> Iterator[Rule]:
    """The rules of a chain and of those that it calls, each chain once."""
    if chain.key in seen:
        return
    seen.add(chain.key)
    for rule in source.rules:
        if rule.chain is chain:
            yield rule
            yield from _called(source, rule, seen)


def _comes_first(chain: Chain, base: Chain) -> bool:
    """Whether packets may meet a base chain ahead of `base`, of those that see packets of IP from interfaces."""
    one, other = chain.base, base.base
    if chain is base or one is None or other is None or one.hook not in _FIRST or other.hook != "prerouting":
        return False
    if chain.table.family not in ("ip", "ip6", "inet", "netdev"):
        return False
    return one.hook == "ingress" or one.priority is None or other.priority is None or one.priority <= other.priority
