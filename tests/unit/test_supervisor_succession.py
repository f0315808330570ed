"""The supervisor of processes: workers are succeeded by others, or their successors discarded."""

import errno
import os
import signal

import pytest
from supervised import Bench, Make, make

from nfxlat.errors import OperatorError
from nfxlat.service import supervisor as module
from nfxlat.service.control import Control
from nfxlat.service.messages import Message, MessageError, Node, Retired, Stop

__all__ = ["make"]  # a fixture


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


def test_a_worker_that_could_not_be_told_to_stop_at_once_is_told_again(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = make(1)
    bench.until(lambda: len(bench.lines) == 1)
    bench.supervisor.prepare()
    send = Control.send
    refused: list[Message] = []

    def refuse_twice(control: Control, message: Message) -> None:
        if message == Stop() and len(refused) < 2:
            refused.append(message)
            raise OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS))
        send(control, message)

    monkeypatch.setattr(Control, "send", refuse_twice)
    assert bench.supervisor.succeed() < module.STOP_SECONDS / 2
    bench.until(lambda: len(bench.pids("Go")) == 2)
    assert refused == [Stop()] * 2
    assert bench.pids("Stop") == bench.pids("Go")[:1]
    assert bench.reported == []


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


def test_a_successor_that_fails_is_an_error_and_its_last_words_are_told(make: Make) -> None:
    bench = make(1)
    bench.until(lambda: len(bench.lines) == 1)

    def fails(bench: Bench, number: int, control: Control) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    bench.life = fails
    bench._awaited = lambda: False  # what is told now ends no loop
    for times in (1, 2):
        with pytest.raises(OperatorError, match="worker 0: the new worker did not become ready"):
            bench.supervisor.prepare()
        assert len(bench.reported) == times
        assert bench.reported[-1].endswith("Too many open files\n")
    bench.supervisor.send(Node())
    bench.until(lambda: bench.pids("Node") == bench.pids("Go"))
