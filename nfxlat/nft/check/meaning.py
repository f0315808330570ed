"""Judge what a statement names, and the prefixes that its rule matches on as they are written."""

import re
from collections.abc import Iterator
from ipaddress import IPv6Network

from nfxlat import ipaddresses
from nfxlat.judgement import Finding
from nfxlat.nft.check.judgements.statement import Match, Meaning
from nfxlat.nft.language.literals import ADDRESS6
from nfxlat.nft.language.meaning import Unresolved, both_addresses
from nfxlat.nft.language.prefix6 import meant_prefix6, prefix6_faults
from nfxlat.nft.language.program import Statement
from nfxlat.nft.language.source import Source
from nfxlat.nft.language.statement import MAPPED

_ETHERNET = re.compile(r"([0-9A-Fa-f]{1,2}:){5}[0-9A-Fa-f]{1,2}")  # no IPv6 address without :: has six groups
KINDS = {"malformed": Meaning.PREFIX, "unknown": Meaning.DOMAIN, "open": Meaning.OPEN_ADDRESS}


def meaning(source: Source, statement: Statement) -> Iterator[Finding]:
    """Findings on the domain or prefix that a statement names, and on malformed prefixes ahead of it."""
    if isinstance(statement.meaning, Unresolved):
        yield from _unresolved(source.place(statement.operand.start), statement, statement.meaning)
    yield from _matched(source, statement)


def _unresolved(where: str, statement: Statement, found: Unresolved) -> Iterator[Finding]:
    for fault in found.faults:
        yield KINDS[found.kind].at(where, fault=fault, remedy=found.remedy)
    if found.kind == "malformed" and not statement.mappings:
        guess = (meant_prefix6(statement.operand.text) or "such a prefix").partition(" ")[0]
        side, remedy = MAPPED[statement.direction], both_addresses(statement)
        yield Meaning.OPEN_ADDRESS_TOO.at(where, guess=guess, side=side, remedy=remedy)


def _matched(source: Source, statement: Statement) -> Iterator[Finding]:
    named = statement.operand.text
    for token in statement.matches:
        if token.kind != "word" or not ADDRESS6.fullmatch(token.text) or _ETHERNET.fullmatch(token.text):
            continue
        where, guess = source.place(token.start), meant_prefix6(token.text)
        for fault in prefix6_faults(token.text, translation=False):
            yield Meaning.PREFIX.at(where, fault=fault, remedy=f"did you mean {guess}?" if guess else "")
        if guess and (other := meant_prefix6(named)) and not _network(guess).overlaps(_network(other)):
            yield Match.TWO_PREFIXES.at(where, matched=token.text, named=named)


def _network(guess: str) -> IPv6Network:
    return ipaddresses.network6(guess.partition(" ")[0], strict=False)
