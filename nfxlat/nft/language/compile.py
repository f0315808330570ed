"""From nft with `xlat` to plain nft: each statement becomes a jump, and nfxlat.nft.language.chains says what is added.

Every other character of the file stays where it is, and `Compiled.origin` leads from a line of the output back to the
file, so that nft's own complaints name a place that the operator knows.
"""

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nfxlat import config
from nfxlat.nft.language import chains, sets
from nfxlat.nft.language.chains import QueueChain, Style
from nfxlat.nft.language.meaning import Unresolved
from nfxlat.nft.language.program import Program, Statement
from nfxlat.nft.language.sets import Contents, SetName
from nfxlat.nft.language.source import Rule
from nfxlat.nft.language.statement import TAKES
from nfxlat.queues import DEFAULT_QUEUE, PER_WORKER
from nfxlat.terms import FAMILIES
from nfxlat.xlat.domain import Domain
from nfxlat.xlat.prefixes import Span

OWNER = "nfxlat_file_"


@dataclass(frozen=True, slots=True)
class Compiled:
    """Plain nft. `origins[n]` is the file's line of output line n + 1, 0 where it was added."""

    text: str
    origins: tuple[int, ...]
    queue_chains: tuple[QueueChain, ...]
    owner: str
    tables: tuple[tuple[str, str], ...]  # (family, name) of all that the file names and of those added
    clears: bool  # the file itself flushes or deletes
    sets: Contents  # what the generated sets hold
    structure: str  # the same whatever the mappings are; "" where a former load cannot be compared with it

    def origin(self, line: int) -> int:
        """The file's line of an output line, counted from 1; 0 where it has none."""
        return self.origins[line - 1] if 0 < line <= len(self.origins) else 0


def owner_of(path: str) -> str:
    """The name of the chain that marks the tables loaded from the file `path`."""
    return f"{OWNER}{zlib.crc32(str(Path(path).resolve()).encode()):08x}"


def queues(program: Program, first: int = DEFAULT_QUEUE) -> dict[str, int]:
    """The first queue of each domain in use."""
    return {name: first + PER_WORKER * n for n, name in enumerate(program.domains)}


def compile_rules(
    program: Program,
    *,
    native: bool = True,
    explain: bool = False,
    first_queue: int = DEFAULT_QUEUE,
    owner: str | None = None,
) -> Compiled:
    """The program as plain nft; not `native`: with queue chains that only drop, for the compat target to open.

    `owner` is the name of the chain that marks its tables (of the file's path, if None). Raises OperatorError at the
    first statement whose domain is not known, or which no base chain reaches.
    """
    source = program.source
    for statement in program.statements:
        if isinstance(statement.meaning, Unresolved):
            raise source.fault("; ".join(statement.meaning.faults), statement.operand, statement.meaning.remedy)
        if not statement.hooks:
            what = f"no base chain of this file reaches chain {statement.rule.chain.name}"
            raise source.fault(what, statement.at, "jump to it from a chain with a hook, or give it one")
    numbers = queues(program, first_queue)
    owner = owner or owner_of(source.name)
    style = Style(numbers if native else None, explain, owner, Path(source.name).name)
    text, origins, found = _rendered(program, numbers, style)
    comparable = not (source.removes or source.includes)
    return Compiled(
        text,
        origins,
        found,
        owner,
        (*source.tables, *((ip, chains.own_table(d)) for d in program.domains.values() for ip in FAMILIES)),
        source.removes,
        _sets(program),
        _rendered(program, numbers, replace(style, explain=False, elements=False))[0] if comparable else "",
    )


def _sets(program: Program) -> dict[SetName, list[Span]]:
    found = {SetName(*rule.chain.table.key, made.name, made.bits): made.spans for rule, made in sets.mentioned(program)}
    for domain in program.domains.values():
        if program.role(domain) == "router":
            for ip in FAMILIES:
                made = chains.translated_set(domain, ip)
                found[SetName(ip, chains.own_table(domain), made.name, made.bits)] = made.spans
    return found


def _rendered(
    program: Program, numbers: dict[str, int], style: Style
) -> tuple[str, tuple[int, ...], tuple[QueueChain, ...]]:
    source = program.source
    edits = [(s.at.start, s.end, f"jump {chains.guard_chain(d, s.direction)}") for s, d in program.uses()]
    added, found = _table_additions(program, style)
    text, origins = _edited(source.text, [*edits, *added])
    tail, more = _tail(program, numbers, style)
    added_lines = tail.count("\n") - (tail.startswith("\n") and not text.endswith("\n"))
    return text + tail, (*origins, *[0] * added_lines), (*found, *more)


Edit = tuple[int, int, str]  # put this text in the place of these characters


def _table_additions(program: Program, style: Style) -> tuple[list[Edit], list[QueueChain]]:
    """The chains that statements jump to, each once in its table: in the block of its first statement, or before its
    first command.
    """
    source = program.source
    needed: dict[tuple[str, str], dict[tuple[str, str], tuple[Domain, list[Statement]]]] = {}
    for statement, domain in program.uses():
        wanted = needed.setdefault(statement.rule.chain.table.key, {})
        wanted.setdefault((statement.direction, domain.name), (domain, []))[1].append(statement)
    edits: list[Edit] = []
    found: list[QueueChain] = []
    for rule, made in sets.mentioned(program):
        comment = f"added for @{made.name}: what the domain translates"
        lines = made.lines(elements=style.elements)
        edits.append(_insertion(program, rule, rule.tokens[0].start, comment, lines))
    for (family, name), table in source.tables.items():
        marked = False
        for (direction, _), (domain, statements) in needed.get((family, name), {}).items():
            hooks = {hook for statement in statements for hook in statement.hooks}
            lines = chains.statement_chains(domain, direction, family, hooks, style)
            if not marked:
                lines += ["", *chains.owner_chain(style)]
                marked = True
            first = statements[0]
            comment = f"added for xlat {direction} {domain.name}"
            edits.append(_insertion(program, first.rule, first.at.start, comment, lines))
            found += chains.queue_chains(family, name, domain, direction)
        if not marked and table.blocks:
            edits.append(_before_brace(source.text, table.blocks[-1][1].start, chains.owner_chain(style)))
    return edits, found


def _insertion(program: Program, rule: Rule, at: int, comment: str, lines: Sequence[str]) -> Edit:
    """Into the block of the table that holds offset `at` of the rule, or before the command that it is."""
    table, text = rule.chain.table, program.source.text
    lines = [f"# {comment}", *lines]
    for opened, closed in table.blocks:
        if opened.start < at < closed.start:
            return _before_brace(text, closed.start, lines)
    command = rule.insert_at
    assert command is not None  # a rule outside a table's block is a command
    block = "\n".join(f"\t{line}" if line else "" for line in lines)
    return command, command, f"table {table.family} {table.name} {{\n{block}\n}}\n"


def _before_brace(text: str, brace: int, lines: Sequence[str]) -> Edit:
    """Put `lines` in front of a table's closing brace, one level deep."""
    start = text.rfind("\n", 0, brace) + 1
    block = "".join(f"\t{line}\n" if line else "\n" for line in lines)
    if text[start:brace].strip():
        return brace, brace, f"\n{block}"
    return start, start, f"\n{block}"


def _edited(text: str, edits: list[Edit]) -> tuple[str, list[int]]:
    """The text with its edits, and for each line of it the line of `text` that it begins in; 0 for an added one."""
    pieces: list[tuple[str, int]] = []
    position = 0
    for start, end, piece in sorted(edits, key=lambda edit: edit[:2]):
        pieces.append((text[position:start], _line(text, position)))
        pieces.append((piece, _line(text, start) if start != end else 0))  # a statement, or an addition
        position = end
    pieces.append((text[position:], _line(text, position)))
    origins: list[int] = []
    fresh = True
    for piece, line in pieces:
        for number, part in enumerate(re.findall(r"[^\n]*\n|[^\n]+", piece)):
            if fresh:
                origins.append(line + number if line else 0)
            fresh = part.endswith("\n")
    return "".join(piece for piece, _ in pieces), origins


def _line(text: str, offset: int) -> int:
    return text.count("\n", 0, offset) + 1


def _tail(program: Program, numbers: dict[str, int], style: Style) -> tuple[str, list[QueueChain]]:
    """The domains' own tables, and what the host needs as comments."""
    lines: list[str] = []
    found: list[QueueChain] = []
    routed: set[tuple[str, bool]] = set()  # 192.0.0.8 is every domain's, and has one route
    if not program.source.text.endswith("\n"):
        lines.append("")
    for domain in program.domains.values():
        role = program.role(domain)
        routes = [route for route in chains.terminal_routes(domain, role) if _key(route) not in routed]
        routed.update(map(_key, routes))
        if style.elements:
            comments = chains.host_comments(domain, role, numbers[domain.name], _brief(domain), routes)
            lines += ["", *(f"# {line}" for line in comments)]
        for direction, ip in TAKES.items():
            own_output = "output" in program.hooks(domain, direction)
            lines += ["", *chains.domain_table(domain, role, ip, own_output, style)]
            if chains.intercepted(role, ip):
                found += chains.queue_chains(ip, chains.own_table(domain), domain, direction)
    return "".join(f"{line}\n" for line in lines), found


def _key(route: str) -> tuple[str, bool]:
    """What tells the routes of `ip route add [unreachable] PREFIX ...` apart."""
    words = route.partition(" route add ")[2].split()
    return words[words[0] == "unreachable"], words[0] == "unreachable"


def _brief(domain: Domain) -> list[str]:
    """The domain as TOML, cut where its EAMT is long."""
    lines = config.render(domain).splitlines()
    if len(lines) <= 2 * chains.ROUTES_SHOWN:
        return lines
    shown = lines[: 2 * chains.ROUTES_SHOWN]
    return [*shown, f"  ... and {len(lines) - len(shown)} lines more"]
