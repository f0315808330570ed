"""nfxlat ends, one way or the other: nothing leaks, nothing is left, and the next start takes over."""

import os
import signal
from pathlib import Path

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import Raw

from nfxlat.lab.capture import Capture, send_packet
from nfxlat.lab.netns import wait_for
from nfxlat.lab.probe import ping
from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.topology import HOST4, HOST4_6, HOST6, HOST6_4, HOST6_EAM4, Lab

PAYLOAD = b"this must not leave untranslated"


MODELS = pytest.mark.parametrize(
    "run_arguments", [(), ("--model", "device"), ("--model", "route")], ids=["hook", "device", "route"]
)


def assert_nothing_leaves(lab: Lab) -> None:
    """Neither family's packet leaves the translator on the far side, nor on the near one."""
    with Capture(lab.translator, "to-r4") as side4, Capture(lab.translator, "to-r6") as side6:
        lab.host4.call(send_packet, bytes(IP(src=HOST4, dst=HOST6_EAM4) / UDP(dport=9) / Raw(PAYLOAD)), HOST6_EAM4)
        lab.host6.call(send_packet, bytes(IPv6(src=HOST6, dst=HOST4_6) / UDP(dport=9) / Raw(PAYLOAD)), HOST4_6)
        side4.wait(lambda seen: PAYLOAD in seen)
        side6.wait(lambda seen: PAYLOAD in seen)
        # what the translator still forwards comes behind it: a native packet through the same node and interfaces
        assert lab.router4.call(ping, "192.0.2.18", count=2).ok
        assert lab.router6.call(ping, "2001:db8:1::1", count=2).ok
        assert len([seen for seen in side4.drain() if PAYLOAD in seen]) == 1
        assert len([seen for seen in side6.drain() if PAYLOAD in seen]) == 1


def state_of(lab: Lab) -> tuple[str, ...]:
    namespace = lab.translator
    return (
        namespace.ip("route show table all"),
        namespace.ip("-6 route show table all"),
        namespace.ip("-o link"),
        namespace.run(["nft", "list", "ruleset"]).stdout,
        namespace.sysctl("net.ipv4.ip_forward"),
        namespace.sysctl("net.ipv6.conf.all.forwarding"),
    )


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
    assert lab.host4.call(ping, HOST6_4, timeout=5.0).ok
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
