"""Signals at any moment: what was made is taken back, whatever comes while it is being taken back."""

import os
import signal
import subprocess

import pytest
from closed import state_of

from nfxlat.host import state
from nfxlat.lab.netns import wait_for
from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.topology import DOMAIN, Lab

SECONDS = 20.0
STEPS = ("queues", "device siit0", "route", "sysctl net.ipv4", "sysctl net.ipv6", "rules ip ", "rules ip6", "ready")
ENDS = (signal.SIGTERM, signal.SIGINT)
OTHERS = (signal.SIGHUP, signal.SIGUSR1)


class Started:
    """`nfxlat run --setup`, whose lines are read one by one."""

    def __init__(self, lab: Lab) -> None:
        (lab.directory / "siit0.toml").write_text(DOMAIN)
        self.summary = lab.directory / "summary.json"
        self._process = lab.translator.popen(
            TranslatorProcess(lab.translator, lab.directory).command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        assert self._process.stderr is not None
        self._lines = self._process.stderr
        self.said: list[str] = []

    def until(self, start: str) -> None:
        """Read until a line begins so."""
        while line := self._lines.readline():
            self.said.append(line)
            if line.startswith(start):
                return
        raise AssertionError((start, self.said))

    def tell(self, *numbers: int) -> None:
        for number in numbers:
            os.kill(self._process.pid, number)

    def ended(self) -> int:
        """Its exit status, once it has ended by itself."""
        self.said += self._lines.readlines()
        self._lines.close()
        return self._process.wait(SECONDS)


def left(lab: Lab, before: tuple[str, ...]) -> list[str]:
    return [new for new, old in zip(state_of(lab), before, strict=True) if new != old]


@pytest.mark.parametrize("number", ENDS, ids=lambda number: number.name)
def test_a_start_that_is_interrupted_at_any_step_takes_back_what_it_made(bare_lab: Lab, number: signal.Signals) -> None:
    before = state_of(bare_lab)
    for step in STEPS:
        started = Started(bare_lab)
        started.until(step)
        started.tell(number)
        assert started.ended() == 0, "".join(started.said)
        assert left(bare_lab, before) == [], step
        assert "Traceback" not in "".join(started.said)
        with bare_lab.translator.entered():
            assert not state.path_of("siit0").exists(), step


def test_other_signals_during_the_start_are_heard_when_it_is_ready(bare_lab: Lab) -> None:
    before = state_of(bare_lab)
    started = Started(bare_lab)
    started.until("device siit0")
    started.tell(*OTHERS)
    started.until("ready")
    started.until("reload: nothing has changed")
    wait_for(started.summary.exists, "the summary")  # a process of its own writes it
    started.tell(signal.SIGTERM)
    assert started.ended() == 0
    assert left(bare_lab, before) == []


@pytest.mark.parametrize("number", [*ENDS, *OTHERS], ids=lambda number: number.name)
def test_take_down_goes_to_its_end_whatever_signals_come(bare_lab: Lab, number: signal.Signals) -> None:
    before = state_of(bare_lab)
    for step in ("rules ip6", "rules ip ", "sysctl", "route", "device"):
        started = Started(bare_lab)
        started.until("ready")
        started.tell(signal.SIGTERM)
        started.until(step)
        started.tell(number, number)
        assert started.ended() == 0, "".join(started.said)
        assert left(bare_lab, before) == [], step
        assert "Traceback" not in "".join(started.said)


def test_sigterm_is_not_lost_behind_others(bare_lab: Lab) -> None:
    before = state_of(bare_lab)
    started = Started(bare_lab)
    started.until("ready")
    for _ in range(600):
        started.tell(signal.SIGHUP, signal.SIGUSR1)
    started.tell(signal.SIGTERM)
    assert started.ended() == 0
    assert left(bare_lab, before) == []
