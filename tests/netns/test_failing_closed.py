"""nfxlat ends, one way or the other: nothing leaks, nothing is left, and the next start takes over."""

import os
import signal
from pathlib import Path

import pytest
from closed import MODELS, assert_nothing_leaves, state_of

from nfxlat.lab.netns import wait_for
from nfxlat.lab.probe import ping
from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.topology import HOST4_6, HOST6, HOST6_4, HOST6_EAM4, Lab


@MODELS
def test_after_kill_nothing_leaves_untranslated_and_the_next_start_takes_over(
    bare_lab: Lab, run_arguments: tuple[str, ...]
) -> None:
    lab = bare_lab
    before = state_of(lab)
    with TranslatorProcess(lab.translator, lab.directory, *run_arguments) as process:
        assert lab.host4.call(ping, HOST6_EAM4).ok
        process.kill()
        assert_nothing_leaves(lab)
    with TranslatorProcess(lab.translator, lab.directory, *run_arguments) as process:
        assert any("taking over" in line for line in process.output())
        assert lab.host4.call(ping, HOST6_EAM4).ok
        assert lab.host6.call(ping, HOST4_6, HOST6).ok
        process.stop()
    assert state_of(lab) == before


@MODELS
def test_a_kill_of_the_supervisor_alone_ends_its_worker_too(lab: Lab, process: TranslatorProcess) -> None:
    (worker,) = process.workers()
    os.kill(process.pid, signal.SIGKILL)
    wait_for(lambda: not Path(f"/proc/{worker}").exists(), "the worker to end")
    assert_nothing_leaves(lab)


@MODELS
def test_a_worker_that_dies_is_started_again(lab: Lab, process: TranslatorProcess) -> None:
    (first,) = process.workers()
    assert lab.host4.call(ping, HOST6_4).ok
    os.kill(first, signal.SIGKILL)
    # what comes meanwhile waits in the queue: nothing is lost but the batch in the worker's hands
    assert lab.host4.call(ping, HOST6_4, timeout=15.0).ok
    (second,) = process.workers()
    assert second != first
    summary = process.summary()
    assert summary["workers_restarted"] == 1
    assert summary["reasons"]["translated"]["4to6"] == 6
    assert any("SIGKILL" in line for line in process.output())


@MODELS
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly_with_a_summary(
    bare_lab: Lab, number: signal.Signals, run_arguments: tuple[str, ...]
) -> None:
    before = state_of(bare_lab)
    with TranslatorProcess(bare_lab.translator, bare_lab.directory, *run_arguments) as process:
        assert bare_lab.host4.call(ping, HOST6_EAM4).ok
        pid = process.pid
        os.kill(pid, number)
        wait_for(lambda: not process.alive(), "nfxlat run to end")
        output = process.output()
    assert any(line.startswith("summary of siit0") for line in output)
    assert any(line.split() == ["translated", "4to6", "3", "6to4", "3"] for line in output)
    assert state_of(bare_lab) == before


@MODELS
def test_without_setup_only_queues_and_device_are_touched(bare_lab: Lab, run_arguments: tuple[str, ...]) -> None:
    before = state_of(bare_lab)
    with TranslatorProcess(bare_lab.translator, bare_lab.directory, *run_arguments, setup=False):
        during = state_of(bare_lab)
        changed = {line for a, b in zip(before, during, strict=True) for line in {*a.splitlines()} ^ {*b.splitlines()}}
        assert changed
        assert [line for line in changed if "siit0" not in line] == []
    assert state_of(bare_lab) == before


def test_without_setup_and_device_nothing_but_queues_is_touched(bare_lab: Lab) -> None:
    before = state_of(bare_lab)
    with TranslatorProcess(bare_lab.translator, bare_lab.directory, "--inject", "ip", setup=False):
        assert state_of(bare_lab) == before
