"""Every judgement of the checker is shown right by packets: tests in tests/netns bear its code in the mark `advice`."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = [*sorted((ROOT / "nfxlat/nft/check").glob("*.py")), *sorted((ROOT / "nfxlat/service").glob("live_*.py"))]
# judgements that say nothing about packets
NO_PACKET = {
    "domain": "names no domain: nothing can be loaded, and no form of the rule without one exists",
    "ruleset": "says that the loaded rules cannot be read, so they are not judged",
    "manager": "says that a network manager runs and is not kept off the device; what it does to it is its own choice",
}


def calls(tree: ast.AST, *names: str) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            if name in names:
                yield node


def strings(node: ast.AST) -> list[str]:
    return [n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)]


def judgements() -> set[str]:
    """First arguments of `Finding(...)` and of helpers called `finding`; of a variable, the values it is given."""
    found = set()
    for source in SOURCES:
        tree = ast.parse(source.read_text())
        for call in calls(tree, "Finding", "finding"):
            first = call.args[0]
            if not isinstance(first, ast.Name):
                found |= set(strings(first))
                continue
            for node in ast.walk(tree):
                if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == first.id:
                    value = node.value
                    while isinstance(value, ast.IfExp):
                        found |= set(strings(value.body))
                        value = value.orelse
                    found |= set(strings(value))
    return found


def shown() -> set[str]:
    found: set[str] = set()
    for file in sorted((ROOT / "tests/netns").glob("test_rules*.py")):
        for call in calls(ast.parse(file.read_text()), "advice"):
            found |= {text for argument in call.args for text in strings(argument)}
    return found


def test_each_judgement_has_a_test_with_packets_or_a_reason_why_not() -> None:
    assert judgements() - shown() - set(NO_PACKET) == set()


def test_the_ledger_names_only_judgements_that_exist() -> None:
    assert (shown() | set(NO_PACKET)) - judgements() == set()
    assert shown() & set(NO_PACKET) == set()
