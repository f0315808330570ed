"""The cases, through nfxlat's translator in this process; and what is said of translators that do otherwise."""

from collections.abc import Callable

import pytest

from nfxlat.conformance import campaign, suite
from nfxlat.conformance.drivers.core import CoreLink
from nfxlat.conformance.judge import Received
from nfxlat.conformance.suite import Case
from nfxlat.errors import OperatorError

WHOLE = suite.load()
# the core is no router, which forwards what is not translated, and gets no superframes
NOT_ITS = ("7915-4.6-selection", "superframes")
SECTIONS = [section for section in WHOLE.titles if section not in NOT_ITS]


def failed(cases: list[Case], change: Callable[[bytes], list[bytes]] | None = None) -> dict[str, tuple[str, ...]]:
    """What fails of the cases where `change` is made to all that comes out."""
    found: dict[str, tuple[str, ...]] = {}
    for name in dict.fromkeys(case.domain for case in cases):
        link = CoreLink(WHOLE.domains[name])
        if change is not None:
            link = Changed(WHOLE.domains[name], change)
        own = [case for case in cases if case.domain == name]
        report = campaign.through_link(WHOLE, own, link, "core", "core")
        found |= {one.case.id: one.lines for one in report.outcomes if one.result == campaign.FAILED}
    return found


class Changed(CoreLink):
    """The core, with something wrong."""

    def __init__(self, domain: suite.Domain, change: Callable[[bytes], list[bytes]]) -> None:
        super().__init__(domain)
        self._change = change

    def receive(self, timeout: float) -> list[Received]:
        return [(side, new) for side, octets in super().receive(timeout) for new in self._change(octets)]


@pytest.mark.parametrize("section", SECTIONS)
def test_every_case_of_a_section_passes(section: str) -> None:
    assert failed([case for case in WHOLE.cases if case.section == section]) == {}


def some(name: str) -> list[Case]:
    found = [case for case in WHOLE.cases if name in case.name and case.section not in NOT_ITS]
    assert found, name
    return found


def test_what_is_doubled_is_told() -> None:
    ((_, lines), *_) = failed(some("a header of 20 octets: UDP, 1000 octets"), lambda octets: [octets, octets]).items()
    assert lines[0].startswith("unwanted on the IPv4 side: ")


def test_what_is_lost_is_told() -> None:
    sent = some("a header of 20 octets: UDP, 1000 octets")
    lines = failed(sent, lambda octets: [] if len(octets) > 1000 else [octets])[sent[0].id]
    assert lines == ("nothing came out on the IPv4 side, wanted: " + lines[0].rpartition("wanted: ")[2],)


def test_what_is_out_of_order_is_told() -> None:
    sent = some("in the order in which they came: UDP")
    held: list[bytes] = []

    def later(octets: bytes) -> list[bytes]:
        if len(octets) in (49, 29) and not held:  # the first of either family
            held.append(octets)
            return []
        taken, held[:] = held[:], []
        return [octets, *taken]

    found = failed(sent, later)
    assert len(found) == len(sent)
    assert {line for lines in found.values() for line in lines} == {"out of order"}


def test_a_fragment_that_is_lost_or_too_long_is_told() -> None:
    sent = some("DF=0, 1500 octets of UDP: fragments of at most 1280")
    lost = failed(sent, lambda octets: [] if len(octets) == 296 else [octets])
    assert lost[sent[0].id] == ("the fragments end at octet 1232 of 1480",)
    none = failed(sent, lambda octets: [] if octets[6] == 44 else [octets])
    assert none[sent[0].id][0].startswith("nothing came out on the IPv6 side, wanted: fragments of ")
    twice = failed(sent, lambda octets: [octets, octets] if len(octets) == 296 else [octets])
    assert "the datagram are missing or come twice" in twice[sent[0].id][0]


def test_the_nearest_of_the_outcomes_that_are_allowed_is_told() -> None:
    sent = some("a length without an extension becomes 0: 4 to 6")
    lines = failed(sent, lambda octets: [octets[:7] + b"\x01" + octets[8:] if octets[6] == 58 else octets])[sent[0].id]
    assert [line for line in lines if "unwanted" in line] == []
    assert any(line.startswith("ip6.hlim 1, 63 wanted") for line in lines)


def test_what_does_not_translate_at_all_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nfxlat.conformance.run.READY", 0.0)
    sent = some("a header of 20 octets")
    found = failed(sent, lambda octets: [])
    assert len(found) == len(sent)
    for (line,) in found.values():
        assert "not all of a UDP datagram and a TCP segment each way have crossed" in line


def test_cases_are_chosen_by_section_number_and_words() -> None:
    assert {case.section for case in campaign.chosen(WHOLE, ["7915-4"])} == {
        section for section in WHOLE.titles if section.startswith("7915-4")
    }
    assert [case.number for case in campaign.chosen(WHOLE, (), ["16"])] == [16]
    assert campaign.chosen(WHOLE, (), ["mpls LABELS"])
    assert {case.domain for case in campaign.chosen(WHOLE, domains=["pool"])} == {"pool"}
    with pytest.raises(OperatorError, match="no case is like that"):
        campaign.chosen(WHOLE, ["7915-4"], ["MPLS"])
