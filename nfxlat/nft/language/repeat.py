"""What the decision of a rule hangs on that ends in `xlat ... offload`: whether it may be repeated without the rules.

The program at ingress (nfxlat/offload) knows a packet by interface, addresses, protocol and ports, and takes TCP and
UDP alone. So everything counts that a packet meets up to the statement: the matches of its rule and of those that lead
to its chain, the rules ahead of all of these, and chains of the same input that come first.

    addresses and interfaces alone   by pair: all packets of an interface between two addresses meet the same rule
    protocol or ports too            by flow
    anything else                    a fault: what is not understood is one, since nft has no grammar for others

A rule ahead that never meets what the program takes (ICMP, the other family) counts for nothing, and where it leads
neither. One that drops, accepts or returns what it matches may count and log that: it goes on to see all of it, unless
the packet comes by all the same, as what one chain of the input accepts goes on to the next.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal

from nfxlat.nft.language.reading import Fault, Reading, read
from nfxlat.nft.language.source import Chain, ChainKey, Rule, Source
from nfxlat.nft.language.tokens import Token

Repeat = Literal["", "pair", "flow"]  # "": not at all

DROPPED: Final = frozenset(("drop", "reject"))
ENDED: Final = DROPPED | {"accept", "queue", "xlat"}  # what is matched does not come back to its base chain
FINAL: Final = ENDED | {"return", "goto"}  # nor to its chain
_INCLUDED: Final = "more than variables is in there, and is not read here: it may come first"
_WRITE: Final = "write that into this file, or leave offload out"
_FIRST: Final = ("prerouting", "ingress")


@dataclass(frozen=True, slots=True)
class Repeated:
    """`by` holds where there are no faults. `counted` are counters that do not see what the kernel translates."""

    by: Repeat
    faults: tuple[Fault, ...] = ()
    counted: tuple[Token, ...] = ()


NOT_REPEATED: Final = Repeated("")


def repeated(source: Source, rule: Rule, family: str, bases: Sequence[Chain], unread: Sequence[Token] = ()) -> Repeated:
    """How a statement of `rule` that takes packets of `family` (ip, ip6), reached from `bases`, can be repeated.

    `unread`: the word `include` of files that may hold rules or sets.
    """
    by: Repeat = "pair"
    faults = [Fault(at, at.text, _INCLUDED, _WRITE) for at in unread]
    counted: list[Token] = []
    for found, final in _Way(source, rule, family, bases).met():
        ends = final is not None and not found.never and found.verdict in final
        if found.by_flow and (final is None or (found.verdict and not found.never)):
            by = "flow"
        faults += [fault for fault in found.faults if not (ends and fault.sees)]
        if found.counter is not None and (found.sees_all or not ends):
            counted.append(found.counter)
    return Repeated(by, tuple(dict.fromkeys(faults)), tuple(dict.fromkeys(counted)))


class _Way:
    """All that a packet may meet up to a statement: what is read of each rule, and the verdicts that keep what it
    matches from getting to the statement."""

    def __init__(self, source: Source, rule: Rule, family: str, bases: Sequence[Chain]) -> None:
        self._source, self._family = source, family
        self._bases = [base for base in bases if base.base is not None and base.base.hook == "prerouting"]
        self._way = [rule, *source.callers(rule.chain)]
        self._on_it = {id(one) for one in self._way}
        self._seen: set[ChainKey] = set()

    def met(self) -> Iterator[tuple[Reading, frozenset[str] | None]]:
        """None: the rule is one that leads to the statement.

        What comes first is first: the same chains may be called again, where more ends.
        """
        for one in self._way:
            yield read(self._source, one, self._family), None
        for chain in self._source.chains.values():
            if any(_comes_first(chain, base) for base in self._bases):
                yield from self._of(chain, DROPPED)
        ended = ENDED if len(self._bases) == 1 else DROPPED
        for one in self._way:
            last = ended is ENDED and (one is self._way[0] or one.chain in self._bases)
            for other in _ahead(self._source, one):
                yield from self._rule(other, FINAL if last else ended, ended)

    def _rule(
        self, rule: Rule, final: frozenset[str], called: frozenset[str]
    ) -> Iterator[tuple[Reading, frozenset[str]]]:
        """A rule, and those in the chains that it leads to, where `called` are final."""
        found = read(self._source, rule, self._family)
        if id(rule) not in self._on_it:
            yield found, final
        for chain in () if found.never else self._led_to(rule):
            yield from self._of(chain, called)

    def _led_to(self, rule: Rule) -> Iterator[Chain]:
        """The chains that a rule leads to. A named map may at run time, too: to those that nothing else leads to."""
        table, chains = rule.chain.table, self._source.chains
        yield from (chains[key] for name in rule.targets if (key := (*table.key, name)) in chains)
        if any(one == "vmap" and other[:1] == "@" for one, other in pairwise(rule.words)):
            yield from (chain for chain in chains.values() if chain.table is table and not self._source.bases(chain))

    def _of(self, chain: Chain, final: frozenset[str]) -> Iterator[tuple[Reading, frozenset[str]]]:
        """The rules of a chain and of those that it leads to, each chain once."""
        if chain.key in self._seen:
            return
        self._seen.add(chain.key)
        for rule in self._source.rules:
            if rule.chain is chain:
                yield from self._rule(rule, final, final)


def _ahead(source: Source, rule: Rule) -> Iterator[Rule]:
    """In its chain. Where commands put it is not looked at: they may all be ahead."""
    behind = False
    for other in source.rules:
        if other is rule:
            behind = True
        elif other.chain is rule.chain and (not behind or other.insert_at is not None):
            yield other


def _comes_first(chain: Chain, base: Chain) -> bool:
    """Whether packets may meet a base chain ahead of `base`, of those that see packets of IP from interfaces."""
    one, other = chain.base, base.base
    if chain is base or one is None or other is None or one.hook not in _FIRST:
        return False
    if chain.table.family not in ("ip", "ip6", "inet", "netdev"):
        return False
    return one.hook == "ingress" or one.priority is None or other.priority is None or one.priority <= other.priority
