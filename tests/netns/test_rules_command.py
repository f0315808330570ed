"""`nfxlat rules load` and `unload` against a kernel."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from rule_file import ROUTER, write

from nfxlat import config
from nfxlat.cli import main
from nfxlat.errors import OperatorError
from nfxlat.lab.netns import Namespace
from nfxlat.lab.topology import DOMAIN
from nfxlat.nft.kernel import compat, load, ruleset
from nfxlat.nft.language.compile import compile_rules
from nfxlat.nft.language.program import program
from nfxlat.queues import Queues

pytestmark = pytest.mark.netns
DOMAINS = config.parse(DOMAIN, "lab").domains

BYSTANDER = """\
table ip bystander {
	set s { type ipv4_addr; elements = { 192.0.2.1 }; }
}
"""
RULES = f"{ROUTER}\n{BYSTANDER}"
INET = """\
table inet mine {
	chain both {
		ip daddr 198.51.100.0/24 xlat to siit0
		ip6 daddr 2001:db8:64::/96 xlat from siit0
	}
	chain prerouting { type filter hook prerouting priority -450; goto both; }
	chain output { type filter hook output priority -450; goto both; }
}
"""
COMMANDS = """\
add table ip mine
add chain ip mine c { type filter hook prerouting priority -450; }
add rule ip mine c ip daddr 198.51.100.0/24 xlat to siit0 comment "by command"
"""


@pytest.fixture
def node() -> Iterator[Namespace]:
    with Namespace("rules") as namespace, namespace.entered():
        yield namespace


def load_rules(file: str, *arguments: str) -> int:
    """`nfxlat rules load` of the file, for the lab's domain; its exit status."""
    toml = Path(file).with_name("siit0.toml")
    toml.write_text(DOMAIN)
    return main(["rules", "load", file, "--config", str(toml), *arguments])


@pytest.mark.parametrize("text", [RULES, INET, COMMANDS], ids=["block", "inet", "commands"])
def test_what_load_loads_unload_removes_and_nothing_else(
    node: Namespace, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    load.run('table ip other { chain c { type filter hook input priority 0; accept comment "not ours"; }; }')
    before = load.run("list ruleset")
    file = write(tmp_path, text)
    assert load_rules(file) == 0
    tables = load.run("list tables").splitlines()
    assert {"table ip xlat_siit0", "table ip6 xlat_siit0", "table ip other"} < set(tables)
    assert sum(" mine" in table for table in tables) == len({line for line in tables if " mine" in line}) > 0
    assert main(["rules", "unload", file]) == 0
    assert load.run("list ruleset") == before
    assert "table ip other" not in capsys.readouterr().out


@pytest.mark.parametrize("text", [RULES, INET, COMMANDS], ids=["block", "inet", "commands"])
def test_every_queue_chain_queues_first_and_then_drops(node: Namespace, tmp_path: Path, text: str) -> None:
    file = write(tmp_path, text)
    assert load_rules(file, "--queue", "20") == 0
    compiled = compile_rules(program(text, file, DOMAINS), queues=Queues(20))
    assert len(compiled.queue_chains) >= 4
    assert {chain.queue for chain in compiled.queue_chains} == {20, 21}
    for chain in compiled.queue_chains:
        rules = listed(chain.family, chain.table, chain.chain)
        assert len(rules) == 2
        natively = re.search(r"queue (?:num|to) (\d+)", rules[0])
        numbers = [int(natively[1])] if natively else compat.queues(chain.family, chain.table, chain.chain)
        assert numbers == [chain.queue]
        assert "drop comment" in rules[1]


def listed(family: str, table: str, chain: str) -> list[str]:
    lines = load.run(f"list chain {family} {table} {chain}").splitlines()
    return [line for line in lines if "comment" in line and "#" not in line.split("comment")[0]]


def test_loading_again_takes_the_place_of_the_former(node: Namespace, tmp_path: Path) -> None:
    file = write(tmp_path, RULES)
    assert load_rules(file) == 0
    first = load.run("list ruleset")
    assert load_rules(file) == 0
    assert load.run("list ruleset") == first
    write(tmp_path, COMMANDS)
    assert load_rules(file) == 0
    assert "bystander" not in load.run("list tables")
    assert main(["rules", "unload", file]) == 0
    assert load.run("list ruleset") == ""


def test_a_table_of_somebody_else_is_not_added_to(
    node: Namespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    load.run("table ip mine { chain theirs { }; }")
    before = load.run("list ruleset")
    file = write(tmp_path, RULES)
    assert load_rules(file) == 2
    assert "table ip mine: the table already exists" in capsys.readouterr().err
    assert load.run("list ruleset") == before
    write(tmp_path, "table ip mine\ndelete table ip mine\n" + RULES)
    assert load_rules(file) == 0
    assert "theirs" not in load.run("list ruleset")


@pytest.mark.parametrize("former", [False, True])
def test_a_complaint_of_nft_names_the_line_of_the_file_and_changes_nothing(
    node: Namespace, tmp_path: Path, capsys: pytest.CaptureFixture[str], former: bool
) -> None:
    file = write(tmp_path, RULES)
    if former:
        assert load_rules(file) == 0
    before = load.run("list ruleset")
    broken = RULES.replace("table ip bystander {", "table ip bystander {\n\tset { }")
    line = broken.splitlines().index("\tset { }") + 1
    write(tmp_path, broken)
    assert load_rules(file) == 2
    assert f"{file}:{line}: syntax error" in capsys.readouterr().err
    assert load.run("list ruleset") == before


def test_a_load_that_cannot_open_its_queues_leaves_nothing(
    node: Namespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def refuse(*arguments: object) -> None:
        calls.append(arguments)
        if len(calls) == 3:
            raise OperatorError("no target")

    monkeypatch.setattr(compat, "insert_queue_rule", refuse)
    compiled = compile_rules(program(RULES, "x", DOMAINS), native=False)
    with pytest.raises(OperatorError, match="no target"):
        ruleset.install(compiled, "x")
    assert len(calls) == 3
    assert load.run("list ruleset") == ""


def test_included_files_are_found_beside_the_file(node: Namespace, tmp_path: Path) -> None:
    write(tmp_path, "define pool = { 198.51.100.0/24 }\n", "addresses.nft")
    file = write(tmp_path, RULES.replace(RULES.splitlines()[0], 'include "addresses.nft"'))
    assert os.getcwd() != str(tmp_path)
    assert load_rules(file) == 0
    assert "198.51.100.0/24" in load.run("list chain ip mine prerouting")


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"], ids=["", "BOM"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"], ids=["LF", "CRLF"])
def test_files_of_other_systems_are_loaded_included_ones_too(
    node: Namespace, tmp_path: Path, capsys: pytest.CaptureFixture[str], bom: bytes, end: bytes
) -> None:
    def write_so(name: str, text: str) -> str:
        (tmp_path / name).write_bytes(bom + text.encode().replace(b"\n", end))
        return str(tmp_path / name)

    write_so("inner.nft", "define pool = { 198.51.100.0/24 }\n")
    write_so("addresses.nft", f'include "{tmp_path}/inner.nft"\n')
    file = write_so("mine.nft", RULES.replace(RULES.splitlines()[0], 'include "addresses.nft"'))
    assert load_rules(file) == 0, capsys.readouterr().err
    assert "198.51.100.0/24" in load.run("list chain ip mine prerouting")
    write_so("inner.nft", "define other = 1\ndefine pool = }\ndefine more = 2\n")
    assert load_rules(file) == 2
    assert f"{tmp_path}/inner.nft:2:" in capsys.readouterr().err


def test_unloading_what_is_not_loaded_says_so(
    node: Namespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path, RULES)
    assert main(["rules", "unload", file]) == 0
    assert "nothing is loaded from" in capsys.readouterr().err
    assert ruleset.loaded_from(ruleset.owner_of(file)) == []


def test_a_chain_that_is_not_there_has_no_queues(node: Namespace) -> None:
    assert compat.queues("ip", "none", "c") == []
