"""nft input read: as much structure as the `xlat` statement needs.

nft has no grammar that others can use, so what is not needed is not understood, only passed by: a statement is a row of
tokens up to a newline or `;`, braces inside it included. Nothing here changes a character of the input.

    table ip t {                 Table(family, name, blocks)          also `add table ...`
        set s { ... }            its name alone
        chain c {                Chain(table, name, base)             also `add chain ip t c { ... }`
            ip daddr @s accept   Rule(chain, tokens)                  also `add rule ip t c ...`
        }
    }
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from types import MappingProxyType

from nfxlat.nft.language.source import VOLATILE, Chain, ChainKey, Hook, Rule, Source, Table, TableKey, expanded, value
from nfxlat.nft.language.tokens import Input, Token

NFT_FAMILIES = ("ip", "ip6", "inet", "arp", "bridge", "netdev")
# nft(8), "CHAINS": names of priorities; in the bridge family others, which matters to nobody here
PRIORITIES = {"raw": -300, "mangle": -150, "dstnat": -100, "filter": 0, "security": 50, "srcnat": 100}
# `add`, and `rule` behind it, may be left out: `ip t c tcp dport 22 drop` is a rule, as all is that is none of these
COMMANDS = (
    *("add", "create", "insert", "replace", "delete", "destroy", "flush", "list", "reset", "get", "rename", "monitor"),
    *("import", "export", "describe", "include", "undefine"),
)
OBJECTS = ("set", "counter", "quota", "limit", "ct", "synproxy", "secmark")  # of a table, with a name


def scan(text: str, name: str, given: Iterable[tuple[str, tuple[Token, ...]]] = ()) -> Source:
    """The structure of nft input `text`, called `name` in messages, with the variables that it is `given`.

    Raises OperatorError with file:line:column.
    """
    return _Reader(Input(text, name), given).source()


@dataclass(slots=True)
class _Table:
    """A table that is being read."""

    blocks: list[tuple[Token, Token]] = field(default_factory=list)
    flowtables: list[Token] = field(default_factory=list)
    maps: dict[str, list[str]] = field(default_factory=dict)  # verdict maps: the chains that they lead to
    declared: list[str] = field(default_factory=list)
    words: dict[str, set[str]] = field(default_factory=dict)  # of sets and maps, those of VOLATILE

    def note(self, name: str, words: Iterable[str]) -> None:
        """Of a set or map, its definition or elements."""
        self.words.setdefault(name, set()).update(VOLATILE.intersection(words))


@dataclass(slots=True)
class _Chain:
    """A chain that is being read."""

    base: Hook | None = None
    policy: str = "accept"


class _Reader:
    """One pass over the tokens; `source` freezes what has been found."""

    def __init__(self, read: Input, given: Iterable[tuple[str, tuple[Token, ...]]]) -> None:
        self._input = read
        self._tables: dict[TableKey, _Table] = {}
        self._chains: dict[ChainKey, _Chain] = {}
        self._rules: list[tuple[ChainKey, tuple[Token, ...], int | None]] = []
        self._defines: dict[str, tuple[Token, ...]] = {}
        self._unclear: set[str] = set()  # variables of several meanings
        self._set_names: set[ChainKey] = set()
        self._listed: set[ChainKey] = set()
        self._first: set[str] = set()
        self._includes: list[Token] = []
        for name, meaning in given:
            self._mean(name, meaning)
        self._tokens = list(read.tokens())
        self._position = 0
        self._commands()

    def source(self) -> Source:
        tables = {key: Table(*key, tuple(table.blocks), tuple(table.flowtables)) for key, table in self._tables.items()}
        chains = {key: Chain(tables[key[:2]], key[2], chain.base, chain.policy) for key, chain in self._chains.items()}
        for name in self._unclear:
            del self._defines[name]
        rules = tuple(Rule(chains[key], tokens, at, self._targets(key[:2], tokens)) for key, tokens, at in self._rules)
        return Source(
            self._input.text,
            self._input.name,
            MappingProxyType(tables),
            MappingProxyType(chains),
            rules,
            MappingProxyType(self._defines),
            frozenset(self._set_names),
            MappingProxyType(
                {(*key, name): frozenset(w) for key, t in self._tables.items() for name, w in t.words.items()}
            ),
            tuple(self._includes),
            frozenset(self._first),
            MappingProxyType(_hooked(chains, rules)),
            MappingProxyType({key: self._declared(key) for key in self._tables}),
            frozenset(self._listed),
            frozenset(self._changed_sets()),
        )

    def _declared(self, key: TableKey) -> tuple[str, ...]:
        """A set that is given elements differs from one that is not: what others put into that stays."""
        listed = sorted(f"elements {name}" for *table, name in self._listed if tuple(table) == key)
        return (*self._tables[key].declared, *listed)

    def _changed_sets(self) -> Iterator[str]:
        for _, tokens, _ in self._rules:
            if any(token.text in ("add", "update", "delete") for token in tokens):
                yield from (word[1:] for word in self._words(tokens) if word[0] == "@")

    def _targets(self, table: TableKey, tokens: Sequence[Token]) -> tuple[str, ...]:
        words, maps = self._words(tokens), self._tables[table].maps
        return (*_targets(words), *(name for word in words if word[0] == "@" for name in maps.get(word[1:], ())))

    def _words(self, tokens: Sequence[Token]) -> list[str]:
        """Their texts, with those that variables stand for."""
        return [token.text for token in expanded(self._defines, tokens)]

    def _define(self, item: Sequence[Token]) -> bool:
        """Note a variable; False where it is none."""
        words = [token.text for token in item[:3]]
        if len(item) < 4 or words[0] not in ("define", "redefine") or words[2] != "=":
            return False
        self._mean(words[1], tuple(item[3:]))
        return True

    def _mean(self, name: str, meaning: tuple[Token, ...]) -> None:
        """Blocks have variables of their own, and `redefine` gives another meaning from there on."""
        former = self._defines.setdefault(name, meaning)
        if [token.text for token in former] != [token.text for token in meaning]:
            self._unclear.add(name)
            self._defines[name] = meaning

    def _include(self, item: Sequence[Token]) -> bool:
        found = bool(item) and item[0].text == "include"
        self._includes += item[:1] if found else ()
        return found

    def _value(self, token: Token) -> str:
        return value(self._defines, token).bare

    def _peek(self) -> Token | None:
        return self._tokens[self._position] if self._position < len(self._tokens) else None

    def _item(self) -> tuple[list[Token], Token | None]:
        """Tokens up to a separator, or to the brace that opens a table or chain; and what ended them."""
        item: list[Token] = []
        depth = 0
        while (token := self._peek()) is not None:
            if depth == 0 and token.text == "}" and token.kind == "mark":
                return item, None
            self._position += 1
            if token.kind == "mark" and token.text == "{":
                if depth == 0 and _opens_block(item):
                    return item, token
                depth += 1
            elif token.kind == "mark" and token.text == "}":
                depth -= 1
            elif depth == 0 and (token.kind == "newline" or token.text == ";"):
                return item, None
            if token.kind != "newline":
                item.append(token)
        if depth:
            raise self._input.fault("unclosed brace", next(t for t in item if t.text == "{"))
        return item, None

    def _close(self, opened: Token) -> Token:
        token = self._peek()
        if token is None:
            raise self._input.fault("unclosed block", opened)
        self._position += 1
        return token

    def _commands(self) -> None:
        while (token := self._peek()) is not None:
            if token.kind == "mark" and token.text == "}":
                raise self._input.fault("closing brace without an opening one", token)
            item, opened = self._item()
            if item:
                self._command(item, opened)

    def _command(self, item: list[Token], opened: Token | None) -> None:
        if self._define(item):
            return
        words = [token.text for token in item]
        self._include(item)
        self._first.add(words[0])
        rest = item[1:] if words[0] in ("add", "create", "insert", "replace") else item
        if not rest:
            return
        kind, arguments = rest[0].text, rest[1:]
        if kind not in ("table", "chain", "rule", "map", "element", "flowtable", *COMMANDS, *OBJECTS):
            kind, arguments = "rule", rest
        family = "ip"
        if arguments and arguments[0].text in NFT_FAMILIES:
            family, arguments = arguments[0].text, arguments[1:]
        if kind == "table" and arguments:
            key = self._table(family, arguments[0])
            if opened:
                self._table_block(key, opened)
        elif kind == "flowtable" and arguments:
            self._tables[self._table(family, arguments[0])].flowtables.append(rest[0])
        elif len(arguments) < 2:
            return
        elif kind == "chain":
            chain = self._chain(self._table(family, arguments[0]), arguments[1])
            if opened:
                self._chain_block(chain, opened, rule_at=item[0].start)
        elif kind == "rule":
            chain = self._chain(self._table(family, arguments[0]), arguments[1])
            body = arguments[2:]
            if len(body) > 1 and body[0].text in ("handle", "position", "index"):
                body = body[2:]
            if body:
                self._rules.append((chain, tuple(body), item[0].start))
        elif kind in ("map", "element", *OBJECTS):
            self._object(self._table(family, arguments[0]), self._words([rest[0], *arguments[1:]]))

    def _object(self, key: TableKey, words: list[str]) -> None:
        """What a table holds besides chains: "set", its name, and what it says; or elements of one."""
        self._declare(key, words)
        kind, name = (*words, "", "")[:2]
        if kind == "set":
            self._set_names.add((*key, name))
        elif kind in ("map", "element"):
            self._tables[key].maps.setdefault(name, []).extend(_targets(words))
        if kind in ("set", "map", "element"):
            self._tables[key].note(name, words)

    def _table(self, family: str, name: Token) -> TableKey:
        key = family, self._value(name)
        self._tables.setdefault(key, _Table())
        return key

    def _chain(self, table: TableKey, name: Token) -> ChainKey:
        key = (*table, name.text)
        self._chains.setdefault(key, _Chain())
        return key

    def _table_block(self, key: TableKey, opened: Token) -> None:
        table = self._tables[key]
        while (token := self._peek()) is not None and not (token.kind == "mark" and token.text == "}"):
            item, block = self._item()
            if block and len(item) >= 2:
                self._chain_block(self._chain(key, item[1]), block, rule_at=None)
                continue
            if not (self._define(item) or self._include(item)) and item and item[0].text == "flowtable":
                table.flowtables.append(item[0])
            self._object(key, self._words(item))
        table.blocks.append((opened, self._close(opened)))

    def _declare(self, table: TableKey, words: list[str]) -> None:
        """Note an object of a table, or elements of one."""
        if words[:1] != ["element"] and words:
            said = (word for word in _less_elements(words) if word != ";")
            self._tables[table].declared.append(" ".join(said))
        if len(words) > 1 and (words[0] == "element" or "elements" in words):
            self._listed.add((*table, words[1]))

    def _chain_block(self, key: ChainKey, opened: Token, rule_at: int | None) -> None:
        chain = self._chains[key]
        while (token := self._peek()) is not None and not (token.kind == "mark" and token.text == "}"):
            item, block = self._item()
            if block:
                raise self._input.fault("table or chain inside a chain", item[0])
            if self._define(item) or self._include(item):
                continue
            if item and item[0].text == "type" and any(token.text == "hook" for token in item):
                chain.base = self._hook(item)
            elif item and item[0].text == "policy" and len(item) > 1:
                chain.policy = item[1].text
            elif item and item[0].text not in ("comment", "flags", "devices", "device"):
                self._rules.append((key, tuple(item), rule_at))
        self._close(opened)

    def _hook(self, item: list[Token]) -> Hook:
        words = [token.text for token in item]
        hook = words.index("hook") + 1
        name = words[hook] if hook < len(words) else ""
        priority = None
        if "priority" in words:
            priority = _priority([self._value(t) for t in item[words.index("priority") + 1 :]])
        return Hook(words[1] if len(words) > 1 else "", name, priority, item[0])


def _hooked(chains: dict[ChainKey, Chain], rules: Sequence[Rule]) -> dict[ChainKey, tuple[Chain, ...]]:
    """For each chain the base chains from which packets reach it, in the order of the input."""
    leads: dict[ChainKey, set[str]] = {}
    for rule in rules:
        leads.setdefault(rule.chain.key, set()).update(rule.targets)
    found: dict[ChainKey, list[Chain]] = {key: [] for key in chains}
    for base in (chain for chain in chains.values() if chain.base):
        reached, waiting = {base.key}, [base.key]
        while waiting:
            new = {(*base.table.key, target) for target in leads.get(waiting.pop(), ())} - reached
            reached |= new
            waiting += new
        for key in reached & found.keys():
            found[key].append(base)
    return {key: tuple(bases) for key, bases in found.items()}


def _priority(words: list[str]) -> int | None:
    """`-450`, `srcnat`, `srcnat + 1`, `raw - 150`; None for anything else."""
    found = re.fullmatch(r"([a-z]*)([+-]?\d+)?", "".join(words))
    if not found or not (found[1] or found[2]) or (found[1] and found[1] not in PRIORITIES):
        return None
    return PRIORITIES.get(found[1], 0) + int(found[2] or 0)


def _targets(words: Sequence[str]) -> list[str]:
    return [target for verdict, target in pairwise(words) if verdict in ("jump", "goto")]


def _less_elements(words: list[str]) -> list[str]:
    """The words of a set without `elements = { ... }`."""
    if "elements" not in words:
        return words
    at = end = words.index("elements")
    while end < len(words) and words[end] not in ("}", ";") and not words[end].startswith("$"):
        end += 1
    return words[:at] + words[end + 1 :]


def _opens_block(item: list[Token]) -> bool:
    words = [token.text for token in item]
    head = words[1:] if words and words[0] in ("add", "create") else words
    return bool(head) and head[0] in ("table", "chain")
