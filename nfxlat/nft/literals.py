"""Addresses that a rule names as destination of its packets, as far as they are written out or are variables."""

import re
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Network, IPv6Network

from nfxlat.nft.scan import Source, Token
from nfxlat.nft.statement import Xlat, prefix6_faults

ADDRESS6 = re.compile(r"[0-9A-Fa-fxyzXYZ]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(/\d+)?")
_ADDRESS4 = re.compile(r"\d+\.\d+\.\d+\.\d+(/\d+)?")
_DEPTH = 16  # variables within variables


def literals4(source: Source, statement: Xlat) -> list[IPv4Network]:
    """IPv4 destinations of a statement's own matches."""
    return [IPv4Network(text, strict=False) for text in _literal(source, statement, "ip", _ADDRESS4) if _sound4(text)]


def literals6(source: Source, statement: Xlat) -> list[IPv6Network]:
    """IPv6 destinations of a statement's own matches."""
    found = _literal(source, statement, "ip6", ADDRESS6)
    return [IPv6Network(text) for text in found if not prefix6_faults(text, translation=False)]


def expanded(source: Source, tokens: Sequence[Token], depth: int = _DEPTH) -> Iterator[str]:
    """The words of `tokens`, with those of its file's variables in their place."""
    for token in tokens:
        meaning = source.defines.get(token.text[1:]) if token.text.startswith("$") and depth else None
        if meaning is None:
            yield token.text
        else:
            yield from expanded(source, meaning, depth - 1)


def _sound4(text: str) -> bool:
    try:
        IPv4Network(text, strict=False)
    except ValueError:
        return False
    return True


def _literal(source: Source, statement: Xlat, family: str, pattern: re.Pattern[str]) -> list[str]:
    """Addresses and prefixes behind `ip daddr`; none where a set or `!=` stands there."""
    texts = list(expanded(source, statement.matches))
    found: list[str] = []
    for index in range(len(texts) - 2):
        if texts[index : index + 2] != [family, "daddr"]:
            continue
        behind = texts[index + 2 :]
        if behind[0] == "==":
            behind = behind[1:]
        if behind and behind[0] == "{" and "}" in behind:
            behind = [text for text in behind[1 : behind.index("}")] if text != ","]
        else:
            behind = behind[:1]
        if all(pattern.fullmatch(text) for text in behind):
            found += behind
    return found
