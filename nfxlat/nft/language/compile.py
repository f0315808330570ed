"""From nft with `xlat` to plain nft: each statement becomes a jump, and nfxlat.nft.language.chains says what is added.

Every other character of the file stays where it is, and `Compiled.origin` leads from a line of the output back to the
file, so that nft's own complaints name a place that the operator knows.
"""

import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from nfxlat.nft.language import chains
from nfxlat.nft.language.chains import QueueChain
from nfxlat.nft.language.emit import Rule, Style, item_lines, replaced
from nfxlat.nft.language.inputs import NO_INPUTS, Inputs
from nfxlat.nft.language.meaning import Unresolved
from nfxlat.nft.language.needs import Insertion, Needs, needs_of
from nfxlat.nft.language.program import Program
from nfxlat.nft.language.sets import Contents
from nfxlat.nft.language.source import Source
from nfxlat.queues import Queues
from nfxlat.terms import Role

OWNER = f"{chains.MARK}file_"
NO_NOTES: Mapping[str, Sequence[str]] = {}


@dataclass(frozen=True, slots=True)
class Compiled:
    """Plain nft, to be loaded in one transaction. `origins[n]` is the file's line of output line n + 1, 0 where it was
    added. `closed`: its queue chains only drop, and are to be opened by the compat target.
    """

    text: str
    origins: tuple[int, ...]
    closed: bool
    queue_chains: tuple[QueueChain, ...]
    owner: str
    tables: tuple[tuple[str, str], ...]  # (family, name) of all that the file names and of those added
    clears: bool  # the text itself flushes or deletes
    sets: Contents  # what the generated sets hold
    structure: str  # the same whatever the mappings are; "" where a former load cannot be compared with it
    over: Callable[[], str]  # the text to put over a former load: without rules in queue chains, and nothing is removed

    def origin(self, line: int) -> int:
        """The file's line of an output line, counted from 1; 0 where it has none."""
        return self.origins[line - 1] if 0 < line <= len(self.origins) else 0


def owner_of_path(path: str) -> str:
    """The name of the chain that marks the tables loaded from the file of that path, as it is spelt."""
    return f"{OWNER}{zlib.crc32(path.encode()):08x}"


def queues_of(program: Program, first: Queues) -> dict[str, Queues]:
    """Those of each domain in use, in turn."""
    found: dict[str, Queues] = {}
    queues = first
    for name in program.domains:
        found[name] = queues
        queues = queues.next()
    return found


def compile_rules(
    program: Program,
    *,
    native: bool = True,
    explain: bool = False,
    queues: Queues | None = None,
    owner: str | None = None,
    origin: str = "",
    role: Role | None = None,
    replace: bool = False,
    notes: Mapping[str, Sequence[str]] = NO_NOTES,
    inputs: Inputs = NO_INPUTS,
) -> Compiled:
    """The program as plain nft; not `native`: with queue chains that only drop, for the compat target to open.

    `queues` are those of the first domain. `owner` is the name of the chain that marks its tables (None: of the
    source's name), and `origin` what that chain says of itself. `role` is every domain's, where rules do not tell.
    `replace`: its tables take the place of any of that name. `notes`, by domain, become comments ahead of its tables:
    what the host needs. `inputs` is what the host checks of packets that come in.

    Raises OperatorError at the first statement whose domain is not known, or which no base chain reaches.
    """
    source = program.source
    _refuse(program)
    numbers = queues_of(program, queues or Queues())
    roles: dict[str, Role] = {name: role or program.role(domain) for name, domain in program.domains.items()}
    owner = owner or owner_of_path(source.name)
    mark = chains.owner_chain(owner, origin or f"nfxlat rules load {source.name.rpartition('/')[2]}")
    added = needs_of(program, roles, numbers, mark, inputs)
    text, origins = _rendered(program, added, Style(closed=not native, explain=explain), notes, replace)
    comparable = not (source.removes or source.includes)
    return Compiled(
        text,
        origins,
        not native,
        added.queue_chains,
        owner,
        (*source.tables, *((table.family, table.name) for _, table in added.tables)),
        source.removes or replace,
        added.contents,
        _rendered(program, added, Style(elements=False), {}, replace)[0] if comparable else "",
        lambda: _rendered(program, added, Style(over=True), {}, replace=False)[0],
    )


def _refuse(program: Program) -> None:
    source = program.source
    for statement in program.statements:
        if isinstance(statement.meaning, Unresolved):
            raise source.fault("; ".join(statement.meaning.faults), statement.operand, statement.meaning.remedy)
        if not statement.hooks:
            what = f"no base chain of this file reaches chain {statement.rule.chain.name}"
            raise source.fault(what, statement.at, "jump to it from a chain with a hook, or give it one")


Edit = tuple[int, int, str]  # put this text in the place of these characters


def _rendered(
    program: Program, added: Needs, style: Style, notes: Mapping[str, Sequence[str]], replace: bool
) -> tuple[str, tuple[int, ...]]:
    source = program.source
    edits = [(s.at.start, s.end, added.entry(s, d)) for s, d in program.uses()]
    if replace:
        edits.append((0, 0, "".join(f"{line}\n" for key in source.tables for line in replaced(*key))))
    edits += [_head(source.text, at, rule, style) for at, rule in added.heads]
    edits += [_insertion(source, insertion, style) for insertion in added.inserted]
    text, origins = _edited(source.text, edits)
    tail = "".join(f"{line}\n" for line in _tail(program, added, style, notes))
    if tail and not text.endswith("\n"):
        text += "\n"
    return text + tail, (*origins, *[0] * tail.count("\n"))


def _tail(program: Program, added: Needs, style: Style, notes: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """The domains' own tables, and what the host needs as comments."""
    for name in program.domains:
        if name in notes:
            yield from ("", *(f"# {line}" for line in notes[name]))
        for owner, table in added.tables:
            if owner == name:
                yield from ("", *table.lines(style))


def _head(text: str, at: int, rule: Rule, style: Style) -> Edit:
    """The rule ahead of the one at offset `at`."""
    start = text.rfind("\n", 0, at) + 1
    indent = text[start:at]
    if indent.strip():
        return at, at, f"{rule.lines(Style())[-1]}; "
    return start, start, "".join(f"{indent}{line}\n" for line in rule.lines(style))


def _insertion(source: Source, insertion: Insertion, style: Style) -> Edit:
    """Into the block of the table that holds the offset, or before the command that it is in."""
    lines = [f"# {insertion.comment}"] if insertion.comment else []
    lines += item_lines(insertion.items, style)
    table = source.tables[insertion.table]
    if insertion.rule is None:
        return _before_brace(source.text, table.blocks[-1][1].start, lines)
    for opened, closed in table.blocks:
        if opened.start < insertion.rule.tokens[0].start < closed.start:
            return _before_brace(source.text, closed.start, lines)
    command = insertion.rule.insert_at
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
        pieces.append((piece, _line(text, start) if start != end else 0))  # a statement, or an insertion
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
