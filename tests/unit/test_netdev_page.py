"""contrib/netdev.md keeps its word: each test that it refers to exists, and it reads as a mail."""

import ast
import re
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
