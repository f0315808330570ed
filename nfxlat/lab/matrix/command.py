"""`python -m nfxlat.lab.matrix`: measure the matrix on this kernel, and show or record it.

python -m nfxlat.lab.matrix [CELL ...]          Markdown
python -m nfxlat.lab.matrix --json [CELL ...]   JSON: kernel, rule_path, cells {cell: {question: answer}}
python -m nfxlat.lab.matrix --record            tests/matrix/KERNEL-PATH.json, and the pages that show it
python -m nfxlat.lab.matrix --pages             the pages alone
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from nfxlat.errors import OperatorError
from nfxlat.lab.matrix import questions, table
from nfxlat.lab.matrix.cells import CELLS
from nfxlat.lab.netns import signals_raise

PAGES = (("contrib/doc/explanation/matrix.md", table.page), ("contrib/netdev.md", table.essence))


def measured(names: Sequence[str] = ()) -> table.Cells:
    """The answers of the cells of these names, or of all."""
    found = {}
    for cell in CELLS:
        if not names or cell.name in names:
            with cell.running() as running:
                found[cell.name] = questions.measure(running)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m nfxlat.lab.matrix", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cells", nargs="*", metavar="CELL", help=", ".join(cell.name for cell in CELLS))
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--json", action="store_true", help="print JSON")
    how.add_argument("--record", action="store_true", help="record it for this kernel, and update the pages")
    how.add_argument("--pages", action="store_true", help="update the pages from the records, without measuring")
    chosen = parser.parse_args(arguments)
    if unknown := set(chosen.cells) - {cell.name for cell in CELLS}:
        parser.error(f"no such cell: {', '.join(sorted(unknown))}")
    try:
        with signals_raise():
            return _run(chosen.cells, chosen.json, chosen.record, chosen.pages)
    except OperatorError as error:
        print(f"nfxlat: {error}", file=sys.stderr)
        return 2


def _run(names: Sequence[str], as_json: bool, record: bool, pages: bool) -> int:
    if not pages:
        found = table.record_of(measured(names))
        if record:
            print(f"recorded in {table.write(table.RECORDS, found)}")
        elif as_json:
            print(json.dumps(found, indent=1))
        else:
            print("\n".join(table.tables(found["cells"])))
    if record or pages:
        renew_pages(Path())
    return 0


def renew_pages(root: Path) -> None:
    """Show the records of the checkout `root` where they are shown."""
    for page, content in PAGES:
        table.renew(root / page, content(root / table.RECORDS))
