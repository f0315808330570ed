"""tests/REQUIREMENTS.md keeps its word: a row for each clause, a test or a reason in each row, and the tests pass.

| id | source | level | asks | `path::name`, ... or `deviation: why` or `untestable: why` |
"""

import ast
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from ledger import LEDGER, TESTS, Row, ids_of, rows_of

LEVELS = {"MUST", "MUSTNOT", "SHOULD", "SNOT", "MAY", "RULE", "OTHER", "ADV"}
REASON = re.compile(r"\b(deviation|untestable)\b[^:,]*[:,] \w.{10,}")


def lacks(row: Row) -> list[str]:
    """What keeps a row from being one."""
    faults = []
    if row.level not in LEVELS:
        faults.append(f"level {row.level}")
    if not row.source or not row.asks:
        faults.append("an empty cell")
    if not row.tests and not REASON.search(row.shown_by):
        faults.append("neither a test nor a reason")
    if row.shown_by.count("::") != len(row.tests):
        faults.append("a test that is not written `path::name`")
    if row.shown_by.startswith("untestable") and row.tests:
        faults.append("untestable, but tested")
    return faults


@cache
def functions_of(path: Path) -> frozenset[str]:
    tree = ast.parse(path.read_text()) if path.is_file() else ast.Module([], [])
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef))


TEXT = LEDGER.read_text()
ROWS = rows_of(TEXT)


def test_every_id_has_one_row() -> None:
    assert len(ROWS) > 200
    listed = ids_of(TEXT)
    assert len(set(listed)) == len(listed)
    assert [row.clause for row in ROWS] == listed


def test_every_row_has_a_test_or_a_reason() -> None:
    assert {row.clause: faults for row in ROWS if (faults := lacks(row))} == {}


def test_every_named_test_exists() -> None:
    named = {pair for row in ROWS for pair in row.tests}
    assert {(path, name) for path, name in named if name not in functions_of(TESTS / path)} == set()


SKIPPED = """
import pytest

@pytest.mark.parametrize("here", [True, False])
def test_named(here):
    assert here or pytest.skip("not here")

def test_other():
    pytest.skip("not here")
"""


def test_a_named_test_that_is_skipped_fails(tmp_path: Path) -> None:
    """In a folder of tests of its own, whose ledger names one."""
    for name in ("conftest.py", "helpers/ledger.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(TESTS / name, tmp_path / name)
    (tmp_path / "REQUIREMENTS.md").write_text("| 1-1 | 7915 | MUST | something | `test_both.py::test_named` |\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\npythonpath = helpers\nmarkers = netns\n")
    (tmp_path / "test_both.py").write_text(SKIPPED)
    command = [sys.executable, "-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider"]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert found.returncode == 1, found.stdout
    assert "1 failed, 1 passed, 1 skipped" in found.stdout
    assert "skipped, but tests/REQUIREMENTS.md names it" in found.stdout


ROW = "| 1.1-01 | 7915 1.1 | MUST | something | {} |"


@pytest.mark.parametrize(
    ("shown_by", "fault"),
    [
        ("", "neither a test nor a reason"),
        ("deviation:", "neither a test nor a reason"),
        ("see elsewhere", "neither a test nor a reason"),
        ("unit/test_a.py::test_b", "a test that is not written `path::name`"),
        ("untestable: it is only told `unit/test_a.py::test_b`", "untestable, but tested"),
    ],
)
def test_a_row_without_a_test_or_a_reason_is_found(shown_by: str, fault: str) -> None:
    (row,) = rows_of(ROW.format(shown_by))
    assert fault in lacks(row)


@pytest.mark.parametrize(
    "shown_by", ["`unit/test_a.py::test_b`", "untestable: it is only told", "deviation: on purpose; x"]
)
def test_a_row_with_one_is_not_found(shown_by: str) -> None:
    (row,) = rows_of(ROW.format(shown_by))
    assert lacks(row) == []


def test_ids_are_those_of_the_last_block() -> None:
    assert ids_of("```\nnot these\n```\n\n```\na b\nc\n```\n") == ["a", "b", "c"]
