"""Addresses that a rule matches on, as far as they are written out or are variables."""

import re
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network

from nfxlat import ipaddresses
from nfxlat.nft.language.prefix6 import prefix6_faults
from nfxlat.nft.language.source import Source
from nfxlat.nft.language.tokens import Token

ADDRESS6 = re.compile(r"[0-9A-Fa-fxyzXYZ]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(/\d+)?")
_ADDRESS4 = re.compile(r"\d+\.\d+\.\d+\.\d+(/\d+)?")


def addresses4(source: Source, tokens: Sequence[Token], side: str) -> list[IPv4Network]:
    """IPv4 addresses and prefixes behind `ip daddr` or `ip saddr` (`side`) of a rule."""
    found = behind(source, tokens, ("ip", side), _ADDRESS4)
    return [IPv4Network(text, strict=False) for text in found if _sound4(text)]


def addresses6(source: Source, tokens: Sequence[Token], side: str) -> list[IPv6Network]:
    """IPv6 addresses and prefixes behind `ip6 daddr` or `ip6 saddr` (`side`) of a rule."""
    found = behind(source, tokens, ("ip6", side), ADDRESS6)
    return [ipaddresses.network6(text) for text in found if not prefix6_faults(text, translation=False)]


def _sound4(text: str) -> bool:
    try:
        IPv4Network(text, strict=False)
    except ValueError:
        return False
    return True


def behind(source: Source, tokens: Sequence[Token], field: tuple[str, ...], pattern: re.Pattern[str]) -> list[str]:
    """What stands behind a field such as `ip daddr`, all of it of `pattern`; of a map its keys and values. Nothing
    where it is a named set, or `!=`. `mark` alone is that of `meta`, not of `ct`."""
    texts = [token.text for token in source.expanded(tokens)]
    found: list[str] = []
    for index in range(len(texts) - len(field)):
        if tuple(texts[index : index + len(field)]) != field or (index and texts[index - 1] == "ct"):
            continue
        values = texts[index + len(field) :]
        if values[0] in ("==", "vmap"):
            values = values[1:]
        if values and values[0] == "{" and "}" in values:
            values = [text for text in values[1 : values.index("}")] if text != ","]
        else:
            values = values[:1]
        if all(pattern.fullmatch(text) for text in values):
            found += values
    return found
