"""nft input as words with their places, and as much structure as the `xlat` statement needs.

nft has no grammar that others can use, so what is not needed is not understood, only passed by: a statement is a row of
tokens up to a newline or `;`, braces inside it included. Nothing here changes a character of the input.

    table ip t {                 Table(family, name, body)            also `add table ...`
        set s { ... }            passed by
        chain c {                Chain(table, name, hook)             also `add chain ip t c { ... }`
            ip daddr @s accept   Rule(chain, tokens)                  also `add rule ip t c ...`
        }
    }
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from nfxlat.errors import OperatorError

FAMILIES = ("ip", "ip6", "inet", "arp", "bridge", "netdev")
HOOKS = ("prerouting", "input", "forward", "output", "postrouting", "ingress", "egress")
# nft(8), "CHAINS": names of priorities; in the bridge family others, which matters to nobody here
PRIORITIES = {"raw": -300, "mangle": -150, "dstnat": -100, "filter": 0, "security": 50, "srcnat": 100}

_TOKEN = re.compile(
    r"""(?P<space>(?:[ \t\r]|\\\r?\n)+)|(?P<comment>\#[^\n]*)|(?P<newline>\n)|(?P<string>"[^"\n]*"|'[^'\n]*')
        |(?P<mark>[{};])|(?P<punctuation>[,()]|[=!<>&|]+)|(?P<word>[^\s{};,()=!<>&|"'\#\\]+)|(?P<other>.)""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Token:
    """A word, string (with its quotes), brace or separator of the input, `start` and `end` being offsets."""

    kind: str
    text: str
    start: int
    end: int

    @property
    def bare(self) -> str:
        """The text without its quotes."""
        return self.text[1:-1] if self.kind == "string" else self.text


@dataclass(frozen=True, slots=True)
class Hook:
    """A base chain's `type T hook H priority P`. `priority` is None where it is no number that can be known."""

    type: str
    hook: str
    priority: int | None
    at: Token


@dataclass(slots=True)
class Table:
    """A table of the input; `blocks` are its opening and closing braces, none where commands alone name it."""

    family: str
    name: str
    blocks: list[tuple[Token, Token]] = field(default_factory=list)
    flowtables: list[Token] = field(default_factory=list)
    maps: dict[str, list[str]] = field(default_factory=dict)  # verdict maps: the chains that they lead to

    @property
    def key(self) -> tuple[str, str]:
        return self.family, self.name


@dataclass(slots=True)
class Chain:
    """A chain of the input; `base` is None for a regular chain. `policy` is what it says, else accept."""

    table: Table
    name: str
    base: Hook | None = None
    policy: str = "accept"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. `insert_at` is where its command begins: None inside a table's block."""

    chain: Chain
    tokens: tuple[Token, ...]
    insert_at: int | None = None

    @property
    def words(self) -> list[str]:
        return [token.text for token in self.tokens]


class Source:
    """One nft input: its text, where it came from, and its structure. Raises OperatorError with file:line:column."""

    def __init__(self, text: str, name: str) -> None:
        self.text, self.name = text, name
        self.tables: dict[tuple[str, str], Table] = {}
        self.chains: dict[tuple[str, str, str], Chain] = {}
        self.rules: list[Rule] = []
        self.defines: dict[str, tuple[Token, ...]] = {}
        self.set_names: set[tuple[str, str, str]] = set()  # family, table, set
        self.includes = False
        self.removes = False  # flush, delete or destroy: it clears the ground itself
        self._tokens = list(_tokens(self))
        self._position = 0
        self._commands()

    def bases(self, chain: Chain) -> list[Chain]:
        """The base chains from which packets reach `chain`, itself included if it is one."""
        callers: dict[str, set[str]] = {}
        for rule in self.rules:
            if rule.chain.table is chain.table:
                for target in self.targets(rule):
                    callers.setdefault(target, set()).add(rule.chain.name)
        reached, waiting = {chain.name}, [chain.name]
        while waiting:
            new = callers.get(waiting.pop(), set()) - reached
            reached |= new
            waiting += new
        same = (c for (family, table, _), c in self.chains.items() if (family, table) == chain.table.key)
        return [c for c in same if c.base and c.name in reached]

    def targets(self, rule: Rule) -> list[str]:
        """The chains that a rule jumps or goes to, by verdict maps too."""
        words, maps = rule.words, rule.chain.table.maps
        return [*_targets(words), *(name for word in words if word[0] == "@" for name in maps.get(word[1:], []))]

    def place(self, offset: int) -> str:
        """file:line:column of an offset; the column counts from 1, a tab being one."""
        line = self.text.count("\n", 0, offset) + 1
        return f"{self.name}:{line}:{offset - self.text.rfind(chr(10), 0, offset)}"

    def fault(self, what: str, at: Token, hint: str = "") -> OperatorError:
        return OperatorError(what, where=self.place(at.start), hint=hint)

    def value(self, token: Token) -> Token:
        """The word that a variable of this input stands for; any other token as it is."""
        seen: set[str] = set()
        while token.text.startswith("$") and token.text not in seen:
            seen.add(token.text)
            meaning = self.defines.get(token.text[1:])
            if meaning is None or len(meaning) != 1:
                return token
            token = Token(meaning[0].kind, meaning[0].text, token.start, token.end)
        return token

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
            raise self.fault("a brace that is never closed", next(t for t in item if t.text == "{"))
        return item, None

    def _close(self, opened: Token) -> Token:
        token = self._peek()
        if token is None:
            raise self.fault("a block that is never closed", opened)
        self._position += 1
        return token

    def _commands(self) -> None:
        while (token := self._peek()) is not None:
            if token.kind == "mark" and token.text == "}":
                raise self.fault("a closing brace without an opening one", token)
            item, opened = self._item()
            if item:
                self._command(item, opened)

    def _command(self, item: list[Token], opened: Token | None) -> None:
        words = [token.text for token in item]
        if words[0] in ("define", "redefine") and len(words) > 3 and words[2] == "=":
            self.defines[words[1]] = tuple(item[3:])
            return
        self.includes = self.includes or words[0] == "include"
        self.removes = self.removes or words[0] in ("flush", "delete", "destroy")
        verb = words[0] if words[0] in ("add", "create", "insert", "replace") else "add"
        rest = item[1:] if verb == words[0] else item
        if not rest:
            return
        kind, arguments = rest[0].text, rest[1:]
        family = "ip"
        if arguments and arguments[0].text in FAMILIES:
            family, arguments = arguments[0].text, arguments[1:]
        if kind == "table" and arguments:
            table = self._table(family, arguments[0])
            if opened:
                self._table_block(table, opened)
        elif kind == "chain" and len(arguments) >= 2:
            chain = self._chain(self._table(family, arguments[0]), arguments[1].text)
            if opened:
                self._chain_block(chain, opened, rule_at=item[0].start)
        elif kind == "rule" and len(arguments) >= 2:
            chain = self._chain(self._table(family, arguments[0]), arguments[1].text)
            body = arguments[2:]
            if len(body) > 1 and body[0].text in ("handle", "position", "index"):
                body = body[2:]
            self.rules.append(Rule(chain, tuple(body), item[0].start))
        elif kind in ("map", "element") and len(arguments) >= 2:
            maps = self._table(family, arguments[0]).maps
            maps.setdefault(arguments[1].text, []).extend(_targets(words))
        elif kind == "set" and len(arguments) >= 2:
            self.set_names.add((*self._table(family, arguments[0]).key, arguments[1].text))
        elif kind == "flowtable" and arguments:
            self._table(family, arguments[0]).flowtables.append(rest[0])

    def _table(self, family: str, name: Token) -> Table:
        text = self.value(name).bare
        return self.tables.setdefault((family, text), Table(family, text))

    def _chain(self, table: Table, name: str) -> Chain:
        return self.chains.setdefault((table.family, table.name, name), Chain(table, name))

    def _table_block(self, table: Table, opened: Token) -> None:
        while (token := self._peek()) is not None and not (token.kind == "mark" and token.text == "}"):
            item, block = self._item()
            if block and len(item) >= 2:
                self._chain_block(self._chain(table, item[1].text), block, rule_at=None)
            elif item and item[0].text == "flowtable":
                table.flowtables.append(item[0])
            elif len(item) >= 2 and item[0].text == "set":
                self.set_names.add((*table.key, item[1].text))
            elif len(item) >= 2 and item[0].text == "map":
                table.maps[item[1].text] = _targets([token.text for token in item])
        table.blocks.append((opened, self._close(opened)))

    def _chain_block(self, chain: Chain, opened: Token, rule_at: int | None) -> None:
        while (token := self._peek()) is not None and not (token.kind == "mark" and token.text == "}"):
            item, block = self._item()
            if block:
                raise self.fault("a table or chain inside a chain", item[0])
            if item and item[0].text == "type" and any(token.text == "hook" for token in item):
                chain.base = self._hook(item)
            elif item and item[0].text == "policy" and len(item) > 1:
                chain.policy = item[1].text
            elif item and item[0].text not in ("comment", "flags", "devices", "device"):
                self.rules.append(Rule(chain, tuple(item), rule_at))
        self._close(opened)

    def _hook(self, item: list[Token]) -> Hook:
        words = [token.text for token in item]
        hook = words.index("hook") + 1
        name = words[hook] if hook < len(words) else ""
        priority = None
        if "priority" in words:
            priority = self._priority([self.value(t).bare for t in item[words.index("priority") + 1 :]])
        return Hook(words[1] if len(words) > 1 else "", name, priority, item[0])

    @staticmethod
    def _priority(words: list[str]) -> int | None:
        """`-450`, `srcnat`, `srcnat + 1`, `raw - 150`; None for anything else."""
        found = re.fullmatch(r"([a-z]*)([+-]?\d+)?", "".join(words))
        if not found or not (found[1] or found[2]) or (found[1] and found[1] not in PRIORITIES):
            return None
        return PRIORITIES.get(found[1], 0) + int(found[2] or 0)


def words_of(text: str) -> Iterator[tuple[int, str]]:
    """Offset and text of all tokens of any nft input, sound or not."""
    for found in _TOKEN.finditer(text):
        if found.lastgroup not in ("space", "comment", "newline"):
            yield found.start(), found[0]


def _targets(words: list[str]) -> list[str]:
    return [target for verdict, target in pairwise(words) if verdict in ("jump", "goto")]


def _opens_block(item: list[Token]) -> bool:
    words = [token.text for token in item]
    head = words[1:] if words and words[0] in ("add", "create") else words
    return bool(head) and head[0] in ("table", "chain")


def _tokens(source: Source) -> Iterator[Token]:
    for found in _TOKEN.finditer(source.text):
        kind = found.lastgroup or "other"
        token = Token(kind, found[0], found.start(), found.end())
        if kind == "other":
            raise source.fault(
                f"a stray {found[0]}", token, "a string ends on its own line" if found[0] in "\"'" else ""
            )
        if kind not in ("space", "comment"):
            yield token
