"""What the suite reports: table, JSON, JUnit XML, KTAP; and what is known of failures."""

import json
from xml.etree import ElementTree

from nfxlat.conformance import deviations, formats, suite, table
from nfxlat.conformance.campaign import FAILED, PASSED, SKIPPED, Outcome, Report
from nfxlat.conformance.deviations import Deviation

WHOLE = suite.load()
FIRST, SECOND, THIRD = WHOLE.cases[0], WHOLE.cases[1], WHOLE.cases[-1]


def report(name: str = "hook") -> Report:
    outcomes = (
        Outcome(FIRST, PASSED),
        Outcome(SECOND, FAILED, ("ip.df 1, 0 wanted", "ip.sum 0x1, 0x2 wanted\x00")),
        Outcome(THIRD, SKIPPED, ("it has no such setting",)),
    )
    return Report(name, f"translator {name}", "1.0", outcomes, (1, 1), 2.5)


def test_ktap_has_a_plan_a_line_a_case_and_diagnostics_before_it() -> None:
    lines = list(formats.as_ktap([report()]))
    assert lines[:2] == ["KTAP version 1", "1..3"]
    assert lines[2] == f"ok 1 {FIRST.id}"
    told = lines.index(f"not ok 2 {SECOND.id}")
    assert "# ip.df 1, 0 wanted" in lines[3:told]
    assert any(line.startswith("# send ") for line in lines[3:told])
    assert lines[told + 1] == f"ok 3 {THIRD.id} # SKIP it has no such setting"
    assert lines[-1] == "# Totals: pass:1 fail:1 xfail:0 xpass:0 skip:1 error:0"


def test_ktap_of_several_translators_has_a_subtest_for_each() -> None:
    lines = list(formats.as_ktap([report("hook"), report("tayga")]))
    assert lines[:4] == ["KTAP version 1", "1..2", "  KTAP version 1", "  1..3"]
    assert [line for line in lines if not line.startswith(" ")][2:] == ["not ok 1 hook", "not ok 2 tayga"]


def test_junit_counts_and_tells() -> None:
    top = ElementTree.fromstring(formats.as_junit(WHOLE, [report()]))
    groups = top.findall("testsuite")
    assert sum(int(group.attrib["tests"]) for group in groups) == 3
    (failure,) = top.iter("failure")
    assert failure.attrib["message"] == f"{SECOND.level}, {SECOND.clause}"
    assert failure.text is not None
    assert failure.text.endswith("ip.df 1, 0 wanted\nip.sum 0x1, 0x2 wanted?")
    assert len(list(top.iter("skipped"))) == 1


def test_json_has_each_case_and_the_sums() -> None:
    whole = json.loads(json.dumps(formats.as_json(WHOLE, [report()], "2026-01-02 03:04+00:00")))
    (translator,) = whole["translators"]
    assert (translator[PASSED], translator[FAILED], translator[SKIPPED]) == (1, 1, 1)
    assert translator["cases"][1]["lines"] == ["ip.df 1, 0 wanted", "ip.sum 0x1, 0x2 wanted\x00"]
    assert set(whole["sections"]) == set(WHOLE.titles)


def test_table_has_a_line_a_section_and_a_column_a_translator() -> None:
    rows = table.rows(WHOLE, [report("hook"), report("tayga")])
    assert rows[0] == ["section", "cases", "hook", "tayga"]
    assert rows[-1] == ["all", "3", "1 pass, 1 fail, 1 skipped", "1 pass, 1 fail, 1 skipped"]
    assert len(rows) == 4
    assert table.markdown(rows)[1] == "|---|---|---|---|"


def test_a_failure_is_sorted_to_the_first_deviation_that_fits() -> None:
    df = Deviation(("hook",), ("*",), frozenset({"ip.df"}), "nfxlat", "why")
    ttl = Deviation(("hook",), ("*",), frozenset({"ip.ttl"}), "nfxlat", "why")
    other = Deviation(("tayga",), ("*",), frozenset(), "TAYGA", "why")
    found, unknown = deviations.sorted_out(report(), (ttl, other, df))
    assert [outcome.case for outcome in found[df]] == [SECOND]
    assert found[ttl] == []
    assert other not in found
    assert unknown == []
    assert [one.case for one in deviations.sorted_out(report(), (ttl,))[1]] == [SECOND]
