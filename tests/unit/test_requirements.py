"""tests/REQUIREMENTS.md keeps its word: a row for each clause, a test or a reason in each row, and the tests pass.

| id | source | level | asks | `path::name`, ... or `deviation: why` or `untestable: why` |
"""

import ast
import re
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


@pytest.mark.last
def test_every_named_test_has_passed(request: pytest.FixtureRequest, outcomes: dict[str, set[str]]) -> None:
    """Of those that this run has collected; a run of everything, which `contrib/test` makes, must have them all."""
    collected = {item.nodeid.partition("[")[0] for item in request.session.items}
    root = request.config.rootpath
    named = {f"{(TESTS / path).relative_to(root).as_posix()}::{name}" for row in ROWS for path, name in row.tests}
    assert {test: outcomes.get(test) for test in named & collected if outcomes.get(test) != {"passed"}} == {}
    config = request.config
    if config.args_source is config.ArgsSource.TESTPATHS and not config.option.keyword and not config.option.markexpr:
        assert named - collected == set()


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
