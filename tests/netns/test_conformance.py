"""`nfxlat conformance` through nfxlat and TAYGA: what fails is what is known, and all that is known fails still."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nfxlat.conformance import campaign, deviations, suite
from nfxlat.conformance.drivers.own import Own
from nfxlat.conformance.drivers.registry import ALL
from nfxlat.conformance.stand import TESTER4, TESTER6, both
from nfxlat.errors import OperatorError
from nfxlat.lab.capture import Capture
from nfxlat.lab.netns import Namespace, link
from nfxlat.lab.tayga import started, tayga_binary

WHOLE = suite.load()
SOME = ("base", "ipv4-600")  # domains in which models may differ

pytestmark = pytest.mark.timeout(900)  # 110 s where three run side by side on a busy machine


def held(name: str, domains: tuple[str, ...] = (), sections: tuple[str, ...] = ()) -> campaign.Report:
    """The report, after a look at what fails."""
    cases = campaign.chosen(WHOLE, sections, domains=domains)
    report = campaign.through(WHOLE, cases, ALL[name])
    found, unknown = deviations.sorted_out(report, deviations.load())
    assert {one.case.id: one.lines for one in unknown} == {}
    if not domains:
        assert [entry.why for entry, outcomes in found.items() if not outcomes] == []
    return report


def test_hook_model() -> None:
    """All cases, in a minute at most on an idle machine."""
    report = held("hook")
    assert len(report.outcomes) == len(WHOLE.cases)
    assert report.count(campaign.SKIPPED) == 0
    assert report.hops == (1, 1)


@pytest.mark.parametrize("name", ["device", "ip"])
def test_other_models(name: str) -> None:
    assert held(name, SOME).hops == ((2, 2) if name == "device" else (1, 1))


def test_what_is_translated_at_ingress() -> None:
    """Each case between hosts that the kernel knows already; the sections about what it takes."""
    sections = ("7915-4.1-header", "7915-5.1", "7915-4.5", "7915-5.5", "superframes")
    assert held("hook-offload", ("base",), sections).hops == (1, 1)


@pytest.mark.skipif(tayga_binary() is None, reason="TAYGA is not installed")
def test_tayga() -> None:
    report = held("tayga")
    assert report.hops == (3, 3)
    assert report.count(campaign.PASSED) > 500


@pytest.mark.skipif(tayga_binary() is None, reason="TAYGA is not installed")
@pytest.mark.parametrize(
    ("configuration", "told"),
    [
        ("nonsense\n", "tayga --mktun: "),
        ("ipv4-addr 192.0.2.1\nprefix 2001:db8:64::/96\ndata-dir /proc/none\n", "tayga: ended with status 1"),
    ],
)
def test_a_tayga_that_does_not_start_is_told(tmp_path: Path, configuration: str, told: str) -> None:
    with Namespace("tayga") as namespace, pytest.raises(OperatorError, match=told):
        started(namespace, tmp_path, configuration, ["198.51.100.0/24"])


@pytest.fixture(scope="module")
def between() -> Iterator[tuple[Namespace, str]]:
    """The tester's namespace, beside a translator that is set up already, and a third interface there."""
    with both(ALL["hook"], WHOLE.domains["base"]) as (tester, _), Namespace("bystander") as bystander:
        for namespace in (tester, bystander):
            namespace.sysctl("net.ipv6.conf.default.disable_ipv6", 1)
        link(tester, "third", bystander, "other")
        yield tester, "third"


def test_one_that_is_set_up_already(between: tuple[Namespace, str]) -> None:
    """Through the two interfaces that are named, and through no other."""
    tester, third = between
    words = ["--ipv4-side", TESTER4, "--ipv6-side", TESTER6, "--section", "4884,7915-5.2", "--json"]
    with Capture(tester, third) as capture:
        done = tester.run([sys.executable, "-m", "nfxlat", "conformance", *words], timeout=120.0, check=False)
        assert capture.drain() == []
    assert done.returncode == 0, done.stdout + done.stderr
    (translator,) = json.loads(done.stdout)["translators"]
    assert translator["failed"] == translator["skipped"] == 0
    assert translator["passed"] > 100


def test_where_nobody_answers_each_case_fails(between: tuple[Namespace, str]) -> None:
    tester, _ = between
    words = ["--ipv4-side", TESTER4, "--ipv6-side", TESTER6, "--translator4", "192.0.2.77", "--ktap"]
    words += ["--section", "4884"]
    done: subprocess.CompletedProcess[str] = tester.run(
        [sys.executable, "-m", "nfxlat", "conformance", *words], timeout=60.0, check=False
    )
    assert done.returncode == 1
    assert done.stdout.count("\nnot ok ") == done.stdout.count("nobody answers for 192.0.2.77 on the IPv4 side") > 10
    assert "\nok " not in done.stdout


def test_a_driver_that_does_not_start_is_told_for_each_case() -> None:
    broken = Own("hook", "broken", "--source", "nothing")
    cases = campaign.chosen(WHOLE, ["6791"], domains=["pool"])
    report = campaign.through(WHOLE, cases, broken)
    assert report.count(campaign.FAILED) == len(cases)
    assert all("domain pool: " in one.lines[0] for one in report.outcomes)
