"""The supervisor of processes: its workers start, die, hang, cannot be started, stop."""

import errno
import os
import re
import select
import signal
import time
from collections.abc import Callable
from itertools import pairwise

import pytest
from supervised import Bench, Make, make

from nfxlat.errors import OperatorError
from nfxlat.service import supervisor as module
from nfxlat.service.control import Control
from nfxlat.service.messages import Go, Node, PathMtu, Ping, Pong, Ready, Stop, Told, Trace, Untrace

__all__ = ["make"]  # a fixture

LEARNT = PathMtu(((bytes((198, 51, 100, 2, 192, 0, 2, 1)), 576),))


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
    missing: list[list[int]] = []

    def from_the_fifth_on(call: Callable[[], object]) -> object:
        tried.append(time.monotonic())
        missing.append(bench.supervisor.missing)
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
    assert (missing, bench.supervisor.missing) == ([[0]] * 5, [])
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
    monkeypatch.setattr(module, "PING_SECONDS", 0.4)  # a busy machine may keep those that do not hang waiting, too
    bench = make(workers)
    bench.until(lambda: len(bench.lines) == workers)
    hung, *others = bench.pids("Go")
    began = time.monotonic()
    os.kill(hung, signal.SIGSTOP)
    bench.until(lambda: len(bench.lines) == workers + 1)
    assert time.monotonic() - began >= (module.HUNG_PINGS - 1) * 0.4
    assert bench.reported == [
        f"worker 0 (pid {hung}) has hung for 2 s; killing it",
        f"worker 0 (pid {hung}) died: SIGKILL; restarting it",
    ]
    assert bench.supervisor.restarts == 1
    assert set(others) < set(bench.pids("Go"))


def test_a_worker_that_hangs_in_the_kernel_is_told_once_and_missing_until_it_has_ended(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RESTART_SECONDS", 0.0)
    monkeypatch.setattr(module, "PING_SECONDS", 0.1)
    bench = make(1)
    bench.until(lambda: len(bench.lines) == 1)
    (hung,) = bench.pids("Go")
    kill, kills, missing = os.kill, [], []

    def in_vain(pid: int, number: int) -> None:
        kills.append(pid)
        missing.append(bench.supervisor.missing)
        bench.supervisor.send(Node())
        if len(kills) == 5:
            kill(pid, number)

    os.kill(hung, signal.SIGSTOP)
    monkeypatch.setattr(os, "kill", in_vain)
    bench.until(lambda: len(bench.lines) == 2)
    assert kills == [hung] * 5
    assert missing == [[0]] * 5
    assert bench.supervisor.missing == []
    assert bench.reported == [
        f"worker 0 (pid {hung}) has hung for 0.5 s; killing it",
        f"worker 0 (pid {hung}) died: SIGKILL; restarting it",
    ]


def test_a_worker_that_could_not_read_for_a_moment_misses_nothing_that_it_was_told(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PING_SECONDS", 0.1)
    monkeypatch.setattr(module, "HUNG_PINGS", 1000)
    told: list[int] = []

    def reads(bench: Bench, number: int, control: Control) -> None:
        control.send(Ready())
        bench.say(number, "Go", os.getpid())
        while (message := control.receive()) not in (None, Stop()):
            if isinstance(message, Node):
                bench.say(number, "Node", len(message.local))
            elif message == Ping():
                control.send(Pong())

    bench = make(1, reads)
    bench.until(lambda: len(bench.lines) == 1)
    (pid,) = bench.pids("Go")
    os.kill(pid, signal.SIGSTOP)
    child = bench.supervisor._children[0]
    node = Node(frozenset(number.to_bytes(16, "big") for number in range(2000)))
    while not child.unsent:  # until its socket is full, whatever that holds here
        bench.supervisor.send(node)
        told.append(2000)
    bench.supervisor.send(Node(frozenset((b"last",))))
    told.append(1)
    os.kill(pid, signal.SIGCONT)
    bench.until(lambda: len(bench.lines) == 1 + len(told))
    assert bench.pids("Node") == told
    assert bench.reported == []
    assert child.unsent == []


def test_of_a_reader_that_has_gone_meanwhile_no_worker_hears(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = make(1)
    bench.until(lambda: len(bench.lines) == 1)
    child = bench.supervisor._children[0]
    os.kill(bench.pids("Go")[0], signal.SIGSTOP)
    while not child.unsent:
        bench.supervisor.send(Node(frozenset(number.to_bytes(16, "big") for number in range(2000))))
    kept = len(child.unsent)
    for number in (1, 2):
        bench.supervisor.send(Trace(number, b"{}", bench.reader.fileno()))
    bench.supervisor.send(Untrace(1))
    assert [one.number for one in child.unsent[kept:] if isinstance(one, Trace | Untrace)] == [2, 1]
    os.kill(child.pid, signal.SIGCONT)


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


def test_the_last_words_of_a_worker_that_left_something_unread_are_heard_first(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RESTART_SECONDS", 0.0)

    def fails_once(bench: Bench, number: int, control: Control) -> None:
        if bench.supervisor.restarts:
            bench.obey(number, control)
            return
        os.read(told, 1)
        raise ZeroDivisionError("of this worker")

    told, tell = os.pipe()
    with open(told, "rb"), open(tell, "wb", buffering=0) as gate:
        bench = make(1, fails_once)
        gate.write(b"!")  # only now: start() looks for those that have died, too
        os.waitid(os.P_PID, bench.supervisor._children[0].pid, os.WEXITED | os.WNOWAIT)  # its end is heard of at once
    bench.until(lambda: len(bench.lines) == 1)
    assert "ZeroDivisionError: of this worker" in bench.reported[0]
    assert "died: exit 1; restarting it" in bench.reported[1]


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
