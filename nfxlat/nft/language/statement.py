"""The `xlat` statement, the end of a rule:

    ip daddr @pool4               xlat to siit0                     a domain of the configuration
    ip6 daddr 2001:db8:64::/96    xlat from siit0 offload           its decision may be repeated at ingress
    oifname "siit0"               xlat to 2001:db8:64::/96          the domain that has this prefix6, or with the
    ip6 daddr 2001:db8:2::2       xlat from 2001:db8:64::/96        mapping of the other address in the statement:
    oifname "xlat0"  xlat to 2001:db8:64::/96 with source { 192.0.0.1 : 2001:db8:2::2 }
    ...              xlat from 2001:db8:64::/96 with destination { 2001:db8:2::2 : 192.0.0.1 }

    ip daddr @pool4               xlat to siit0 reassembled         datagrams that were put together of fragments

`to` is into prefix6, IPv4 to IPv6 (RFC 7915 4); `from` is out of it, IPv6 to IPv4 (RFC 7915 5). The map's keys are
addresses before translation, as in nft's own maps. `reassembled` says that it is meant to stand behind defragmentation
(-400), where fragments have become whole datagrams again; the result is fragmented anew. `offload` may stand in its
place (nft.language.repeat). A `comment` may follow, as behind any statement of nft.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nfxlat.nft.language.includes import statements_in
from nfxlat.nft.language.source import Rule, Source
from nfxlat.nft.language.tokens import Token
from nfxlat.terms import Family

WORD, REASSEMBLED, OFFLOAD = "xlat", "reassembled", "offload"
TAKES: Mapping[str, Family] = {"to": "ip", "from": "ip6"}  # the family of the packets that a statement takes
MAPPED = {"to": "source", "from": "destination"}  # the address that the prefix does not map
# what stands ahead of a name or a value: `counter name xlat`, `iifname { lo, xlat }`
_NAMED = ("jump", "goto", "name", "set", "iifname", "oifname", "==", "!=", "{", ",")


@dataclass(frozen=True, slots=True)
class Xlat:
    """One statement: `operand` is a prefix or a domain's name, `at` its word `xlat`, `end` the offset behind it."""

    rule: Rule
    matches: tuple[Token, ...]  # the tokens of the rule ahead of it
    direction: str  # "to" or "from"
    operand: Token
    mappings: tuple[tuple[Token, Token], ...]  # keys and values, in the statement's order
    reassembled: bool  # says so: it is to have whole datagrams, where others would have their fragments
    offload: Token | None  # the word, where it is there: its decision may be repeated at ingress
    at: Token
    end: int

    @property
    def family(self) -> Family:
        """Of the packets that it takes."""
        return TAKES[self.direction]

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
            what = f"xlat {direction} must end a rule, and cannot stand here"
            raise source.fault(what, at, "put it in a named chain, and let the variable, map or element jump there")
    return found


def _statement(source: Source, rule: Rule) -> Xlat | None:
    for index, token in enumerate(rule.tokens):
        if token.kind == "word" and token.text == WORD:
            if _depth(rule.tokens[:index]) and not _is_value(rule.tokens, index):
                what = "xlat inside braces does not end a rule"
                raise source.fault(what, token, "put it in a named chain, and jump there")
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
        raise source.fault(f"xlat {direction.text} needs a prefix6 or a domain", direction, "such as siit0")
    operand = source.value(rest.pop(0))
    if operand.text.startswith("$"):
        raise source.fault(
            f"{operand.text} is not defined here as a single word",
            operand,
            "define it once in this file, above its use",
        )
    operand = Token(operand.kind, operand.bare, operand.start, operand.end)
    end = operand.end
    mappings: tuple[tuple[Token, Token], ...] = ()
    if rest and rest[0].text == "with":
        mappings, rest, end = _with(source, direction.text, rest)
    word = rest.pop(0) if rest and rest[0].text in (REASSEMBLED, OFFLOAD) else None
    end = word.end if word is not None else end
    if rest and rest[0].text == "comment" and len(rest) == 2 and rest[1].kind == "string":
        rest = []
    if rest:
        hint = "xlat ends the rule, like drop; only `reassembled` or `offload`, and a comment, may follow"
        raise source.fault(f"unexpected {rest[0].text!r} after xlat", rest[0], hint)
    reassembled = word is not None and word.text == REASSEMBLED
    offload = word if word is not None and word.text == OFFLOAD else None
    return Xlat(rule, rule.tokens[:index], direction.text, operand, mappings, reassembled, offload, at, end)


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
        raise source.fault(f"xlat {direction} takes `with {word}`", at, example)
    body = rest[2:]
    if len(body) == 1 and body[0].text.startswith("$"):
        body = list(source.defines.get(body[0].text[1:], tuple(body)))
    closing = next((i for i, token in enumerate(body) if token.text == "}"), None)
    if not body or body[0].text != "{" or closing is None:
        at = body[0] if body else rest[1]
        raise source.fault("a mapping of two addresses must follow", at, example)
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
