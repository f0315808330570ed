"""`nfxlat stats` and `nfxlat top`, beside a translator at work.

host4 --- router4 --- translator --- router6 --- host6
"""

import contextlib
import json
import os
import select
import signal
import socket
import time
from collections.abc import Iterator

import pytest

from nfxlat.cli import main
from nfxlat.errors import OperatorError
from nfxlat.lab.netns import Namespace
from nfxlat.lab.probe import ping
from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.topology import HOST6_4, Lab
from nfxlat.service import status
from nfxlat.service.requests import lines
from nfxlat.service.status import Running, StatusSocket, ask, bound, running

NOBODY = 65534


@pytest.fixture
def node() -> Iterator[Namespace]:
    with Namespace("stats") as namespace, namespace.entered():
        yield namespace


def test_counters_are_told_while_it_runs(
    lab: Lab, process: TranslatorProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lab.host4.call(ping, HOST6_4, count=3).ok
    process.summary()  # the worker counts behind what it has sent
    with lab.translator.entered():
        assert running() == [Running("siit0", process.pid)]
        assert main(["stats", "--json", "--domain", "siit0"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert main(["stats"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert main(["top", "--interval", "0.1", "--count", "1"]) == 0
        table = capsys.readouterr().out
    assert told["pid"] == process.pid
    assert told["reasons"]["translated"] == {"4to6": 3, "6to4": 3}
    assert told["totals"] == process.summary()["totals"]
    assert lines[0].startswith("summary of siit0 after ")
    assert "4to6 translated" in table


def test_of_another_namespace_nothing_is_seen(lab: Lab, process: TranslatorProcess) -> None:
    with lab.host4.entered():
        assert running() == []


@pytest.mark.parametrize("arguments", [["stats"], ["top"], ["stats", "--domain", "siit9"]])
def test_where_nothing_runs_that_is_said_in_one_line(
    node: Namespace, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "translator" in error


def test_an_interval_that_is_none_is_refused(node: Namespace, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["top", "--interval", "0"]) == 2
    assert "--interval" in capsys.readouterr().err


def test_only_root_and_the_owner_are_told(node: Namespace) -> None:
    own = StatusSocket("siit0", lambda: {"secret": 1})
    (one,) = running()
    child = os.fork()
    if not child:
        code = 1
        try:
            os.setuid(NOBODY)
            ask(one)
        except OperatorError:
            code = 0
        finally:
            os._exit(code)
    os.set_blocking(own.fileno(), True)  # the child connects when it does
    own.answer()
    assert os.waitpid(child, 0)[1] == 0
    own.close()
    assert running() == []


def test_one_that_says_nothing_is_not_waited_for(node: Namespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "_TIMEOUT", 0.1)
    own = StatusSocket("siit0", dict)
    with pytest.raises(OperatorError, match=r"does not answer within 0\.1 s; it is busy"):
        ask(running()[0])
    own.answer()  # who asked has gone
    own.close()


def test_one_that_was_killed_is_not_asked_while_another_process_holds_its_sockets(node: Namespace) -> None:
    """As one that it has just forked does."""
    told, tell = os.pipe()
    child = os.fork()
    if not child:
        listeners = [bound("siit0", socket.SOCK_STREAM), bound("siit0", socket.SOCK_SEQPACKET, "control")]
        if holder := os.fork():
            os.write(tell, f"{holder}\n".encode())
        while listeners:
            signal.pause()
    holder = int(os.read(told, 16))
    try:
        assert [one.pid for one in running()] == [child]
        (line,) = lines()
        line.close()
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        assert running() == []
        assert lines() == []
    finally:
        os.kill(holder, signal.SIGKILL)
        os.close(told)
        os.close(tell)


def squat(*names: str, answers: bytes = b"", uid: int = NOBODY) -> int:
    """A process of another user that listens at these names, and answers each who asks; its pid."""
    ready, told = os.pipe()
    child = os.fork()
    if child:
        os.close(told)
        assert os.read(ready, 1) == b"+"
        os.close(ready)
        return child
    try:
        os.setuid(uid)
        poll = select.poll()
        listeners = {}
        for name in names:
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            listener.bind(f"\0nfxlat/{name.replace('OWN', str(os.getpid()))}")
            listener.listen(8)
            listeners[listener.fileno()] = listener
            poll.register(listener, select.POLLIN)
        os.write(told, b"+")
        while True:
            for number, _ in poll.poll():
                connection, _ = listeners[number].accept()
                with connection, contextlib.suppress(OSError):
                    connection.sendall(answers)
    finally:
        os._exit(1)


@contextlib.contextmanager
def squatted(*names: str, answers: bytes = b"", uid: int = NOBODY) -> Iterator[int]:
    pid = squat(*names, answers=answers, uid=uid)
    try:
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_names_of_another_user_are_not_believed(node: Namespace) -> None:
    with squatted("siit0/1", "siit0/OWN", "siit0/7/0123456789abcdef", answers=b"{}"):
        assert running() == []
        assert status.other("siit0") is None
        with pytest.raises(OperatorError, match="does not answer; run as root"):
            ask(Running("siit0", 1))


def test_a_name_of_our_own_user_with_another_process_s_number_is_not_believed(node: Namespace) -> None:
    with squatted("siit0/1", "siit1/OWN", uid=0) as pid:
        assert running() == [Running("siit1", pid)]


@pytest.mark.parametrize(
    "name", ["siit0/1\n@nfxlat/siit1/2", "\x1b[2J/1", "siit0/-1", "siit0/\u0661", "siit0/", "a b/1", "siit0/1/2"]
)
def test_names_that_are_none_are_passed_over(node: Namespace, name: str) -> None:
    with squatted(name, uid=0):
        assert running() == []


def test_a_name_that_is_taken_refuses_nothing(node: Namespace) -> None:
    said: list[str] = []
    with squatted(f"siit0/{os.getpid()}"):
        own = StatusSocket("siit0", dict, said.append)
        (one,) = running()
        assert (one.domain, one.pid) == ("siit0", os.getpid())
        assert one.suffix
        assert status.other("siit0") is None  # it is this process
        own.close()
    assert len(said) == 1
    assert "another process has taken the name" in said[0]


def test_who_never_ends_an_answer_is_not_heard_out(node: Namespace) -> None:
    endless = b" " * (3 * status._LARGEST)
    with squatted("siit0/OWN", answers=endless, uid=0) as pid, pytest.raises(OperatorError, match="does not answer"):
        ask(Running("siit0", pid))


def test_who_has_too_many_waiting_is_not_waited_for(node: Namespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "_TIMEOUT", 60.0)
    waiting = StatusSocket("siit0", dict)
    (one,) = running()
    with contextlib.ExitStack() as stack:
        for _ in range(4 * status._BACKLOG):
            client = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            client.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                client.connect(one.address)
        began = time.monotonic()
        with pytest.raises(OperatorError, match="does not answer"):
            ask(one)
        assert time.monotonic() - began < 20  # not 60
    waiting.close()


def test_a_translator_starts_beside_one_who_squats_its_domain(
    bare_lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    lab = bare_lab
    with (
        lab.translator.entered(),
        squatted("siit0/1", answers=b"{}"),
        TranslatorProcess(lab.translator, lab.directory) as process,
    ):
        assert lab.host4.call(ping, HOST6_4).ok
        assert running() == [Running("siit0", process.pid)]
        assert main(["stats"]) == 0
    assert capsys.readouterr().out.startswith("summary of siit0 after ")
