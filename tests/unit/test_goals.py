"""contrib/dev/goals.py: what a run's JSON says about the project's goals."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from nfxlat.bench.models import DEFAULT, FULL
from nfxlat.bench.report import Report
from nfxlat.bench.rounds import Result, Series
from nfxlat.bench.workloads import measurements

SCRIPT = Path(__file__).parents[2] / "contrib/dev/goals.py"


def _loaded() -> ModuleType:
    spec = importlib.util.spec_from_file_location("goals", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["goals"] = module
    spec.loader.exec_module(module)
    return module


goals = _loaded()


def run(models: tuple[str, ...] = DEFAULT, **values: dict[str, list[float | None]]) -> dict[str, Any]:
    """What `nfxlat bench --json` prints of these series by figure and model; all that is not given is empty."""
    known = {figure.key: figure for measurement in measurements(full=True) for figure in measurement.figures}
    series = {key: {model: Series(list(row.get(model, []))) for model in models} for key, row in values.items()}
    result = Result([known[key] for key in values], list(models), series)
    value: dict[str, Any] = json.loads(json.dumps(Report(result, "nfxlat bench", "", {}, {}).as_json()))
    return value


def verdicts(of: dict[str, Any], but: str = "offload") -> list[tuple[str | None, str]]:
    """Of all goals but those about one model."""
    return [(one.goal.against, one.verdict) for one in goals.standings(of) if one.goal.subject != but]


def test_a_verdict_is_about_the_median_of_the_rounds_that_have_both() -> None:
    of = run(
        tcp_1_4to6={"hook": [1.0, 6.0, None, 9.0], "plain": [10.0, 10.0, 1.0, 15.0], "tayga": [1.0, 1.0, 1.0, 0.6]}
    )
    plain, tayga, *_ = goals.standings(of)
    assert plain.ratios == (0.1, 0.6, 0.6)
    assert (plain.verdict, tayga.verdict) == ("met", "missed")


def test_what_was_not_measured_is_told() -> None:
    assert verdicts(run(tcp_1_4to6={"hook": [8.0], "plain": [10.0]})) == [
        ("plain", "moonshot"),
        ("tayga", "not measured"),
    ]


@pytest.mark.parametrize(("ours", "verdict"), [(100.0, "moonshot"), (140.0, "met"), (160.0, "missed")])
def test_of_a_round_trip_less_is_better(ours: float, verdict: str) -> None:
    assert verdicts(run(rtt_p50={"hook": [ours], "tayga": [100.0]})) == [("tayga", verdict)]


@pytest.mark.parametrize(("ours", "verdict"), [(9.0, "moonshot"), (11.0, "missed")])
def test_a_goal_without_a_floor_is_met_at_its_moonshot_only(ours: float, verdict: str) -> None:
    assert verdicts(run(cpu_packet={"hook": [ours], "tayga": [10.0]})) == [("null", "not measured"), ("tayga", verdict)]


def test_two_workers_are_held_against_one_where_they_ran() -> None:
    assert verdicts(run(cpu_worker={"hook": [10.0]})) == []
    for two, verdict in ((10.5, "met"), (11.5, "missed")):
        of = run((*DEFAULT, "workers2"), cpu_worker={"hook": [10.0], "workers2": [two]})
        assert verdicts(of) == [("hook", verdict)]


def test_offload_has_goals_of_its_own_and_one_that_is_no_ratio() -> None:
    of = run(rtt_p50={"offload": [13.0], "plain": [10.0]})
    assert verdicts(of, but="hook") == [("plain", "met")]
    for ours, verdict in (([0.5, 0.7, 0.5], "moonshot"), ([0.9], "met"), ([1.3], "missed"), ([], "not measured")):
        assert verdicts(run(program={"offload": list(ours)}), but="hook") == [(None, verdict)]
    (standing,) = goals.standings(run(program={"offload": [0.9]}))
    assert "flows offload " in goals.line(standing).replace("  ", " ").replace("  ", " ")


def test_every_goal_is_about_something_that_is_measured() -> None:
    for full in (False, True):
        keys = {figure.key for measurement in measurements(full=full) for figure in measurement.figures}
        assert {goal.figure for goal in goals.GOALS if full or goal.subject in DEFAULT} <= keys
    assert {goal.against for goal in goals.GOALS} <= {None, *DEFAULT}
    assert {goal.subject for goal in goals.GOALS} <= set(FULL)


@pytest.mark.parametrize(("ours", "status"), [(140.0, 0), (160.0, 1)])
def test_the_script_reads_a_run_and_its_status_tells(ours: float, status: int) -> None:
    of = run(rtt_p50={"hook": [ours], "tayga": [100.0]})
    done = subprocess.run([sys.executable, str(SCRIPT)], input=json.dumps(of), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (status, "")
    heading, row = (line for line in done.stdout.splitlines() if "offload" not in line)
    assert heading.split() == ["work", "ratio", "of", "floor", "moonshot", "measured"]
    assert row.split()[-1] == ("missed" if status else "met")
