"""Load what was compiled, and take exactly that away again.

Every table that a load makes holds a chain that nothing reaches and whose name stands for the file, so that the kernel
itself remembers what came from where. Another such chain's name stands for the text that was loaded, less the elements
of generated sets, and for the rules that it became: where both are still the same, elements alone are changed. Else the
rules are changed in place (nfxlat.nft.kernel.in_place), and where that cannot be the tables are replaced; removing them
flushes what waits in queues (nfnetlink_queue.c), and costs those packets; they are dropped, not leaked.
"""

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from nfxlat.errors import OperatorError
from nfxlat.nft.kernel import compat, elements, in_place, includes, listing, load
from nfxlat.nft.language.compile import Compiled, owner_of_path

How = Literal["native", "compat", "elements", "in place"]
Tables = list[tuple[str, str]]


def native() -> bool:
    """Whether this kernel takes nft's own `queue`; else the queue chains are opened by the compat target."""
    return load.queue_expression_available()


def install(compiled: Compiled, file: str) -> How:
    """Load it in one transaction, in the place of what was loaded from the same file before.

    What was compiled closed is opened by a second step: its queue chains drop until then.
    "elements": all but mappings was there, and elements of generated sets were changed alone; "in place": no base chain
    went, and no packet that waits in a queue. Raises OperatorError, and then nothing of it is loaded.
    """
    if update(compiled) is not None:
        return "elements"
    former = loaded_from(compiled.owner)
    _refuse_foreign(compiled, former)
    if in_place.change(compiled, former, file):
        _mark(compiled)
        return "in place"
    former = loaded_from(compiled.owner)
    prologue = [f"delete table {family} {name}\n" for family, name in former]

    def place(line: int) -> str:
        origin = compiled.origin(line - len(prologue))
        return f"{file}:{origin}" if origin else f"{file}, what was added to it"

    load.run("".join(prologue) + compiled.text, what=file, place=place, include=includes.folder_of(file))
    if not compiled.closed:
        _mark(compiled)
        return "native"
    try:
        for chain in compiled.queue_chains:
            compat.insert_queue_rule(chain.family, chain.table, chain.chain, chain.queue, chain.comment)
    except OperatorError:
        remove(compiled.owner)
        raise
    _mark(compiled)
    return "compat"


def _refuse_foreign(compiled: Compiled, former: Tables) -> None:
    foreign = [table for table in compiled.tables if table not in former and table in _tables()]
    if foreign and not compiled.clears:
        family, name = foreign[0]
        raise OperatorError(
            "the table already exists, and was not loaded from this file",
            where=f"table {family} {name}",
            hint=f"unload would remove it: rename one of the two, or nft delete table {family} {name}",
        )


def update(compiled: Compiled) -> int | None:
    """Change the elements of generated sets, where nothing else differs from what was loaded; how many spans came or
    went. None: something does.
    """
    table = _marked(compiled)
    if table is None or (table, _mark_name(compiled)) not in _chains():
        return None
    there = {name: elements.read(name) for name in compiled.sets}
    found = {name: spans for name, spans in there.items() if spans is not None}
    return elements.change(found, compiled.sets) if found.keys() == compiled.sets.keys() else None


def _mark(compiled: Compiled) -> None:
    """Have the kernel remember what was loaded."""
    if table := _marked(compiled):
        mark = f"add chain {table[0]} {table[1]} {_mark_name(compiled)}"
        load.run("\n".join([mark, *in_place.marks(compiled)]), what="rules")


def _marked(compiled: Compiled) -> tuple[str, str] | None:
    """The table that bears the mark; None where two loads cannot be compared."""
    loaded = loaded_from(compiled.owner)
    return loaded[0] if loaded and compiled.structure else None


def _mark_name(compiled: Compiled) -> str:
    text = zlib.crc32(compiled.structure.encode())
    return f"nfxlat_text_{text:08x}_{listing.fingerprint(sorted(loaded_from(compiled.owner))):08x}"


def owner_of(file: str) -> str:
    """The name of the chain that marks the tables loaded from a file, however its path is spelt."""
    return owner_of_path(str(Path(file).resolve()))


def remove(owner: str) -> Tables:
    """Delete the tables that were loaded from the file with this mark, in one transaction; return them."""
    found = loaded_from(owner)
    if found:
        load.run("".join(f"delete table {family} {name}\n" for family, name in found), what="unload")
    return found


def loaded_from(owner: str) -> Tables:
    """The tables that hold the chain `owner`, in the kernel's order."""
    return [table for table, chain in _chains() if chain == owner]


def _tables() -> Tables:
    lines = load.run("list tables").splitlines()
    return [(words[1], words[2]) for line in lines if len(words := line.split()) == 3]


def _chains() -> Iterator[tuple[tuple[str, str], str]]:
    table = ("", "")
    for line in load.run("list chains").splitlines():
        match line.split():
            case ["table", family, name, "{"]:
                table = (family, name)
            case ["chain", name, "{"]:
                yield table, name
