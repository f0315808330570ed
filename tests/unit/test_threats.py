"""contrib/dev/THREATS.md: each threat has a test, and each test that it names is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "contrib/dev/THREATS.md").read_text()
TESTS = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", TEXT)))
WHO = ("The IPv4 side", "The IPv6 side", "A local user", "A container with CAP_NET_RAW", "Another namespace")


def rows() -> list[str]:
    lines = [line for line in TEXT.splitlines() if line.startswith("| ")]
    return [line for line in lines if not line.startswith("| tries ")]


@pytest.mark.parametrize(("file", "name"), TESTS)
def test_the_test_is_there(file: str, name: str) -> None:
    assert re.search(rf"^def {name}\(", (ROOT / file).read_text(), re.MULTILINE)


def test_each_threat_has_one() -> None:
    assert len(rows()) > 25
    assert [row for row in rows() if not re.search(r"`tests/[\w/]+\.py::\w+`", row)] == []


def test_everybody_who_may_try_has_a_table() -> None:
    assert [who for who in WHO if f"\n## {who}\n" not in TEXT] == []
