"""The programs of `nfxlat run --setup`: each is sound, names no address, and goes into two tables."""

import re
from ipaddress import IPv4Network, IPv6Network
from itertools import pairwise
from pathlib import Path

import pytest

from nfxlat.judgement import Severity
from nfxlat.lab.example_rules import FILES, example
from nfxlat.nft.check.judge import check
from nfxlat.nft.language.builtin import compile_builtin, contents, owner, tables, text
from nfxlat.nft.language.compile import Compiled
from nfxlat.nft.language.program import program
from nfxlat.nft.shipped import RULES
from nfxlat.queues import Queues
from nfxlat.terms import Model, Role
from nfxlat.xlat.domain import Domain
from nfxlat.xlat.eamt import Eamt

GOLDEN = Path(__file__).parents[1] / "golden"
CASES: tuple[tuple[Role, Model], ...] = (
    ("router", "hook"),
    ("host", "hook"),
    ("router", "route"),
    ("router", "device"),
)
EACH = pytest.mark.parametrize(("role", "model"), CASES)
QUEUED = pytest.mark.parametrize(("role", "model"), CASES[:3])


def domain(*hosts: str, name: str = "siit0", pool4: str = "198.51.100.0/24") -> Domain:
    pairs = [(IPv4Network(host), IPv6Network(f"2001:db8:2::{n:x}")) for n, host in enumerate(hosts, 1)]
    prefix6 = IPv6Network("2001:db8:64::/96")
    return Domain(name, prefix6=prefix6, pool4=(IPv4Network(pool4),), eamt=Eamt(pairs))


def compiled(role: Role, model: Model, some: Domain, workers: int = 1) -> Compiled:
    return compile_builtin(some, role, model, Queues(7, workers), native=True)


@EACH
def test_the_text_is_a_sound_program_without_an_address(role: Role, model: Model) -> None:
    source = text("siit0", role, model)
    found = program(source, "x.nft", (domain("203.0.113.2"),))
    assert [finding for finding in check(found) if finding.severity is not Severity.NOTE] == []
    assert not re.search(r"\d+\.\d+\.\d+|2001:", source)
    assert len(found.statements) == {"device": 0, "hook": 4 if role == "router" else 3, "route": 4}[model]


@EACH
def test_compiled_it_equals_its_golden_file(role: Role, model: Model) -> None:
    """tests/golden: for a name with marks in it, natively."""
    name = next(name for name, case in FILES.items() if case == (role, model))
    assert (
        compiled(role, model, domain("203.0.113.2", name="clat-1_a")).text == (GOLDEN / f"rules-{name}.nft").read_text()
    )


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_rules_is_what_the_generator_makes(name: str) -> None:
    assert (RULES / f"{name}.nft").read_text() == example(name), "python -m nfxlat.lab.example_rules rules"


def test_no_other_file_of_rules_is_there() -> None:
    assert {file.stem for file in RULES.glob("*.nft")} == set(FILES)


@EACH
def test_all_is_in_one_table_a_family(role: Role, model: Model) -> None:
    result = compiled(role, model, domain("203.0.113.2"))
    assert set(result.tables) == {("ip", "nfxlat_siit0"), ("ip6", "nfxlat_siit0")}
    assert len(re.findall(r"^table \w+ \w+ \{", result.text, re.MULTILINE)) == 2
    assert {(name.family, name.table) for name in result.sets} <= set(result.tables)
    assert result.owner == owner("siit0")
    assert result.clears


@EACH
def test_a_change_of_mappings_and_of_pool4_changes_elements_alone(role: Role, model: Model) -> None:
    one = compiled(role, model, domain("203.0.113.2"))
    other = compiled(role, model, domain("203.0.113.3", "203.0.113.4", pool4="192.0.2.0/24"))
    assert one.structure == other.structure != ""
    assert list(one.sets) == list(other.sets)
    if model == "hook":
        assert one.sets != other.sets
        assert one.text != other.text


@QUEUED
def test_rules_have_comments_of_their_own_and_none_bypasses(role: Role, model: Model) -> None:
    for family in compiled(role, model, domain("203.0.113.2"), 3).text.split("table ip6 nfxlat_siit0 {"):
        words = ("iifname", "oifname", "ip", "ip6", "fib", "meta", "goto", "queue", "drop", "iif")
        rules = [line.strip() for line in family.splitlines() if line.strip().split(" ")[0] in words]
        assert len(rules) > 10
        comments = [rule.rpartition(' comment "')[2] for rule in rules]
        assert len(set(comments)) == len(comments)
        assert not any("bypass" in rule or "type nat" in rule for rule in rules)


@QUEUED
def test_what_comes_back_ends_at_the_first_rule_and_its_mark_is_taken_off(role: Role, model: Model) -> None:
    tables = compiled(role, model, domain("203.0.113.2")).text.split("table ip6 nfxlat_siit0 {")
    for family, table in zip(("ip", "ip6"), tables, strict=True):
        follows = dict(pairwise(line.strip() for line in table.splitlines()))
        first = follows["type filter hook prerouting priority -450; policy accept;"] if family == "ip6" else ""
        if role == "router":
            first = follows["type filter hook prerouting priority -450; policy accept;"]
        assert first.startswith('iifname "siit0" notrack return') == (role == "router" or family == "ip6")
        tracked = role == "host" and family == "ip"
        assert f"meta mark 0x6e667800{'' if tracked else ' notrack'} meta mark set 0" in table


def test_a_name_that_begins_with_a_digit_is_no_obstacle() -> None:
    result = compiled("router", "hook", domain("203.0.113.2", name="6to4"))
    assert "set _6to4_to {" in result.text
    assert "ip daddr @_6to4_to jump xlat_to_6to4" in result.text


def test_queue_chains_tell_their_queues() -> None:
    result = compile_builtin(domain(), "router", "hook", Queues(20, 2), native=False)
    assert result.closed
    assert "queue num" not in result.text
    found = {(chain.family, chain.chain): chain.queue for chain in result.queue_chains}
    assert found["ip", "xlat_to_siit0_plain"] == 20
    assert found["ip6", "xlat_from_siit0_tcp_1"] == 23
    assert len(found) == 8


@EACH
def test_contents_are_those_of_what_is_compiled(role: Role, model: Model) -> None:
    some = domain("203.0.113.2")
    result = compiled(role, model, some)
    assert contents(some, role, model) == result.sets
    assert set(tables("siit0")) == set(result.tables)
    assert bool(result.sets) == (model != "device")
