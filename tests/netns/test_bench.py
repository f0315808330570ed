"""Each model carries traffic, as it is measured and in general; a quick run ends with all that it promises.

router4 192.0.2.17 --- translator --- router6 2001:db8:64::198.51.100.9
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nfxlat.bench import workloads as works
from nfxlat.bench.agent import Agent, Failed
from nfxlat.bench.models import DEFAULT, FULL, MODELS, Device, Model, Null
from nfxlat.bench.procs import cpu_seconds, memory
from nfxlat.bench.workloads import Settings, first_packets, measurements, rtt, rtt_loaded, tcp, udp
from nfxlat.lab.checks import Checks, Load
from nfxlat.lab.netns import wait_for
from nfxlat.lab.probe import ping
from nfxlat.lab.tayga import tayga_binary

pytestmark = pytest.mark.quiet

HERE = [name for name in FULL if name != "tayga" or tayga_binary()]
SHORT = Settings(tcp=0.1, trial=0.05, cpu=0.1, rtts=20, trials=6, resolution=0.3)


@pytest.fixture(scope="module", params=HERE)
def model(request: pytest.FixtureRequest) -> Iterator[Model]:
    with MODELS[request.param](1) as model:
        yield model


@pytest.fixture(scope="module")
def device() -> Iterator[Device]:
    """The device model with two queues, each with its worker."""
    with Device(2) as device:
        yield device


def test_a_model_answers_ping_both_ways(model: Model) -> None:
    for way, host in ((model.ways["4to6"], model.lab.router4), (model.ways["6to4"], model.lab.router6)):
        assert host.call(ping, way.target, way.source, count=2).ok
    assert not model.trouble()


def test_tcp_flows_all_arrive(model: Model) -> None:
    for direction in ("4to6", "6to4"):
        for flows in (1, 8):
            measurement = tcp(direction, flows)
            taken = measurement.take(model, SHORT, 0, {})
            assert taken.values[measurement.key] > 0
            assert set(taken.values) == {f.key for f in measurement.figures if model.pids() or not f.of_process}


@pytest.mark.parametrize("gro", [False, True], ids=["GRO off", "GRO on"])
def test_datagrams_arrive_one_for_one(model: Model, gro: bool) -> None:
    model.set_gro(gro)
    measurement = udp(16, 64, gro=gro)
    # the search begins at a rate that all carry; what it gives is the highest that lost nothing
    taken = measurement.take(model, SHORT, 0, {measurement.key: 2.0})
    assert taken.values[measurement.key] > 0


def test_datagrams_of_1400_octets_and_the_other_way(model: Model) -> None:
    model.set_gro(False)
    for measurement in (udp(4, 1400, gro=False), udp(4, 64, gro=False, direction="6to4")):
        assert measurement.take(model, SHORT, 0, {measurement.key: 1.0}).values[measurement.key] > 0


def test_two_senders_share_the_flows_of_a_stream(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(works, "SENDERS", 2)
    model.set_gro(False)
    measurement = udp(4, 64, gro=False)
    assert measurement.take(model, SHORT, 0, {measurement.key: 1.0}).values[measurement.key] > 0


def test_round_trips_are_timed_and_load_makes_them_no_shorter_than_nothing(model: Model) -> None:
    idle = rtt().take(model, SHORT, 0, {}).values
    assert 0 < idle["rtt_p50"] <= idle["rtt_p99"]
    loaded = rtt_loaded().take(model, SHORT, 0, {}).values
    assert 0 < loaded["rtt_load_p50"] <= loaded["rtt_load_p99"]


def test_only_processes_have_cpu_time_and_memory(model: Model) -> None:
    values = first_packets().take(model, SHORT, 0, {}).values
    assert bool(values) == bool(model.pids()) == (model.name != "plain")
    assert all(value > 0 or (value == 0 and model.name == "offload") for value in values.values())  # the kernel's time
    used = memory(model.pids())
    assert used.rss >= used.pss >= 0
    assert bool(used.pss) == bool(model.pids())


def test_the_hook_model_s_supervisor_and_worker_are_both_counted() -> None:
    with MODELS["hook"](1) as model:
        assert len(model.pids()) == 2
        before = cpu_seconds(model.pids())
        tcp("4to6", 1).take(model, SHORT, 0, {})
        assert cpu_seconds(model.pids()) > before


def test_a_translator_that_dies_is_trouble_in_its_own_words() -> None:
    with Null(1) as model:
        model.process.kill()
        assert "it has ended" in model.trouble()
        assert model.pids() == []
        with pytest.raises(Failed):
            rtt().take(model, SHORT, 0, {})


def test_the_device_model_passes_what_the_demo_tries(device: Device) -> None:
    """Ping, UDP whole and in fragments, path MTU, errors, downloads with SHA-256. Not the number of hops: what is

    routed into a TUN and comes out of it is forwarded twice.
    """
    with Checks(device.lab, device.process, Load(octets=8 << 20)) as checks:
        lines = [line for line in checks.lines() if line.what not in ("traceroute", "TCP bulk")]
        findings = {f"{line.what}: {line.source} to {line.target}": line.finding() for line in lines}
    assert len(findings) >= 14
    assert {what: finding.figure for what, finding in findings.items() if not finding.ok} == {}


def test_the_device_model_has_a_queue_a_worker_and_vnet_headers(device: Device) -> None:
    assert any(fact.startswith("tun siit0: 2 queues, vnet header, superframes of TCP") for fact in device.facts)
    assert len(device.pids()) == 3


def test_an_agent_that_hangs_is_started_again(model: Model) -> None:
    agent: Agent = model.agents["router6"]
    with pytest.raises(Failed, match="no answer from router6"), agent.serving("udp_echo", address="::"):
        agent.hear(0.1)
    assert rtt().take(model, SHORT, 0, {}).values


def test_a_command_that_fails_says_why_and_the_agent_lives(model: Model) -> None:
    agent = model.agents["router4"]
    with pytest.raises(Failed, match="udp_rtt"):
        agent.ask("udp_rtt", 5.0, source="192.0.2.99", target="192.0.2.98", port=9, count=1, size=1)
    with pytest.raises(RuntimeError, match="agent in router4"):
        agent.ask("udp_rtt", 5.0, source="192.0.2.17")
    assert rtt().take(model, SHORT, 0, {}).values


def bench(*arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "nfxlat", "bench", "--quick", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def left(pid: int) -> list[str]:
    return [str(path) for where in ("/run/netns", "/run") for path in Path(where).glob(f"nfx-{pid:x}*")]


@pytest.mark.timeout(400)
def test_a_quick_run_ends_green_with_all_keys(tmp_path: Path) -> None:
    process = bench("--json", "--html", str(tmp_path / "bench.html"))
    output, errors = process.communicate(timeout=380)
    assert process.returncode == 0, errors
    value = json.loads(output)
    assert set(value) == {
        "schema", "complete", "command", "date", "seconds", "rounds", "machine", "versions", "settings", "models",
        "figures", "results", "ratios", "features", "notes",
    }  # fmt: skip
    names = [name for name in DEFAULT if name in HERE]
    assert value["complete"]
    assert list(value["models"]) == names
    figures = {figure.key: figure for measurement in measurements(full=False) for figure in measurement.figures}
    assert set(value["results"]) == set(figures)
    for key, row in value["results"].items():
        for name in names:
            measured = row[name]["median"] is not None
            has = name != "plain" or not figures[key].of_process
            if key == "program":  # by cls_bpf its time is not told
                has = any(fact.startswith("stamp of gso_size by tcx") for fact in value["models"][name]["facts"])
            assert measured == has, (key, name)
    assert value["models"]["offload"]["counted"]["offload"]["4to6"]["translated"] > 0
    assert value["ratios"]["subject"] == "hook"
    assert {model for row in value["ratios"]["results"].values() for model in row} == set(names[1:])
    assert "<svg" in (tmp_path / "bench.html").read_text()
    assert left(process.pid) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_leaves_nothing(number: signal.Signals) -> None:
    process = bench("--models", "hook,plain", "--only", "tcp,udp")
    assert process.stdout is not None
    deadline = time.monotonic() + 60
    while "round 1, hook: TCP" not in process.stdout.readline():
        assert time.monotonic() < deadline
    os.kill(process.pid, number)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number, errors
    assert "all labs and translators are removed" in output
    wait_for(lambda: not left(process.pid), "clean-up")


def test_markdown_is_alone_on_stdout() -> None:
    process = bench("--models", "plain", "--only", "rtt", "--markdown")
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert output.startswith("`nfxlat bench")
    assert "| RTT idle, p50 | µs |" in output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--models", "vpp"), "unknown model 'vpp'"),
        (("--only", "sctp"), "no such measurement"),
        (("--json", "--markdown"), "--json, --markdown: cannot be combined"),
        (("--rounds", "0"), "must be at least 1"),
        (("--html", "/nowhere/report.html"), "no such directory"),
    ],
)
def test_a_mistake_is_one_line(arguments: tuple[str, ...], said: str) -> None:
    process = bench(*arguments)
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, output, errors.count("\n")) == (2, "", 1)
    assert said in errors
