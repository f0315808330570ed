"""contrib/netdev.md keeps its word: each test that it refers to exists, and it reads as a mail."""

import ast
import re
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT, _, LIST = (ROOT / "contrib/netdev.md").read_text().partition("\nTests\n-----\n")
REFERENCE = re.compile(r"\[(\d+)\]")
ENTRY = re.compile(r"^ ?\[(\d+)\] (tests/[\w/]+\.py)::(test_\w+)$", re.MULTILINE)


def functions_of(path: Path) -> set[str]:
    return {node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}


def test_every_test_that_is_referred_to_exists() -> None:
    entries = ENTRY.findall(LIST)
    assert len(entries) == len(LIST.split("\n")) - 2  # an empty line on either side
    assert {(path, name) for _, path, name in entries if name not in functions_of(ROOT / path)} == set()


def test_references_and_list_are_the_same_numbers() -> None:
    numbers = [int(number) for number, _, _ in ENTRY.findall(LIST)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert {int(number) for number in REFERENCE.findall(TEXT)} == set(numbers)


def test_it_fits_a_mail() -> None:
    assert len(TEXT.splitlines()) > 100
    assert [line for line in TEXT.splitlines() if len(line) > 76] == []


ROWS = TEXT.partition("<!-- capabilities: begin -->")[2].partition("<!-- capabilities: end -->")[0].splitlines()
COLUMNS = (26, 39, 51, 63)  # where the cells of a model begin


def cells() -> dict[str, list[str]]:
    """The table's cells by row; what is indented further goes on with the row above."""
    found: dict[str, list[str]] = {}
    name = ""
    for line in filter(None, ROWS[2:]):
        bounds = [*COLUMNS, len(line)]
        here = [line[start:end].strip() for start, end in pairwise(bounds)]
        title = line[: COLUMNS[0]].strip()
        if here[0] or not name:
            name, found[title] = title, here
        else:
            found[name] = [f"{cell} {more}".strip() for cell, more in zip(found[name], here, strict=True)]
    return found


def test_each_capability_of_each_model_is_shown_or_explained() -> None:
    notes = set(re.findall(r"^ \((\w)\) ", TEXT, re.MULTILINE))
    assert len(cells()) >= 15
    used: set[str] = set()
    for name, models in cells().items():
        for cell in models:
            letters = set(re.findall(r"\((\w)\)", cell))
            assert letters or REFERENCE.search(cell), (name, cell)
            used |= letters
    assert used == notes


def test_each_case_of_the_rules_is_in_the_table() -> None:
    tests = {number: path for number, path, _ in ENTRY.findall(LIST)}
    named = {tests[number] for models in cells().values() for cell in models for number in REFERENCE.findall(cell)}
    assert {f"tests/netns/{path.name}" for path in (ROOT / "tests/netns").glob("test_xlat_*.py")} - named == set()
