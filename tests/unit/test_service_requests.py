"""What root may ask of a running translator: who is heard, what is understood, and what becomes of the rest."""

import contextlib
import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from nfxlat.cli.translators import only_line
from nfxlat.errors import OperatorError
from nfxlat.lab.netns import wait_for
from nfxlat.service import requests, status
from nfxlat.service.loop import Loop
from nfxlat.service.requests import Asker, Line, Requests, lines

NAME = f"t{os.getpid()}"


class Bench:
    """One that answers, in a thread of its own."""

    def __init__(self) -> None:
        self.loop, self.reported, self.ended = Loop(), list[str](), threading.Event()
        handlers = {"echo": self.echo, "refuse": self.refuse, "fail": self.fail, "listen": self.listen}
        handlers["begin"] = self.begin
        self.words: list[bytes] = []
        self.begun: list[int] = []
        self.requests = Requests(NAME, handlers, self.loop, self.reported.append)
        self._tick()
        self.thread = threading.Thread(target=self.loop.run)
        self.thread.start()

    def _tick(self) -> None:
        """So that `stop` is seen."""
        self.loop.later(0.02, self._tick)

    def echo(self, asker: Asker, request: dict[str, Any]) -> dict[str, Any]:
        asker.answer_text = asker.text[::-1]
        asker.ends.callback(self.ended.set)
        return {"word": request["say"]}

    def begin(self, asker: Asker, request: dict[str, Any]) -> dict[str, Any]:
        asker.ends.callback(self.ended.set if request["say"] == 1 else lambda: None)
        asker.ends.callback(self.begun.append, request["say"])
        return {}

    def listen(self, asker: Asker, request: dict[str, Any]) -> dict[str, Any]:
        asker.on_word = self.words.append
        asker.on_answered = partial(self.more, asker)
        asker.ends.callback(self.ended.set)
        return {}

    def more(self, asker: Asker) -> None:
        asker.connection.send(b"more")

    def refuse(self, asker: Asker, request: dict[str, Any]) -> dict[str, Any]:
        raise OperatorError("no", where="here")

    def fail(self, asker: Asker, request: dict[str, Any]) -> dict[str, Any]:
        raise ZeroDivisionError

    def close(self) -> None:
        self.loop.stop()
        self.thread.join()
        self.requests.close()


@pytest.fixture
def bench() -> Iterator[Bench]:
    with ExitStack() as stack:
        bench = Bench()
        stack.callback(bench.close)
        yield bench


def line() -> Line:
    (found,) = lines(NAME)
    return found


def test_requests_are_answered_one_after_the_other_with_a_text_beside_them(bench: Bench) -> None:
    with line() as asked:
        assert asked.pid == os.getpid()
        text = "203.0.113.9 2001:db8::9\n" * 100_000
        for word in ("one", "two"):
            answer, beside = asked.ask("echo", text, say=word)
            assert (answer["word"], beside) == (word, text[::-1])
        assert asked.ask("echo", say="three")[1] == ""
    assert bench.ended.wait(10)


def test_what_is_refused_is_one_line_and_what_fails_is_told_too(bench: Bench) -> None:
    with line() as asked:
        for word, what in (("refuse", "here: no"), ("fail", "ZeroDivisionError"), ("other", "no such request")):
            with pytest.raises(OperatorError, match=what):
                asked.ask(word)
        assert asked.ask("echo", say="still")[0]["word"] == "still"
    assert len(bench.reported) == 1


def test_behind_an_answer_both_sides_may_go_on_in_words_of_their_own(bench: Bench) -> None:
    with line() as asked:
        asked.ask("listen")
        assert asked.connection.recv(16) == b"more"
        with open(os.devnull) as beside:  # is let go of: the number of descriptors stays as it was
            before = len(os.listdir("/proc/self/fd"))
            socket.send_fds(asked.connection, [b"one"], [beside.fileno()])
            asked.connection.send(b"two")
    assert bench.ended.wait(10)
    assert bench.words == [b"one", b"two"]
    assert len(os.listdir("/proc/self/fd")) <= before


def test_files_that_are_not_in_memory_and_those_beside_nothing_are_let_go_of(bench: Bench) -> None:
    """A file on a mount may hang, one without end has no size, and a message of no octets is an end."""
    with ExitStack() as stack:
        made = [os.open(path, flags) for path, flags in ((os.curdir, os.O_RDONLY), (__file__, os.O_RDONLY))]
        made += [os.open("/dev/zero", os.O_RDONLY), os.open(os.curdir, os.O_PATH), *os.pipe()]
        huge, other = os.memfd_create("huge"), os.memfd_create("other")
        os.truncate(huge, 1 << 40)
        os.write(other, b"\xff")
        for descriptor in (*made, huge, other):
            stack.callback(os.close, descriptor)
        asked = stack.enter_context(line())
        asked.ask("echo", say="here")
        before = len(os.listdir("/proc/self/fd"))
        request = json.dumps({"protocol": requests.PROTOCOL, "ask": "echo", "say": "x"}).encode()
        for descriptor, why in (*((one, "no file in memory") for one in made), (huge, "larger"), (other, "be read")):
            socket.send_fds(asked.connection, [request], [descriptor])
            assert why in json.loads(asked.connection.recv(1 << 12))["error"]
        for _ in range(3):
            with line() as silent:
                silent.connection.sendmsg(
                    [b""], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, made[0].to_bytes(4, "little"))]
                )
                assert silent.connection.recv(1) == b""
        assert asked.ask("echo", say="still")[0]["word"] == "still"
        assert len(os.listdir("/proc/self/fd")) <= before
    assert not bench.reported


def test_each_thing_that_was_begun_on_a_connection_hears_of_its_end(bench: Bench) -> None:
    with line() as asked:
        for number in (1, 2):
            asked.ask("begin", say=number)
    assert bench.ended.wait(10)
    assert bench.begun == [2, 1]


@pytest.mark.parametrize("octets", [b"{", b"[]", b'{"ask": "echo"}', b'{"protocol": 2, "ask": "echo", "say": "x"}'])
def test_another_protocol_is_refused_and_never_half_understood(bench: Bench, octets: bytes) -> None:
    with line() as asked:
        asked.connection.send(octets)
        answer = json.loads(asked.connection.recv(1 << 12))
        assert answer["protocol"] == requests.PROTOCOL
        assert answer.keys() == {"protocol", "error"}
        assert not bench.ended.is_set()


def test_an_answer_of_another_protocol_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    asked = Line.__new__(Line)
    asked.one, asked.connection = status.Running("siit0", 7), ours
    theirs.send(b'{"protocol": 7, "ok": true}')
    with pytest.raises(OperatorError, match="version 7 of the protocol"):
        asked.ask("echo")
    theirs.close()
    with pytest.raises(OperatorError, match="does not answer"):
        asked.ask("echo")
    asked.close()


def test_a_name_that_is_taken_is_no_hindrance_and_is_not_believed() -> None:
    own = status.Running(NAME, os.getpid(), "/control")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as squatter:
        squatter.bind(own.address)
        bench = Bench()
        try:
            with line() as asked:
                assert asked.one.suffix.startswith("/control-")
                assert asked.ask("echo", say="x")[0]["word"] == "x"
        finally:
            bench.close()


def test_of_two_of_one_domain_none_is_asked(bench: Bench) -> None:
    other = Bench()
    try:
        with pytest.raises(OperatorError, match=f"domain {NAME}: a successor is taking over; try again"):
            only_line(NAME)
    finally:
        other.close()
    with only_line(NAME) as asked:
        assert asked.ask("echo", say="x")[0]["word"] == "x"


def test_where_others_have_filled_the_queue_there_is_a_place_as_soon_as_one_is_heard(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Anybody may connect, and so fill it; it was "no translator is running" then."""
    monkeypatch.setattr(status, "_translates", lambda pid: pid == os.getpid())
    listener, own = status.bound(NAME, socket.SOCK_SEQPACKET, "control")
    with ExitStack() as stack:
        stack.enter_context(listener)
        with contextlib.suppress(BlockingIOError):
            while True:
                flood = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
                flood.setblocking(False)
                flood.connect(own.address)
        found: list[Line] = []
        asking = threading.Thread(target=lambda: found.extend(lines(NAME)))
        asking.start()

        def waits() -> bool:
            try:
                state = Path(f"/proc/self/task/{asking.native_id}/stat").read_text().rpartition(")")[2].split()[0]
            except (FileNotFoundError, ProcessLookupError):  # it has ended
                return True
            return state == "S"

        wait_for(waits, "the one that asks")
        while asking.is_alive():
            with contextlib.suppress(BlockingIOError):
                stack.enter_context(listener.accept()[0])
            asking.join(0.01)
        assert [one.pid for one in found] == [os.getpid()]
        found[0].close()


def test_another_user_is_not_heard(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = line()
    monkeypatch.setattr(status, "peer", lambda connection: (1, 65534, 65534))
    again = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    again.connect(asked.one.address)
    again.settimeout(10)
    assert again.recv(16) == b""
    again.close()
    asked.close()
