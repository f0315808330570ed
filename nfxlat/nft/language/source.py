"""What nft input holds, as frozen values: tables, chains, rules, and which chains packets reach from which hooks."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from nfxlat.nft.language.tokens import Input, Token

TableKey = tuple[str, str]  # family, name
ChainKey = tuple[str, str, str]  # family, table, chain
GENERATED = {"to": 32, "from": 128, "prefix6": 128, "native": 128}  # generated sets: ends of names, bits of an address
# in a set's or map's definition, or its elements: what it holds changes by itself, or counts
VOLATILE = frozenset(("dynamic", "timeout", "counter", "quota", "limit", "last", "ct"))
DEPTH = 16  # variables within variables


@dataclass(frozen=True, slots=True)
class Hook:
    """A base chain's `type T hook H priority P`. `priority` is None where it is no number that can be known."""

    type: str
    hook: str
    priority: int | None
    at: Token


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the input; `blocks` are its opening and closing braces, none where commands alone name it."""

    family: str
    name: str
    blocks: tuple[tuple[Token, Token], ...] = ()
    flowtables: tuple[Token, ...] = ()

    @property
    def key(self) -> TableKey:
        return self.family, self.name


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain of the input; `base` is None for a regular chain. `policy` is what it says, else accept."""

    table: Table
    name: str
    base: Hook | None = None
    policy: str = "accept"

    @property
    def key(self) -> ChainKey:
        return self.table.family, self.table.name, self.name


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. `insert_at` is where its command begins: None inside a table's block.

    `targets` are the chains that it jumps or goes to, by verdict maps too.
    """

    chain: Chain
    tokens: tuple[Token, ...]
    insert_at: int | None = None
    targets: tuple[str, ...] = ()

    @property
    def words(self) -> list[str]:
        return [token.text for token in self.tokens]


@dataclass(frozen=True, slots=True)
class Source(Input):
    """One nft input: its text, what it is called, and its structure. `set_words` has those of `VOLATILE` in each set
    and map; `defines` the variables that have one meaning throughout."""

    tables: Mapping[TableKey, Table]
    chains: Mapping[ChainKey, Chain]
    rules: tuple[Rule, ...]
    defines: Mapping[str, tuple[Token, ...]]
    set_names: frozenset[ChainKey]  # family, table, set
    set_words: Mapping[ChainKey, frozenset[str]]
    includes: tuple[Token, ...]  # the word of each
    commands: frozenset[str]  # the first word of each, but for those that define variables
    hooked: Mapping[ChainKey, tuple[Chain, ...]]
    declared: Mapping[TableKey, tuple[str, ...]]  # all but chains and rules; of elements, which sets have some
    listed: frozenset[ChainKey]  # sets and maps that elements are given for
    changed_sets: frozenset[str]  # names of those that rules add elements to, or take from

    def bases(self, chain: Chain) -> tuple[Chain, ...]:
        """The base chains from which packets reach `chain`, itself included if it is one."""
        return self.hooked[chain.key]

    def is_dormant(self, table: Table) -> bool:
        """Whether its chains see no packets."""
        said = (words.replace(",", " ").split() for words in self.declared.get(table.key, ()))
        return any(words[:1] == ["flags"] and "dormant" in words for words in said)

    @property
    def removes(self) -> bool:
        """Whether it clears the ground itself."""
        return bool(self.commands & {"flush", "delete", "destroy"})

    def callers(self, chain: Chain) -> list[Rule]:
        """The rules that jump or go to `chain`, and those that lead to their chains in turn."""
        found: list[Rule] = []
        waiting, seen = [chain.name], {chain.name}
        while waiting:
            target = waiting.pop()
            for rule in self.rules:
                if rule.chain.table is chain.table and target in rule.targets:
                    found.append(rule)
                    if rule.chain.name not in seen:
                        seen.add(rule.chain.name)
                        waiting.append(rule.chain.name)
        return found

    def value(self, token: Token) -> Token:
        """The word that a variable of this input stands for; any other token as it is."""
        return value(self.defines, token)

    def expanded(self, tokens: Sequence[Token]) -> list[Token]:
        """The tokens, with all that variables of this input stand for in the variables' places."""
        return list(expanded(self.defines, tokens))


def value(defines: Mapping[str, tuple[Token, ...]], token: Token) -> Token:
    """The word that `token` stands for, where it is a variable of one word; itself otherwise."""
    seen: set[str] = set()
    while token.text.startswith("$") and token.text not in seen:
        seen.add(token.text)
        meaning = defines.get(token.text[1:])
        if meaning is None or len(meaning) != 1:
            return token
        token = Token(meaning[0].kind, meaning[0].text, token.start, token.end)
    return token


def expanded(defines: Mapping[str, tuple[Token, ...]], tokens: Sequence[Token], depth: int = DEPTH) -> Iterator[Token]:
    """The tokens, with those that variables stand for; a variable without a meaning as it is."""
    for token in tokens:
        meaning = defines.get(token.text[1:]) if token.text[0] == "$" and depth else None
        if meaning is None:
            yield token
        else:
            for one in expanded(defines, meaning, depth - 1):
                yield Token(one.kind, one.text, token.start, token.end)
