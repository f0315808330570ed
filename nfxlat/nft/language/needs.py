"""All that a program of rules needs besides its own text, as values, and where it goes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nfxlat.nft.language import chains, inputs
from nfxlat.nft.language.chains import QueueChain
from nfxlat.nft.language.emit import Chain, GeneratedSet, Item, Rule, Table
from nfxlat.nft.language.implied import Headed, implied, takes_all_at_output
from nfxlat.nft.language.inputs import Inputs
from nfxlat.nft.language.program import Program, Statement
from nfxlat.nft.language.repeat import Repeat
from nfxlat.nft.language.sets import Contents, GeneratedSets, SetName, set_name
from nfxlat.nft.language.source import Rule as SourceRule
from nfxlat.nft.language.statement import TAKES
from nfxlat.queues import Queues
from nfxlat.terms import Role
from nfxlat.xlat.domain import Domain

FIRST = -450  # the priority at which packets are taken: what is to come before begins a chain that is there already

Key = tuple[str, str]  # of a table: family, name


@dataclass(frozen=True, slots=True)
class Insertion:
    """Items for a table of the file: into the block that holds `rule` or before the command that it is; None: into the
    table's last block.
    """

    table: Key
    rule: SourceRule | None
    comment: str
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Needs:
    """`heads` are rules to be put ahead of the rule at an offset; `tables`, with their domains, those of domains that
    have none in the file; `contents` what all sets hold; `checked` guards, by table and chain, that have a chain for
    what comes from prerouting ahead of them.
    """

    heads: tuple[tuple[int, Rule], ...]
    inserted: tuple[Insertion, ...]
    tables: tuple[tuple[str, Table], ...]
    queue_chains: tuple[QueueChain, ...]
    contents: Contents
    checked: frozenset[tuple[Key, str]]

    def entry(self, statement: Statement, domain: Domain) -> str:
        """What a statement becomes: where its packets go on."""
        guard = chains.guard_chain(domain, statement.direction, statement.repeated.by)
        if statement.hooks == {"prerouting"} and (statement.rule.chain.table.key, guard) in self.checked:
            guard = inputs.input_chain(guard)
        return f"jump {guard}"


def needs_of(
    program: Program,
    roles: Mapping[str, Role],
    queues: Mapping[str, Queues],
    mark: Chain,
    host: Inputs = inputs.NO_INPUTS,
) -> Needs:
    """Those of a program whose domains have these roles and queues, on such a host; `mark` goes into each table."""
    return _Maker(program, roles, queues, mark, host).needs()


class _Maker:
    """One pass over the domains: what begins chains of the file, what its tables get, and the tables of domains."""

    def __init__(
        self,
        program: Program,
        roles: Mapping[str, Role],
        queues: Mapping[str, Queues],
        mark: Chain,
        host: Inputs,
    ) -> None:
        self._program, self._roles, self._queues, self._mark, self._host = program, roles, queues, mark, host
        self._checked: set[tuple[Key, str]] = set()
        self._sets = GeneratedSets(roles)
        self._heads: list[tuple[int, Rule]] = []
        self._headed: Headed = set()
        self._inserted: list[Insertion] = []
        self._tables: list[tuple[str, Table]] = []
        self._queue_chains: list[QueueChain] = []
        self._contents: dict[SetName, list[tuple[int, int]]] = {}

    def needs(self) -> Needs:
        for rule, made in self._sets.mentioned(self._program):
            comment = f"added for @{made.name}: what the domain translates"
            self._insert(rule.chain.table.key, rule, comment, self._new_sets(rule.chain.table.key, made))
        in_turn = [(domain, way, ip) for domain in self._program.domains.values() for way, ip in TAKES.items()]
        for domain, _, ip in in_turn:
            self._begin_chains(domain, ip)
        self._tables_of_the_file()
        for domain, direction, ip in in_turn:
            self._of_domain(domain, direction, ip)
        return Needs(
            tuple(self._heads),
            tuple(self._inserted),
            tuple(self._tables),
            tuple(self._queue_chains),
            self._contents,
            frozenset(self._checked),
        )

    def _insert(self, table: Key, rule: SourceRule | None, comment: str, items: Sequence[Item]) -> None:
        self._inserted.append(Insertion(table, rule, comment, tuple(items)))

    def _new_sets(self, table: Key, *wanted: GeneratedSet) -> list[Item]:
        """Those sets that the table lacks, which are noted."""
        found: list[Item] = []
        for made in wanted:
            name = SetName(*table, made.name, made.bits)
            if name not in self._contents and (*table, made.name) not in self._program.source.set_names:
                self._contents[name] = made.spans
                found.append(made)
        return found

    def _begin_chains(self, domain: Domain, ip: str) -> None:
        """Put what is to come first into the base chains of the domain's table in the file, rather than beside them."""
        source, role = self._program.source, self._roles[domain.name]
        home = chains.home(self._program, domain, ip)
        for chain in source.chains.values():
            base, first = chain.base, next((rule for rule in source.rules if rule.chain.key == chain.key), None)
            if chain.table.key != home or base is None or (base.type, base.priority) != ("filter", FIRST):
                continue
            if chain.policy != "accept" or first is None or first.insert_at is not None:
                continue
            if base.hook == "prerouting" and not chains.tracked(role, ip):
                rule = chains.untracked(domain, ends=True)
            elif base.hook == "output":
                rule = chains.sent(domain, role, ip, ends=True)
            else:
                continue
            self._heads.append((first.tokens[0].start, rule))
            self._headed.add(chain.key)

    def _own_output(self, domain: Domain, direction: str) -> str:
        """What of this node's own packets is to be taken besides what the file takes: "all", kernel "errors", or ""."""
        role, ip = self._roles[domain.name], TAKES[direction]
        answered = chains.answered_by_device(role, ip)
        if not (answered or chains.intercepted(role, ip)) or takes_all_at_output(self._program, domain, direction):
            return ""
        return "errors" if answered or "output" in self._program.hooks(domain, direction) else "all"

    def _tables_of_the_file(self) -> None:
        needed: dict[Key, dict[tuple[str, str], list[Statement]]] = {}
        for statement, domain in self._program.uses():
            wanted = needed.setdefault(statement.rule.chain.table.key, {})
            wanted.setdefault((statement.direction, domain.name), []).append(statement)
        for key, table in self._program.source.tables.items():
            mark = [self._mark]
            for (direction, name), statements in needed.get(key, {}).items():
                items = self._guard(key, self._program.domains[name], direction, statements)
                self._insert(key, statements[0].rule, f"added for xlat {direction} {name}", [*items, *mark])
                mark = []
            if mark and table.blocks:
                self._insert(key, None, "", mark)

    def _guard(self, key: Key, domain: Domain, direction: str, statements: Sequence[Statement] = ()) -> list[Item]:
        """The chains that statements of a table, or its own output chain, jump to, and those behind them."""
        by: dict[Repeat, list[Statement]] = {}
        for statement in statements:
            by.setdefault(statement.repeated.by, []).append(statement)
        at_home = key == chains.home(self._program, domain, TAKES[direction])
        output = not statements or bool(at_home and self._own_output(domain, direction))
        if output:
            by.setdefault("", [])
        made = [
            chain
            for repeat, some in by.items()
            for chain in self._guards(key, domain, direction, some, repeat, output=output and not repeat)
        ]
        behind = chains.queue_chains(*key, domain, direction, self._queues[domain.name])
        self._queue_chains += behind
        native = f"@{set_name(domain.name, 'native')} "
        named = any(native in rule.text for one in made for rule in one.rules if isinstance(rule, Rule))
        sets = self._new_sets(key, self._sets.of(domain, "native")) if named else []
        return [*sets, *made, *(chain.value() for chain in behind)]

    def _guards(
        self,
        key: Key,
        domain: Domain,
        direction: str,
        statements: Sequence[Statement],
        repeat: Repeat,
        *,
        output: bool,
    ) -> list[Chain]:
        """The chain that these statements, which may be repeated in one way, jump to; that of the host's checks ahead
        of it. `output`: the domain's own output chain does, too."""
        hooks = {hook for statement in statements for hook in statement.hooks}
        spared = implied(self._program, statements, domain, self._roles[domain.name], self._headed)
        if output:
            hooks.add("output")
            tells = chains.answered_by_device(self._roles[domain.name], TAKES[direction])  # what nfxlat sends, ahead
            spared = spared | {"sent"} if tells else spared - {"sent"}
        queues = self._queues[domain.name]
        guard = chains.guard(domain, direction, key[0], hooks, spared, queues, repeat, self._host)
        ahead: list[Chain] = []
        if any(statement.hooks == {"prerouting"} for statement in statements):
            ahead = inputs.input_chains(domain, direction, key[0], guard.name, self._host, spared)
            self._checked |= {(key, guard.name)} if ahead else set()
        return [*ahead, guard]

    def _of_domain(self, domain: Domain, direction: str, ip: str) -> None:
        """What the domain needs whatever the rules select: at home in the file, or in a table of its own."""
        home = chains.home(self._program, domain, ip)
        key, output = chains.table_of(self._program, domain, ip), self._own_output(domain, direction)
        headed = (self._program.source.chains[name].base for name in self._headed if name[:2] == home)
        hooks = {base.hook for base in headed if base is not None}
        reassembled = any(statement.reassembled for statement in self._program.of(domain, direction))
        items = [
            *(self._new_sets(key, self._sets.of(domain, direction)) if output or reassembled else ()),
            *chains.domain_chains(domain, self._roles[domain.name], ip, hooks, output, reassembled=reassembled),
        ]
        guard = chains.guard_chain(domain, direction)
        there = home is not None and any((c.family, c.table, c.guard) == (*key, guard) for c in self._queue_chains)
        if output and not there:  # a table of the file that has the own one's name is replaced, whatever it holds
            items += self._guard(key, domain, direction)
        if home is not None:
            self._insert(home, None, f"added for {domain.name}", items)
        else:
            self._tables.append((domain.name, Table(*key, (self._mark, *items))))
