"""Metrics, alerts and dashboard: promtool has nothing against them, and they name what there is."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from told_summary import summary

from nfxlat.cli import main
from nfxlat.errors import OperatorError
from nfxlat.service import accounts, health, metrics
from nfxlat.service.health import Health
from nfxlat.service.owned import Thing
from nfxlat.service.status import Running

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "contrib" / "prometheus"
PAGE = ROOT / "contrib" / "doc" / "how-to" / "monitoring.md"
ALERTS = re.findall(r"^ +- alert: (\w+)$", (PROMETHEUS / "alerts.yml").read_text(), re.MULTILINE)


def found(domain: str = "siit0", **changes: Any) -> Health:
    told = summary(domain, **changes)
    things = [Thing("device", domain, True), Thing("route", "192.0.2.0/24 dev x", False)]
    return Health(domain, Running(domain, 7), told, things, accounts.account(told))


SILENT = Health("siit9", trouble=("it does not run",))
MANY = [found(), found("siit1", offload=None), SILENT]


def sample(text: str, name: str) -> str:
    """The value of the one sample of that name and labels."""
    (line,) = (line for line in text.splitlines() if line.startswith(f"{name} "))
    return line.rpartition(" ")[2]


def promtool(*arguments: str, text: str = "") -> None:
    run = subprocess.run(["promtool", *arguments], input=text, capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stdout if text else "", run.stderr) == (0, "", "")


@pytest.mark.parametrize("which", [[], [SILENT], MANY], ids=len)
def test_promtool_has_nothing_against_the_textfile(which: list[Health]) -> None:
    promtool("check", "metrics", text=metrics.textfile(which))


def test_counters_are_counters_and_gauges_gauges() -> None:
    text = metrics.textfile(MANY)
    kinds = dict(re.findall(r"^# TYPE (nfxlat_\w+) (\w+)$", text, re.MULTILINE))
    gauges = {name for name, kind in kinds.items() if kind == "gauge"}
    assert {kind for name, kind in kinds.items() if name not in gauges} == {"counter"}
    assert all(name.endswith("_total") != (name in gauges) for name in kinds)
    too_big = 'nfxlat_packets_total{action="%s",direction="4to6",domain="siit0",reason="packet_too_big"}'
    assert (sample(text, too_big % "rejected"), sample(text, too_big % "dropped")) == ("3.0", "1.0")
    assert sample(text, 'nfxlat_injection_errors_total{domain="siit0",reason="inject_failed"}') == "3.0"
    assert sample(text, 'nfxlat_offload_hits_total{direction="4to6",domain="siit0"}') == "1.0"
    assert sample(text, 'nfxlat_worker_cpu_seconds_total{domain="siit0",worker="1"}') == "0.25"
    assert sample(text, 'nfxlat_owned{domain="siit0",kind="route",thing="192.0.2.0/24 dev x"}') == "0.0"
    assert sample(text, 'nfxlat_up{domain="siit9"}') == "0.0"


def test_packets_that_workers_took_add_up_in_the_metrics_too() -> None:
    text = metrics.textfile([found()])
    packets = sum(float(value) for value in re.findall(r"^nfxlat_packets_total\{.*\} (.*)$", text, re.MULTILINE))
    totals = summary()["totals"]
    assert packets == totals["packets"] + totals["cut"]


def test_openmetrics_says_what_the_textfile_says() -> None:
    text = metrics.openmetrics(MANY)
    assert text.endswith("# EOF\n")
    assert "# TYPE nfxlat_packets counter" in text
    assert 'nfxlat_configuration_info{digest="0123456789abcdef",domain="siit0"} 1.0' in text
    samples = {line for line in text.splitlines() if not line.startswith("#")}
    assert samples == {line for line in metrics.textfile(MANY).splitlines() if not line.startswith("#")}


def test_of_two_translators_of_a_domain_one_is_told() -> None:
    """A successor that gets ready, and one that does not answer, stand beside the one at work."""
    silent = Health("siit0", Running("siit0", 9), trouble=("does not answer",))
    for which in (
        [found(seconds=900.0), found(seconds=1.0), silent],
        [silent, found(seconds=1.0), found(seconds=900.0)],
    ):
        text = metrics.textfile(which)
        names = [line.rpartition(" ")[0] for line in text.splitlines() if not line.startswith("#")]
        assert len(set(names)) == len(names)
        assert sample(text, 'nfxlat_uptime_seconds{domain="siit0"}') == "900.0"
        assert sample(text, "nfxlat_translators") == "3.0"
    assert sample(metrics.textfile([silent]), 'nfxlat_up{domain="siit0"}') == "0.0"


def test_what_is_owned_is_bounded_and_what_is_missing_comes_first() -> None:
    things = [Thing("route", f"{number}", number != 900) for number in range(1000)]
    text = metrics.textfile([Health("siit0", Running("siit0", 7), summary(), things)])
    assert text.count("nfxlat_owned{") == metrics.MOST_THINGS
    assert sample(text, 'nfxlat_owned{domain="siit0",kind="route",thing="900"}') == "0.0"
    assert sample(text, 'nfxlat_missing_things{domain="siit0"}') == "1.0"


def test_without_the_library_that_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(metrics, "import_module", missing)
    with pytest.raises(OperatorError, match="python3-prometheus-client"):
        metrics.textfile([])


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """`nfxlat stats` beside such translators."""
    monkeypatch.setattr(health, "look", lambda domain: iter(MANY))
    return lambda *arguments: main(["stats", *arguments])


def test_the_file_is_written_whole(
    shown: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "nfxlat.prom"
    assert shown("--textfile", str(path)) == 0
    assert shown("--textfile", "-") == 0
    assert path.read_text() == capsys.readouterr().out
    assert [*tmp_path.iterdir()] == [path]
    assert shown("--openmetrics") == 0
    assert capsys.readouterr().out.endswith("# EOF\n")
    assert shown("--textfile", str(tmp_path / "none" / "x.prom")) == 2
    assert "--textfile" in capsys.readouterr().err
    assert shown("--json", "--openmetrics") == 2


def test_promtool_has_nothing_against_the_alerts_and_each_fires_when_it_should() -> None:
    for command in (["check", "rules", "alerts.yml"], ["test", "rules", "alerts.test.yml"]):
        run = subprocess.run(["promtool", *command], cwd=PROMETHEUS, capture_output=True, text=True, timeout=60)
        assert run.returncode == 0, run.stdout + run.stderr
        assert "SUCCESS" in run.stdout


def test_each_alert_has_a_test_and_a_paragraph() -> None:
    tested = re.findall(r"alertname: (\w+)", (PROMETHEUS / "alerts.test.yml").read_text())
    told = re.findall(r"^### (Nfxlat\w+)\n\n(.+)", PAGE.read_text(), re.MULTILINE)
    assert tested == ALERTS
    assert [name for name, _ in told] == ALERTS
    assert min(len(paragraph) for _, paragraph in told) > 100


@pytest.mark.parametrize("file", ["alerts.yml", "dashboard.json"])
def test_what_is_asked_for_is_told(file: str) -> None:
    asked = set(re.findall(r"\bnfxlat_\w+", (PROMETHEUS / file).read_text()))
    told = set(re.findall(r"^(nfxlat_\w+)[{ ]", metrics.textfile(MANY), re.MULTILINE))
    assert asked <= told
    assert len(asked) > 9


def test_the_dashboard_is_json_and_its_panels_do_not_overlap() -> None:
    panels = json.loads((PROMETHEUS / "dashboard.json").read_text())["panels"]
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
