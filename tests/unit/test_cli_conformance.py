"""`nfxlat conformance`: what it lists and shows, and how it answers mistakes."""

import pytest

from nfxlat import cli
from nfxlat.conformance import suite


@pytest.fixture(autouse=True)
def _as_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)


def test_cases_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["conformance", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(suite.load().cases)
    assert lines[0].endswith(")")


def test_a_case_is_shown_with_its_packets(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["conformance", "--show", "--case", "TOS 0x28 is the Traffic Class"]) == 0
    told = capsys.readouterr().out
    assert "send ip A > B tos 0x28 / udp / 20\n" in told
    assert "want ip6 A > B tclass 0x28 / udp / 20\n" in told
    assert "A is an IPv4 host" in told


def test_domains_are_told_with_what_to_set_up(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["conformance", "--domains"]) == 0
    told = capsys.readouterr().out
    assert "route: 2001:db8:64::c613:0/113 via 2001:db8:1::2, IPv6 hosts inside prefix6\n" in told
    assert all(f"\n{name}: " in f"\n{told}" for name in suite.load().domains)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--driver", "jool"], "--driver: no such driver 'jool'; choose from hook, "),
        (["--ipv4-side", "a"], "--ipv4-side, --ipv6-side: two interfaces are needed; name one for each"),
        (["--ipv4-side", "a", "--ipv6-side", "a"], "--ipv4-side, --ipv6-side: two interfaces are needed"),
        (["--ipv4-side", "a", "--ipv6-side", "b", "--driver", "hook"], "--driver, --ipv4-side: cannot be combined"),
        (["--ipv4-side", "a", "--ipv6-side", "b", "--domain", "x"], "--domain: no such domain 'x'; see --domains"),
        (["--json", "--ktap"], "--json, --ktap, --markdown: cannot be combined; choose one"),
        (["--json", "--markdown"], "--json, --ktap, --markdown: cannot be combined; choose one"),
        (["--section", "9999"], "no case is like that; nfxlat conformance --list"),
        (["--case", "9999"], "no case is like that; nfxlat conformance --list"),
        (["--ipv4-side", "lo", "--ipv6-side", "absent"], "interface absent: No such device"),
    ],
)
def test_a_mistake_is_one_line(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    for own in ([], ["--ktap"]):  # with --ktap it is no SKIP
        assert cli.main(["conformance", *words, *own]) == 2
        streams = capsys.readouterr()
        assert (streams.out, streams.err.count("\n")) == ("", 1)
        assert told in streams.err


def test_without_root_it_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert cli.main(["conformance"]) == 2
    assert capsys.readouterr().err.endswith("need root; run as root\n")


def test_ktap_that_cannot_run_is_a_skip(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Documentation/dev-tools/ktap.rst, kselftest.h: KSFT_SKIP."""
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert cli.main(["conformance", "--ktap"]) == 4
    assert capsys.readouterr().out.startswith("KTAP version 1\n1..0 # SKIP ")
