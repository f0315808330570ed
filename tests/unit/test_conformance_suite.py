"""The cases as data: they are read, they can be built, and they hold each requirement that shows outside."""

from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from ledger import LEDGER, rows_of

from nfxlat.conformance import deviations, suite
from nfxlat.conformance.drivers.registry import ALL
from nfxlat.conformance.hosts import Hosts
from nfxlat.conformance.judge import octets_of
from nfxlat.conformance.show import domain_lines, show
from nfxlat.conformance.suite import Suite
from nfxlat.errors import OperatorError

WHOLE = suite.load()
NOT_ITS = ("7915-4.6-selection", "superframes")  # sections of which the core sees nothing: test_conformance_core.py

# MUST, MUSTNOT, SHOULD and SNOT of the ledger that no packet shows from outside
NOT_SEEN = {
    "4.2-08": "how much of an extension that does not fit is kept is left open",
    "4.4-04": "a matter of settings, and of time",
    "5.4-03": "a matter of settings, and of time",
    "A-06": "a configuration that is refused",
    "N-03": "the operator's choice of a pool",
    "N-04": "the choice out of a pool: any address of it is as good",
    "N-05": "an object that nobody sends; what its successor asks for is D-02",
}


def test_there_are_enough_cases_and_each_can_be_built() -> None:
    assert len(WHOLE.cases) >= 900
    for case in WHOLE.cases:
        sent, names = octets_of(case, Hosts(case.number, WHOLE.domains[case.domain].prefix6))
        assert sent
        assert names


def test_each_case_can_be_told_from_others_by_an_address() -> None:
    seen: dict[tuple[str, bytes], int] = {}
    for case in WHOLE.cases:
        hosts = Hosts(case.number, WHOLE.domains[case.domain].prefix6)
        _, names = octets_of(case, hosts)
        marks = hosts.marks(names)
        assert marks, case.id
        for mark in marks:
            assert seen.setdefault((case.domain, mark), case.number) == case.number, case.id


def test_cases_name_rows_of_the_ledger_and_hold_all_that_shows_outside() -> None:
    rows = {row.clause: row for row in rows_of(LEDGER.read_text())}
    held = {clause for case in WHOLE.cases for clause in case.holds}
    assert held <= set(rows)
    must = {clause for clause, row in rows.items() if row.level in ("MUST", "MUSTNOT", "SHOULD", "SNOT")}
    untestable = {clause for clause, row in rows.items() if row.shown_by.startswith("untestable")}
    assert must - held - untestable == set(NOT_SEEN) - untestable
    assert set(NOT_SEEN) <= must


def test_a_row_that_leaves_it_to_the_cases_has_one_that_the_core_is_held_to() -> None:
    core = {clause for case in WHOLE.cases if case.section not in NOT_ITS for clause in case.holds}
    left = {row.clause for row in rows_of(LEDGER.read_text()) if "test_every_case_of_a_section_passes" in row.shown_by}
    assert len(left) > 50
    assert left - core == set()


def test_every_case_has_a_clause_and_every_domain_a_use() -> None:
    assert [case.id for case in WHOLE.cases if not case.clause.startswith(("RFC ", "draft-"))] == []
    assert {case.domain for case in WHOLE.cases} == set(WHOLE.domains)
    assert len({case.id for case in WHOLE.cases}) == len(WHOLE.cases)


def test_every_known_deviation_fits_a_case_and_a_driver() -> None:
    for entry in deviations.load():
        assert set(entry.drivers) <= set(ALL)
        assert entry.whose in deviations.WHOSE
        for pattern in entry.cases:
            assert any(fnmatchcase(case.id, pattern) for case in WHOLE.cases), pattern


def test_a_case_and_a_domain_can_be_shown() -> None:
    for case in WHOLE.cases[::50]:
        lines = list(show(WHOLE, case))
        assert any(line.startswith("  send ") for line in lines)
        assert any(line.startswith("  want ") for line in lines)
    for domain in WHOLE.domains.values():
        assert next(iter(domain_lines(domain))).startswith(domain.name)


CASE = """\
[[case]]
name = "{name}"
clause = "RFC 1 1"
level = "MUST"
send = "ip A > B / udp / {data}"
want = "nothing"
"""
DOMAIN = '[base]\nabout = "any"\nprefix6 = "2001:db8:64::/96"\n'


def made(folder: Path, cases: str, domains: str = DOMAIN) -> Suite:
    (folder / "domains.toml").write_text(domains)
    (folder / "some.toml").write_text(cases)
    return suite.load(folder)


def test_each_row_makes_a_case(tmp_path: Path) -> None:
    rows = 'each = """\nname | data\none | 1\ntwo | 2\n"""\n'
    found = made(tmp_path, CASE + rows)
    assert [case.name for case in found.cases] == ["one", "two"]
    assert [case.texts["send"] for case in found.cases] == [("ip A > B / udp / 1",), ("ip A > B / udp / 2",)]


@pytest.mark.parametrize(
    ("cases", "domains", "fault"),
    [
        (CASE, DOMAIN, "no column for 'ip A > B / udp / {data}'"),
        (CASE + 'each = """\nname | data\none\n"""', DOMAIN, "a row of 1 cells under 2"),
        (CASE + 'each = """\nname | data\none | 1\none | 2\n"""', DOMAIN, "two cases are named 'one'"),
        (CASE + 'sent = "x"\neach = """\nname | data\none | 1\n"""', DOMAIN, "no such key: sent"),
        (CASE.replace("MUST", "MAYBE") + 'each = """\nname | data\none | 1\n"""', DOMAIN, "level MAYBE"),
        (CASE + 'domain = "x"\neach = """\nname | data\none | 1\n"""', DOMAIN, "no such domain 'x'"),
        (CASE + 'each = """\nname | data\none | 1 ttl\n"""', DOMAIN, "has no field 'ttl'"),
        (CASE.replace("clause", "where"), DOMAIN, "no such key: where"),
        ('[[case]]\nname = "x"\n', DOMAIN, "clause, level, send, want missing"),
        ("[[case]", DOMAIN, "some.toml: "),
        ("", DOMAIN + "mtu5 = 3\n", "base has no key mtu5"),
    ],
)
def test_a_mistake_in_the_data_is_told_in_one_line(tmp_path: Path, cases: str, domains: str, fault: str) -> None:
    with pytest.raises(OperatorError) as told:
        made(tmp_path, cases, domains)
    assert fault in str(told.value)
    assert "\n" not in str(told.value)
