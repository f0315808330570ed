"""tests/REQUIREMENTS.md, read: a row for each requirement."""

import re
from pathlib import Path
from typing import NamedTuple

TESTS = Path(__file__).parent.parent
LEDGER = TESTS / "REQUIREMENTS.md"
NAMED = re.compile(r"`([\w/]+\.py)::(test_\w+)`")


class Row(NamedTuple):
    """One requirement. `tests`: path below tests/, and name."""

    clause: str
    source: str
    level: str
    asks: str
    shown_by: str

    @property
    def tests(self) -> list[tuple[str, str]]:
        return NAMED.findall(self.shown_by)


def rows_of(text: str) -> list[Row]:
    cells = [[cell.strip() for cell in line.strip("|\n").split("|")] for line in text.splitlines() if line[:2] == "| "]
    return [Row(*row) for row in cells if row[0] != "id"]


def ids_of(text: str) -> list[str]:
    return text.rpartition("```\n")[0].rpartition("```\n")[2].split()
