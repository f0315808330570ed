"""Load what was compiled, and take exactly that away again.

Every table that a load makes holds a chain that nothing reaches and whose name stands for the file, so that the kernel
itself remembers what came from where. Removing tables flushes what waits in queues (nfnetlink_queue.c), so a load over
a former one of the same file costs those packets; they are dropped, not leaked.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from nfxlat.errors import OperatorError
from nfxlat.nft import compat, load
from nfxlat.nft.compile import Compiled

Tables = list[tuple[str, str]]


def native() -> bool:
    """Whether this kernel takes nft's own `queue`; else the queue chains are opened by the compat target."""
    return load.queue_expression_available()


def install(
    compiled: Compiled, file: str, first_queues: dict[str, int], *, closed: bool
) -> Literal["native", "compat"]:
    """Load it in one transaction, in the place of what was loaded from the same file before.

    With `closed` it was compiled without queue rules, and a second step opens the queue chains, which drop until then.
    Raises OperatorError, and then nothing of it is loaded.
    """
    former = loaded_from(compiled.owner)
    foreign = [table for table in compiled.tables if table not in former and table in _tables()]
    if foreign and not compiled.clears:
        family, name = foreign[0]
        raise OperatorError(
            "the table exists already, and was not loaded from this file",
            where=f"table {family} {name}",
            hint=f"unload must not take away what it did not load: rename it, or nft delete table {family} {name}",
        )
    prologue = [f"delete table {family} {name}\n" for family, name in former]

    def place(line: int) -> str:
        origin = compiled.origin(line - len(prologue))
        return f"{file}:{origin}" if origin else f"{file}, what was added to it"

    load.run("".join(prologue) + compiled.text, what=file, place=place, include=Path(file).resolve().parent)
    if not closed:
        return "native"
    try:
        for chain in compiled.queue_chains:
            number = first_queues[chain.domain] + chain.offset
            comment = f"{chain.chain}-queue"
            compat.insert_queue_rule(chain.family, chain.table, chain.chain, number, comment)
    except OperatorError:
        remove(compiled.owner)
        raise
    return "compat"


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
