"""All that a program of rules needs besides its own text, as values, and where it goes."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from nfxlat.nft.language import chains
from nfxlat.nft.language.chains import QueueChain
from nfxlat.nft.language.emit import Chain, GeneratedSet, Item, Rule, Table
from nfxlat.nft.language.implied import Headed, implied, takes_all_at_output
from nfxlat.nft.language.program import Program, Statement
from nfxlat.nft.language.sets import GeneratedSets, SetName, set_name
from nfxlat.nft.language.source import Rule as SourceRule
from nfxlat.nft.language.source import Table as SourceTable
from nfxlat.nft.language.statement import TAKES
from nfxlat.queues import Queues
from nfxlat.terms import FAMILIES, Role
from nfxlat.xlat.domain import Domain
from nfxlat.xlat.prefixes import Span

AHEAD = -450  # the priority at which packets are taken: what is to come first begins a chain that is there already


@dataclass(frozen=True, slots=True)
class Addition:
    """Items for a table of the file: into the block that holds `rule` or before the command that it is; None: into the
    table's last block.
    """

    table: tuple[str, str]
    rule: SourceRule | None
    comment: str
    items: tuple[Item, ...]


@dataclass(slots=True)
class Additions:
    """`heads` are rules ahead of the rule at an offset; `tables` those of domains that have none in the file."""

    domains: tuple[str, ...]
    heads: list[tuple[int, Rule]] = field(default_factory=list)
    inserted: list[Addition] = field(default_factory=list)
    tables: list[tuple[str, Table]] = field(default_factory=list)
    queue_chains: list[QueueChain] = field(default_factory=list)
    contents: dict[SetName, list[Span]] = field(default_factory=dict)

    @classmethod
    def of(cls, program: Program, roles: Mapping[str, Role], queues: Mapping[str, Queues], mark: Chain) -> "Additions":
        """Those of a program whose domains have these roles and queues; `mark` goes into each table."""
        return _Maker(program, roles, queues, mark).made


class _Maker:
    def __init__(self, program: Program, roles: Mapping[str, Role], queues: Mapping[str, Queues], mark: Chain) -> None:
        self._program, self._roles, self._queues, self._mark = program, roles, queues, mark
        self._sets = GeneratedSets(roles)
        self._headed: Headed = set()
        self._headed_hooks: dict[tuple[str, str], set[str]] = {}
        self.made = Additions(tuple(program.domains))
        self._mentioned_sets()
        self._heads()
        self._output: dict[tuple[str, str], str] = {
            (d.name, ip): self._own_output(d, ip) for d in program.domains.values() for ip in FAMILIES
        }
        self._tables_of_the_file()
        for domain in program.domains.values():
            for direction, ip in TAKES.items():
                self._of_domain(domain, direction, ip)

    def _mentioned_sets(self) -> None:
        for rule, made in self._sets.mentioned(self._program):
            comment = f"added for @{made.name}: what the domain translates"
            self._insert(rule.chain.table.key, rule, comment, self._new(rule.chain.table.key, made))

    def _new(self, table: tuple[str, str], *wanted: GeneratedSet) -> list[Item]:
        """Those sets that the table lacks, which are noted."""
        found: list[Item] = []
        for made in wanted:
            name = SetName(*table, made.name, made.bits)
            if name not in self.made.contents and (*table, made.name) not in self._program.source.set_names:
                self.made.contents[name] = made.spans
                found.append(made)
        return found

    def _insert(self, table: tuple[str, str], rule: SourceRule | None, comment: str, items: list[Item]) -> None:
        self.made.inserted.append(Addition(table, rule, comment, tuple(items)))

    def _home(self, domain: Domain, ip: str) -> SourceTable | None:
        """The file's own table for all that the domain needs in the family."""
        table = self._program.source.tables.get((ip, chains.home_table(domain)))
        return table if table is not None and table.blocks else None

    def _heads(self) -> None:
        source = self._program.source
        for domain in self._program.domains.values():
            role = self._roles[domain.name]
            for ip in FAMILIES:
                home, hooks = self._home(domain, ip), self._headed_hooks.setdefault((domain.name, ip), set())
                for chain in source.chains.values():
                    base = chain.base if chain.table is home and chain.policy == "accept" else None
                    first = next((rule for rule in source.rules if rule.chain is chain), None)
                    if base is None or (base.type, base.priority) != ("filter", AHEAD):
                        continue
                    if first is None or first.insert_at is not None:
                        continue
                    if base.hook == "prerouting" and not chains.tracked(role, ip):
                        rule = chains.untracked(domain, ends=True)
                    elif base.hook == "output":
                        rule = chains.sent(domain, role, ip, ends=True)
                    else:
                        continue
                    self.made.heads.append((first.tokens[0].start, rule))
                    self._headed.add(chain.key)
                    hooks.add(base.hook)

    def _own_output(self, domain: Domain, ip: str) -> str:
        """What of this node's own packets is to be taken besides what the file takes."""
        direction = next(d for d, family in TAKES.items() if family == ip)
        if not chains.intercepted(self._roles[domain.name], ip):
            return ""
        if takes_all_at_output(self._program, domain, direction):
            return ""
        return "errors" if "output" in self._program.hooks(domain, direction) else "all"

    def _tables_of_the_file(self) -> None:
        source = self._program.source
        needed: dict[tuple[str, str], dict[tuple[str, str], list[Statement]]] = {}
        for statement, domain in self._program.uses():
            wanted = needed.setdefault(statement.rule.chain.table.key, {})
            wanted.setdefault((statement.direction, domain.name), []).append(statement)
        for key, table in source.tables.items():
            marked = False
            for (direction, name), statements in needed.get(key, {}).items():
                domain = self._program.domains[name]
                items = self._guard(key, domain, direction, statements)
                if not marked:
                    items.append(self._mark)
                    marked = True
                self._insert(key, statements[0].rule, f"added for xlat {direction} {name}", items)
            if not marked and table.blocks:
                self._insert(key, None, "", [self._mark])

    def _guard(self, key: tuple[str, str], domain: Domain, direction: str, statements: list[Statement]) -> list[Item]:
        """The guard chain of a table and those behind it."""
        role, ip = self._roles[domain.name], TAKES[direction]
        hooks = {hook for statement in statements for hook in statement.hooks}
        spared = implied(self._program, statements, domain, role, self._headed) if statements else frozenset()
        home = self._home(domain, ip)
        if not statements or (home is not None and home.key == key and self._output[domain.name, ip]):
            hooks.add("output")
            spared -= {"sent"}
        queues = self._queues[domain.name]
        guard = chains.guard(domain, direction, key[0], hooks, spared, queues.workers)
        behind = chains.queue_chains(*key, domain, direction, queues)
        self.made.queue_chains += behind
        native = set_name(domain.name, "native")
        needed = any(f"@{native} " in rule.text for rule in guard.rules if isinstance(rule, Rule))
        sets = self._new(key, self._sets.of(domain, "native")) if needed else []
        return [*sets, guard, *(chain.value() for chain in behind)]

    def _of_domain(self, domain: Domain, direction: str, ip: str) -> None:
        home, output = self._home(domain, ip), self._output[domain.name, ip]
        key = home.key if home is not None else (ip, chains.own_table(domain))
        headed = self._headed_hooks[domain.name, ip]
        items: list[Item] = []
        if output:
            items += self._new(key, self._sets.of(domain, direction))
        items += chains.domain_chains(domain, self._roles[domain.name], ip, headed, output)
        there = any(
            c.family == ip and c.table == key[1] and c.guard == chains.guard_chain(domain, direction)
            for c in self.made.queue_chains
        )
        if output and not there:
            items += self._guard(key, domain, direction, [])
        if home is not None:
            self._insert(key, None, f"added for {domain.name}", items)
        else:
            self.made.tables.append((domain.name, Table(*key, (self._mark, *items))))
