"""The semantics matrix, measured anew on this kernel: it must be the recorded one, FILE.json of this folder.

A kernel or a cell without a record is held against the newest kernel's: what differs has to be looked at, and recorded.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from nfxlat.errors import OperatorError
from nfxlat.lab.matrix import cells, table
from nfxlat.lab.matrix.command import measured
from nfxlat.lab.matrix.questions import QUESTIONS, Answer

HERE = Path(__file__).parent

pytestmark = pytest.mark.netns


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    yield
    assert list(Path("/run/netns").glob(f"nfx-{os.getpid():x}-*")) == []


@pytest.fixture
def recorded() -> table.Cells:
    """What is recorded for this kernel, else for the newest."""
    newest = table.names(HERE)[0]
    cells = table.read(HERE, newest)
    try:
        return cells | table.read(HERE, table.name_of(table.record_of({})))
    except OperatorError as error:
        print(f"{error}; compared with {newest}")
        return cells


@pytest.mark.parametrize("cell", [cell.name for cell in cells.CELLS])
def test_cell_does_what_is_recorded(cell: str, recorded: table.Cells) -> None:
    answers: dict[str, Answer] = measured([cell])[cell]
    assert list(answers) == list(QUESTIONS)
    assert answers == recorded[cell]
