"""Descriptors that a service manager keeps: what it gives, what it is given, what is not ours."""

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nfxlat.service import notify, unit
from nfxlat.service.loop import Loop
from nfxlat.service.store import FIRST, Store


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.setattr(notify, "PATIENCE", 0.05)  # it reads no barrier
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.setblocking(False)
        yield listening


def told(manager: socket.socket) -> list[tuple[str, int]]:
    """What it was told, and how many descriptors came with each."""
    found: list[tuple[str, int]] = []
    while True:
        try:
            octets, descriptors, _, _ = socket.recv_fds(manager, 1 << 12, 4)
        except BlockingIOError:
            return found
        for descriptor in descriptors:
            os.close(descriptor)
        found.append((octets.decode(), len(descriptors)))


def test_each_descriptor_is_kept_once_and_its_successor_in_its_place(manager: socket.socket) -> None:
    store = Store()
    store.keep("nfqueue-8", 0)
    store.keep("nfqueue-8", 0)
    assert told(manager) == [("FDSTORE=1\nFDNAME=nfqueue-8\nFDPOLL=0", 1)]
    assert store.keeps
    store.keep("nfqueue-8", 1)
    assert [state.split("\n")[0] for state, _ in told(manager)] == ["FDSTOREREMOVE=1", "BARRIER=1", "FDSTORE=1"]
    store.forget_all()
    assert told(manager) == [("FDSTOREREMOVE=1\nFDNAME=nfqueue-8", 0), ("BARRIER=1", 1)]


def test_without_a_manager_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    store = Store()
    store.keep("nfqueue-8", 0)
    assert not store.keeps


def test_what_is_given_is_taken_by_name_and_the_rest_is_closed(
    manager: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[int] = []
    monkeypatch.setattr(os, "set_inheritable", lambda number, how: None)
    monkeypatch.setattr(os, "close", closed.append)
    environment = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "3", "LISTEN_FDNAMES": "one:two:one", "PATH": "/bin"}
    store = Store.of(environment)
    assert environment == {"PATH": "/bin"}
    assert closed == [FIRST + 2]  # of the same name
    assert store.waiting("t") == 1
    assert (store.take("two"), store.take("two"), store.take("three")) == (FIRST + 1, None, None)
    store.close_rest()
    assert closed[1] == FIRST


@pytest.mark.parametrize(
    "environment",
    [{}, {"LISTEN_PID": "1", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "one"}, {"LISTEN_PID": "x", "LISTEN_FDS": "1"}],
)
def test_what_is_for_another_process_is_not_ours(environment: dict[str, str]) -> None:
    assert not Store.of(environment).keeps


@pytest.mark.parametrize(
    ("shown", "over"),
    [
        ("ActiveState=inactive\n", True),
        ("ActiveState=inactive\nJob=\n", True),
        ("ActiveState=inactive\nJob=17\n", False),
        ("ActiveState=activating\n", False),
        ("ActiveState=failed\n", False),
        ("-", False),
    ],
)
def test_a_unit_is_over_when_it_is_stopped_and_nobody_starts_it(shown: str, over: bool) -> None:
    assert unit.is_over(shown) is over


def test_a_manager_that_answers_slowly_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unit, "unit", lambda: "nfxlat@siit0.service")
    monkeypatch.setattr(unit, "EVERY", 0.05)

    def slow(name: str, say: socket.socket) -> None:
        time.sleep(0.3)
        say.send(b"ActiveState=inactive")

    monkeypatch.setattr(unit, "_tell", slow)
    loop, ended = Loop(), list[bool]()

    def end() -> None:
        ended.append(True)
        loop.stop()

    watch = unit.UnitWatch(loop, end)
    loop.later(10, loop.stop)
    loop.run()
    watch.close()
    assert ended == [True]


def test_a_descriptor_that_is_not_open_was_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nfxlat.service.store.FIRST", 1 << 30)  # more than a process may have
    environment = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "2", "LISTEN_FDNAMES": "nfqueue-8:nfqueue-9"}
    store = Store.of(environment)
    assert environment == {}
    assert store.take("nfqueue-8") is None
    assert not store.keeps
