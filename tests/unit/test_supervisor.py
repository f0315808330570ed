"""The supervisor of processes, without root: workers that do nothing but say what they are told.

A worker's life here is a function of (number, control); what it writes to the pipe is a line that begins with its name,
and the test goes on at the line that it waits for.
"""

import errno
import os
import re
import select
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import pytest

from nfxlat.errors import OperatorError
from nfxlat.service import supervisor as module
from nfxlat.service.control import Control
from nfxlat.service.loop import Loop
from nfxlat.service.messages import Go, Message, MessageError, Node, PathMtu, Ping, Pong, Ready, Retired, Stop, Told
from nfxlat.service.supervisor import Supervisor

LEARNT = PathMtu(bytes((192, 0, 2, 1)), 576)


class Bench:
    """A supervisor of workers that live as `life` says; `lines` are what they wrote."""

    def __init__(self, count: int, life: "Callable[[Bench, int, Control], None] | None" = None) -> None:
        self.life = life or Bench.obey
        self.loop = Loop()
        self.loop.on_signal(signal.SIGUSR1, lambda: None)
        self.reported: list[str] = []
        self.heard: list[Message] = []
        self.lines: list[str] = []
        self.supervisor = Supervisor(
            lambda number, control: self.life(self, number, control),
            count,
            loop=self.loop,
            report=self.report,
            heard=self.heard.append,
        )
        self._read, self._write = os.pipe()
        self.reader = os.fdopen(self._read, "rb", buffering=0)
        self.loop.on_readable(self.reader, self._hear)
        self._awaited: Callable[[], bool] = lambda: False

    def report(self, line: str) -> None:
        self.reported.append(line)
        self._look()

    def say(self, *words: object) -> None:
        os.write(self._write, (" ".join(map(str, words)) + "\n").encode())

    def obey(self, number: int, control: Control) -> None:
        """Be ready, and say what comes until told to stop."""
        control.send(Ready())
        while (message := control.receive()) is not None:
            if message == Ping():
                control.send(Pong())
                continue
            self.say(number, type(message).__name__, os.getpid())
            if message == Stop():
                return

    def until(self, condition: Callable[[], bool]) -> None:
        """Run the loop until it holds, at the latest after ten seconds."""
        self._awaited = condition
        deadline = time.monotonic() + 10
        self.loop.later(10, lambda: self.loop.stop() if time.monotonic() >= deadline else None)
        self._look()
        self.loop.run()
        assert condition(), (self.lines, self.reported)

    def pids(self, word: str) -> list[int]:
        """Of the workers that were told so, by number and time."""
        return [int(line.split()[2]) for line in sorted(self.lines, key=lambda line: line[0]) if word in line.split()]

    def _hear(self) -> None:
        self.lines += self.reader.read(1 << 16).decode().splitlines()
        self._look()

    def _look(self) -> None:
        if self._awaited():
            self.loop.stop()

    def close(self) -> None:
        self.supervisor.stop()
        self.reader.close()
        os.close(self._write)


Make = Callable[..., Bench]


def children() -> list[str]:
    """The pids of this thread's children, dead ones too."""
    return Path("/proc/thread-self/children").read_text().split()


@pytest.fixture
def make() -> Iterator[Make]:
    """Makes a bench whose workers have begun."""
    before = children()
    with ExitStack() as stack:

        def made(count: int = 1, life: Callable[[Bench, int, Control], None] | None = None) -> Bench:
            bench = Bench(count, life)
            stack.enter_context(bench.loop.signals_taken())
            stack.callback(bench.close)
            bench.supervisor.start()
            return bench

        yield made
    assert children() == before  # not even a dead one is left; the virtual machine of tests/vm may be one


def test_workers_are_told_to_go_and_in_the_end_to_stop(make: Make) -> None:
    bench = make(3)
    bench.until(lambda: len(bench.lines) == 3)
    assert [line.split()[:2] for line in sorted(bench.lines)] == [["0", "Go"], ["1", "Go"], ["2", "Go"]]
    bench.supervisor.stop()
    bench.until(lambda: len(bench.lines) == 6)
    assert bench.pids("Stop") == bench.pids("Go")
    assert len(set(bench.pids("Go"))) == 3
    assert bench.reported == []
    assert bench.supervisor.restarts == 0


@pytest.mark.parametrize("delay", [0.0, 0.2])
def test_a_worker_that_dies_is_started_again_after_a_moment(
    make: Make, monkeypatch: pytest.MonkeyPatch, delay: float
) -> None:
    monkeypatch.setattr(module, "RESTART_SECONDS", delay)
    began = time.monotonic()
    bench = make(2)
    bench.until(lambda: len(bench.lines) == 2)
    first, other = bench.pids("Go")
    os.kill(first, signal.SIGKILL)
    bench.until(lambda: len(bench.lines) == 3)
    assert time.monotonic() - began >= delay
    again = bench.pids("Go")
    assert again[0] == first
    assert again[1] not in (first, other)
    assert again[2] == other
    assert bench.supervisor.restarts == 1
    assert bench.reported == [f"worker 0 (pid {first}) died: SIGKILL; restarting it"]


def test_lines_of_a_worker_are_reported_and_told_to_no_other(make: Make) -> None:
    def talks(bench: Bench, number: int, control: Control) -> None:
        if number == 1:
            control.send(Told("a packet without checksum"))
            control.send(LEARNT)
        bench.obey(number, control)

    bench = make(2, talks)
    bench.until(lambda: len(bench.lines) == 3)
    assert bench.reported == ["a packet without checksum"]
    assert bench.heard == [LEARNT]
    assert [line.split()[:2] for line in bench.lines if "Go" not in line] == [["0", "PathMtu"]]


def test_a_worker_that_raises_is_started_again_too(
    make: Make, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "RESTART_SECONDS", 0.0)

    def fails_once(bench: Bench, number: int, control: Control) -> None:
        if not bench.supervisor.restarts:
            raise ZeroDivisionError("of this worker")
        bench.obey(number, control)

    bench = make(1, fails_once)
    bench.until(lambda: len(bench.lines) == 1)
    assert "ZeroDivisionError: of this worker" in bench.reported[0]
    assert "died: exit 1; restarting it" in bench.reported[1]
    assert capfd.readouterr().err == ""  # a worker writes nothing itself


@pytest.mark.parametrize("number", range(signal.SIGRTMIN, signal.SIGRTMAX + 1, 5))
def test_a_worker_that_dies_of_a_real_time_signal_is_started_again(
    make: Make, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(module, "RESTART_SECONDS", 0.0)
    bench = make(1)
    bench.until(lambda: len(bench.lines) == 1)
    os.kill(bench.pids("Go")[0], number)
    bench.until(lambda: len(bench.lines) == 2)
    assert re.search(rf"died: (signal {number}|SIGRTM\w+); restarting it", bench.reported[0])


@pytest.mark.parametrize("lacking", ["processes", "descriptors"])
def test_a_worker_that_cannot_be_forked_is_tried_again_ever_later_and_told_once(
    make: Make, monkeypatch: pytest.MonkeyPatch, lacking: str
) -> None:
    monkeypatch.setattr(module, "RESTART_SECONDS", 0.01)
    bench = make(2)
    bench.until(lambda: len(bench.lines) == 2)
    fork, pair = os.fork, Control.pair
    tried: list[float] = []

    def from_the_fifth_on(call: Callable[[], object]) -> object:
        tried.append(time.monotonic())
        if len(tried) <= 4:
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return call()

    if lacking == "processes":
        monkeypatch.setattr(os, "fork", lambda: from_the_fifth_on(fork))
    else:
        monkeypatch.setattr(Control, "pair", lambda: from_the_fifth_on(pair))
    descriptors = len(os.listdir("/proc/self/fd"))
    os.kill(bench.pids("Go")[0], signal.SIGKILL)
    bench.until(lambda: len(bench.lines) == 3)
    assert len(tried) == 5
    waits = [after - before for before, after in pairwise(tried)]
    assert all(wait >= 0.02 * 2**number for number, wait in enumerate(waits)), waits
    assert bench.reported[1:] == [
        "worker 0 cannot be started: Resource temporarily unavailable; trying again",
        "worker 0 is started",
    ]
    assert bench.supervisor.restarts == 1
    assert len(os.listdir("/proc/self/fd")) == descriptors


def test_workers_that_wait_to_be_started_do_not_multiply_their_timers(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = make(4)
    bench.until(lambda: len(bench.lines) == 4)

    def refuse() -> int:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(module, "RESTART_SECONDS", 0.01)
    monkeypatch.setattr(os, "fork", refuse)
    for pid in bench.pids("Go"):
        os.kill(pid, signal.SIGKILL)
    bench.until(lambda: all(child.refused >= 3 for child in bench.supervisor._children))
    assert len([timer for timer in bench.loop._timers if "start_again" in timer[1].__qualname__]) == 4


@pytest.mark.parametrize("workers", [1, 2])
def test_a_worker_that_hangs_is_told_killed_and_started_again(
    make: Make, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    monkeypatch.setattr(module, "RESTART_SECONDS", 0.0)
    monkeypatch.setattr(module, "PING_SECONDS", 0.1)
    bench = make(workers)
    bench.until(lambda: len(bench.lines) == workers)
    hung, *others = bench.pids("Go")
    began = time.monotonic()
    os.kill(hung, signal.SIGSTOP)
    bench.until(lambda: len(bench.lines) == workers + 1)
    assert time.monotonic() - began >= (module.HUNG_PINGS - 1) * 0.1
    assert bench.reported == [
        f"worker 0 (pid {hung}) has hung for 0.5 s; killing it",
        f"worker 0 (pid {hung}) died: SIGKILL; restarting it",
    ]
    assert bench.supervisor.restarts == 1
    assert set(others) < set(bench.pids("Go"))


def test_workers_that_answer_are_left_alone_and_a_supervisor_that_was_away_blames_nobody(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PING_SECONDS", 60.0)
    bench = make(2)
    bench.until(lambda: len(bench.lines) == 2)
    for child in bench.supervisor._children:
        bench.supervisor._hear_out(child)  # that it is ready; what comes from here on is an answer
    bench.supervisor._watch()
    for child in bench.supervisor._children:
        child.unanswered = module.HUNG_PINGS  # as when it was away for so long, and has heard no answer yet
        answered = select.poll()
        assert child.control is not None
        answered.register(child.control, select.POLLIN)
        assert answered.poll(10_000)
    bench.supervisor._watch()
    assert bench.reported == []
    assert [child.unanswered for child in bench.supervisor._children] == [1, 1]


def test_a_start_that_lacks_processes_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(1)
    monkeypatch.setattr(os, "fork", lambda: (_ for _ in ()).throw(OSError(errno.ENOMEM, "Cannot allocate memory")))
    with pytest.raises(OperatorError, match="worker 0: cannot be started: Cannot allocate memory"):
        bench.supervisor.start()
    bench.close()


def test_a_worker_takes_no_signal_of_its_group(make: Make) -> None:
    bench = make(1)
    bench.until(lambda: len(bench.lines) == 1)
    (pid,) = bench.pids("Go")
    os.kill(pid, signal.SIGUSR1)
    bench.supervisor.send(Node())
    bench.until(lambda: bench.pids("Node") == [pid])
    assert bench.reported == []


def test_what_a_worker_says_is_heard_and_told_to_the_others(make: Make) -> None:
    def talks(bench: Bench, number: int, control: Control) -> None:
        if number == 1:
            control.send(LEARNT)
        bench.obey(number, control)

    bench = make(3, talks)
    bench.until(lambda: len(bench.lines) == 5)
    assert bench.heard == [LEARNT]
    told = [line.split()[0] for line in bench.lines if "PathMtu" in line]
    assert sorted(told) == ["0", "2"]


def test_the_last_words_of_a_worker_are_heard(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RESTART_SECONDS", 0.0)

    def speaks_and_dies(bench: Bench, number: int, control: Control) -> None:
        if bench.supervisor.restarts:
            bench.obey(number, control)
        else:
            control.receive()
            for _ in range(3):
                control.send(LEARNT)
            os.kill(os.getpid(), signal.SIGKILL)

    bench = make(1, speaks_and_dies)
    bench.until(lambda: len(bench.lines) == 1)
    assert bench.heard == [LEARNT] * 3


def test_successors_go_on_when_each_worker_has_retired(make: Make) -> None:
    bench = make(2)
    bench.until(lambda: len(bench.lines) == 2)
    old = bench.pids("Go")
    bench.supervisor.prepare()
    bench.supervisor.send(Node())  # successors hear what the workers hear
    gap = bench.supervisor.succeed()
    bench.until(lambda: len(bench.lines) == 10)
    assert 0 < gap < 10
    assert bench.pids("Stop") == old
    new = [pid for pid in bench.pids("Go") if pid not in old]
    assert len(new) == 2
    assert sorted(bench.pids("Node")) == sorted([*old, *new])
    for number in ("0", "1"):
        words = [line.split()[1] for line in bench.lines if line.startswith(number) and "Node" not in line]
        assert words == ["Go", "Stop", "Go"]
    assert bench.reported == []
    assert bench.supervisor.restarts == 0


def test_a_successor_that_dies_is_started_again_like_any_worker(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RESTART_SECONDS", 0.0)
    bench = make(1)
    bench.until(lambda: len(bench.lines) == 1)
    bench.supervisor.prepare()
    bench.supervisor.succeed()
    bench.until(lambda: len(bench.lines) == 3)
    os.kill(bench.pids("Go")[1], signal.SIGKILL)
    bench.until(lambda: len(bench.lines) == 4)
    assert len(set(bench.pids("Go"))) == 3


def test_a_worker_that_waits_to_be_started_again_is_succeeded_like_any_other(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RESTART_SECONDS", 3600.0)  # it waits for as long as the test takes
    monkeypatch.setattr(module, "RESTART_AT_MOST", 3600.0)
    bench = make(1)
    bench.until(lambda: len(bench.lines) == 1)
    (old,) = bench.pids("Go")
    os.kill(old, signal.SIGKILL)
    bench.until(lambda: bool(bench.reported))
    bench.supervisor.prepare()
    bench.supervisor.succeed()
    monkeypatch.setattr(module, "RESTART_SECONDS", 0.0)
    [again] = [call for _, call in bench.loop._timers if "start_again" in call.__qualname__]
    again()  # its time has come, and it is none of the workers any more
    bench.until(lambda: len(bench.lines) == 2)
    assert len(bench.pids("Go")) == 2
    assert bench.supervisor.restarts == 0


def test_discarded_successors_leave_the_workers_at_work(make: Make) -> None:
    bench = make(2)
    bench.until(lambda: len(bench.lines) == 2)
    bench.supervisor.prepare()
    bench.supervisor.discard()
    bench.supervisor.send(Node())
    bench.until(lambda: len(bench.lines) == 4)
    assert bench.pids("Node") == bench.pids("Go")
    assert bench.reported == []


@pytest.mark.parametrize("ending", ["says nothing", "ends"])
def test_a_successor_that_does_not_get_ready_is_an_error_and_the_workers_go_on(
    make: Make, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    monkeypatch.setattr(module, "PREPARE_SECONDS", 0.1 if ending == "says nothing" else 10.0)
    bench = make(2)
    bench.until(lambda: len(bench.lines) == 2)

    def fails(bench: Bench, number: int, control: Control) -> None:
        if number == 1:
            if ending == "ends":
                os.kill(os.getpid(), signal.SIGKILL)
            control.receive()
        bench.obey(number, control)

    bench.life = fails
    with pytest.raises(OperatorError, match="worker 1: the new worker did not become ready"):
        bench.supervisor.prepare()
    bench.supervisor.send(Node())
    bench.until(lambda: len(bench.lines) == 4)
    assert bench.pids("Node") == bench.pids("Go")


def test_a_successor_that_says_something_else_than_ready_is_a_bug(make: Make) -> None:
    bench = make(1)
    bench.until(lambda: len(bench.lines) == 1)
    bench.life = lambda bench, number, control: control.send(Retired())
    with pytest.raises(MessageError, match=r"Retired\(\) from worker 0"):
        bench.supervisor.prepare()
    bench.supervisor.send(Node())
    bench.until(lambda: bench.pids("Node") == bench.pids("Go"))


def test_a_worker_that_does_not_stop_is_killed_and_told(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STOP_SECONDS", 0.1)

    def deaf(bench: Bench, number: int, control: Control) -> None:
        while True:
            if control.receive() == Go():
                bench.say(number, "Go", os.getpid())

    bench = make(1, deaf)
    bench.until(lambda: len(bench.lines) == 1)
    bench.supervisor.stop()
    (pid,) = bench.pids("Go")
    assert bench.reported == [f"worker 0 (pid {pid}) did not stop; killing it"]


def test_a_worker_without_supervisor_reads_the_end() -> None:
    ours, theirs = Control.pair()
    ours.close()
    assert theirs.receive() is None
    with pytest.raises(OSError, match="Broken pipe"):
        theirs.send(Ready())
    theirs.close()
