"""Every judgement of the checker is shown right by packets: tests in tests/netns bear its code in the mark `advice`."""

import ast
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import pytest

from nfxlat.judgement import Judgement
from nfxlat.nft.check import judgements

ROOT = Path(__file__).parents[2]
for _module in iter_modules(judgements.__path__, f"{judgements.__name__}."):
    import_module(_module.name)
TABLE: list[Judgement] = [judgement for table in Judgement.__subclasses__() for judgement in table]
CODES = {judgement.code for judgement in TABLE}
# judgements that say nothing about packets
NO_PACKET = {
    "domain": "names no domain: nothing can be loaded, and no form of the rule without one exists",
    "ruleset": "says that the loaded rules cannot be read, so they are not judged",
    "legacy-iptables": "says that there are rules of another kind, which are not read",
    "manager": "says that a network manager runs and is not kept off the device; what it does to it is its own choice",
}


def calls(tree: ast.AST, name: str) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == name:
            yield node


def shown() -> set[str]:
    found: set[str] = set()
    for file in sorted((ROOT / "tests/netns").glob("test_rules*.py")):
        for call in calls(ast.parse(file.read_text()), "advice"):
            found |= {ast.literal_eval(argument) for argument in call.args}
    return found


def test_each_judgement_has_a_test_with_packets_or_a_reason_why_not() -> None:
    assert CODES - shown() - set(NO_PACKET) == set()


def test_the_ledger_names_only_judgements_that_exist() -> None:
    assert len(CODES) >= 30
    assert (shown() | set(NO_PACKET)) - CODES == set()
    assert shown() & set(NO_PACKET) == set()


@pytest.mark.parametrize("judgement", TABLE, ids=str)
def test_a_judgement_says_what_goes_wrong_in_one_line(judgement: Judgement) -> None:
    for text in (judgement.what, judgement.effect, judgement.instead):
        assert "\n" not in text
        assert text == text.strip()
    assert judgement.effect or judgement.code == "prefix"
