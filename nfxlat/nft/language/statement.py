"""The `xlat` statement, the end of a rule:

    ip daddr @pool4               xlat to siit0                     a domain of the configuration
    ip6 daddr 2001:db8:64::/96    xlat from siit0
    oifname "siit0"               xlat to 2001:db8:64::/96          the domain that has this prefix6, or with the
    ip6 daddr 2001:db8:2::2       xlat from 2001:db8:64::/96        mapping of the other address in the statement:
    oifname "xlat0"  xlat to 2001:db8:64::/96 with source { 192.0.0.1 : 2001:db8:2::2 }
    ...              xlat from 2001:db8:64::/96 with destination { 2001:db8:2::2 : 192.0.0.1 }

`to` is into prefix6, IPv4 to IPv6 (RFC 7915 4); `from` is out of it, IPv6 to IPv4 (RFC 7915 5). The map's keys are
addresses before translation, as in nft's own maps. A `comment` may follow, as behind any statement of nft.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Network, IPv6Address, IPv6Network, NetmaskValueError

from nfxlat.nft.language.includes import statements_in
from nfxlat.nft.language.scan import Rule, Source, Token
from nfxlat.xlat import rfc6052

WORD = "xlat"
MAPPED = {"to": "source", "from": "destination"}  # the address that the prefix does not map
# what stands ahead of a name or a value: `counter name xlat`, `iifname { lo, xlat }`
_NAMED = ("jump", "goto", "name", "set", "iifname", "oifname", "==", "!=", "{", ",")
_GROUP = re.compile(r"[0-9A-Fa-f]{1,4}")


@dataclass(frozen=True, slots=True)
class Xlat:
    """One statement: `operand` is a prefix or a domain's name, `at` its word `xlat`, `end` the offset behind it."""

    rule: Rule
    direction: str  # "to" or "from"
    operand: Token
    mappings: tuple[tuple[Token, Token], ...]  # keys and values, in the statement's order
    at: Token
    end: int

    @property
    def matches(self) -> tuple[Token, ...]:
        """The tokens of the rule ahead of the statement."""
        return tuple(token for token in self.rule.tokens if token.end <= self.at.start)

    @property
    def names_prefix(self) -> bool:
        return ":" in self.operand.text or "." in self.operand.text or "/" in self.operand.text


def statements(source: Source) -> list[Xlat]:
    """All of an input. Raises OperatorError (file:line:column) where one cannot be read."""
    made = (_statement(source, rule) for rule in source.rules)
    found = [statement for statement in made if statement is not None]
    known = {statement.at.start for statement in found}
    for start, direction in statements_in(source.text):
        if start not in known:
            at = Token("word", WORD, start, start + len(WORD))
            what = f"xlat {direction} is the end of a rule, and cannot stand here"
            raise source.fault(what, at, "give it a chain with a name, and a variable, map or element a jump there")
    return found


def _statement(source: Source, rule: Rule) -> Xlat | None:
    for index, token in enumerate(rule.tokens):
        if token.kind == "word" and token.text == WORD:
            if _depth(rule.tokens[:index]) and not _is_value(rule.tokens, index):
                what = "xlat inside braces, where it is not the end of a rule"
                raise source.fault(what, token, "put it in a chain with a name, and jump there")
            before = rule.tokens[index - 1].text if index else ""
            if before in _NAMED:
                continue
            return _read(source, rule, index)
    return None


def _depth(tokens: Sequence[Token]) -> int:
    """How many braces are open behind `tokens`."""
    return sum((token.text == "{") - (token.text == "}") for token in tokens if token.kind == "mark")


def _is_value(tokens: Sequence[Token], index: int) -> bool:
    """Whether the word is an element: `{ lo, xlat }`, and not `{ 192.0.2.1 : xlat to siit0 }`."""
    return index + 1 < len(tokens) and tokens[index + 1].text in (",", "}", ":")


def _read(source: Source, rule: Rule, index: int) -> Xlat:
    at = rule.tokens[index]
    rest = list(rule.tokens[index + 1 :])
    if not rest or rest[0].text not in MAPPED:
        raise source.fault("xlat needs a direction", at, "xlat to PREFIX|DOMAIN (IPv4 to IPv6), or xlat from ...")
    direction = rest.pop(0)
    if not rest or rest[0].kind not in ("word", "string") or rest[0].text == "comment":
        raise source.fault(f"xlat {direction.text} what?", direction, "name a prefix6 or a domain")
    operand = source.value(rest.pop(0))
    if operand.text.startswith("$"):
        raise source.fault(f"{operand.text} is not one word of this file", operand, "define it here, above its use")
    operand = Token(operand.kind, operand.bare, operand.start, operand.end)
    end = operand.end
    mappings: tuple[tuple[Token, Token], ...] = ()
    if rest and rest[0].text == "with":
        mappings, rest, end = _with(source, direction.text, rest)
    if rest and rest[0].text == "comment" and len(rest) == 2 and rest[1].kind == "string":
        rest = []
    if rest:
        hint = "nothing but a comment stands behind it: it ends the packet, like drop"
        raise source.fault(f"{rest[0].text!r} behind xlat", rest[0], hint)
    return Xlat(rule, direction.text, operand, mappings, at, end)


def _with(
    source: Source, direction: str, rest: list[Token]
) -> tuple[tuple[tuple[Token, Token], ...], list[Token], int]:
    """`with source { A : B, ... }`: the pairs, what follows, and where it ends."""
    word, pair = MAPPED[direction], "{ 192.0.0.1 : 2001:db8:2::2 }"
    if direction == "from":
        pair = "{ 2001:db8:2::2 : 192.0.0.1 }"
    example = f"with {word} {pair}"
    if len(rest) < 2 or rest[1].text != word:
        at = rest[min(1, len(rest) - 1)]
        raise source.fault(f"xlat {direction} maps the other address by `with {word}`", at, example)
    body = rest[2:]
    if len(body) == 1 and body[0].text.startswith("$"):
        body = list(source.defines.get(body[0].text[1:], tuple(body)))
    closing = next((i for i, token in enumerate(body) if token.text == "}"), None)
    if not body or body[0].text != "{" or closing is None:
        at = body[0] if body else rest[1]
        raise source.fault("a mapping of two addresses belongs here", at, example)
    pairs: list[tuple[Token, Token]] = []
    elements: list[list[Token]] = [[]]
    for token in body[1:closing]:
        if token.text == ",":
            elements.append([])
        else:
            elements[-1].append(token)
    for element in elements:
        if not element and pairs and element is elements[-1]:
            continue  # a comma at the end
        if len(element) != 3 or element[1].text != ":":
            raise source.fault("not a mapping of two addresses", element[0] if element else body[0], example)
        pairs.append((source.value(element[0]), source.value(element[2])))
    inline = rest[2].text == "{"
    end = body[closing].end if inline else rest[2].end
    return tuple(pairs), body[closing + 1 :] if inline else rest[3:], end


def prefix6_faults(text: str, *, translation: bool = True) -> list[str]:
    """Every fault of an IPv6 prefix as written, each a sentence's half; [] for a sound one.

    With `translation` it must be fit as prefix6 too (RFC 6052 2.2).
    """
    address, slash, length = text.partition("/")
    faults = []
    if "." in address and ":" not in address:
        return [f"{text} is an IPv4 prefix; prefix6 is an IPv6 one"]
    if address.count("::") > 1:
        faults.append(f"{address} has '::' more than once, and only one may stand for zeros (RFC 4291 2.2)")
    groups = [group for group in address.split(":") if group]
    head = groups[:-1] if groups and "." in groups[-1] else groups
    faults += [
        f"{group!r} is no group of up to four hexadecimal digits" for group in head if not _GROUP.fullmatch(group)
    ]
    if len(groups) > 8:
        faults.append(f"{address} has {len(groups)} groups of 16 bits; there are 8")
    if not slash and translation:
        faults.append(f"{text} has no length, such as /96")
    elif slash and not (length.isascii() and length.isdecimal() and int(length) <= 128):
        faults.append(f"/{length} is no length of an IPv6 prefix")
    if faults:
        return faults
    try:
        network = IPv6Network(text, strict=False)
    except (AddressValueError, NetmaskValueError, ValueError):
        return [f"{address} is no IPv6 address"]
    if network.network_address != IPv6Address(address):
        faults.append(f"{text} has bits set behind its length (did you mean {network}?)")
    if translation and (what := rfc6052.fault(network)):
        faults.append(f"{what} (RFC 6052 2.2)")
    return faults


def meant_prefix6(text: str) -> str | None:
    """What a malformed prefix was probably meant to be: only its last '::' kept; None without a guess."""
    address, slash, length = text.partition("/")
    head, colons, tail = address.rpartition("::")
    guess = f"{head.replace('::', ':')}{colons}{tail}{slash}{length}"
    if guess == text or prefix6_faults(guess, translation=False):
        return None
    network = IPv6Network(guess, strict=False)
    near_miss = network.prefixlen == 96 and network.network_address.packed[1] == 0x64 and str(network).count(":") == 3
    if near_miss and network != rfc6052.WELL_KNOWN_PREFIX:
        return f"{guess} (the well-known prefix is {rfc6052.WELL_KNOWN_PREFIX})"
    return guess


def network4(source: Source, token: Token) -> IPv4Network:
    """The IPv4 prefix of a word. Raises OperatorError."""
    try:
        return IPv4Network(token.text)
    except ValueError:
        raise source.fault(f"{token.text} is no IPv4 prefix", token, "such as 192.0.0.1 or 192.0.2.0/24") from None


def network6(source: Source, token: Token) -> IPv6Network:
    """The IPv6 prefix of a word. Raises OperatorError, naming every fault."""
    if faults := prefix6_faults(token.text, translation=False):
        raise source.fault("; ".join(faults), token)
    return IPv6Network(token.text)
