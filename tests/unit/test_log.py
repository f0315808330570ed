"""Lines for the operator cost at most themselves: writing them never raises and never waits."""

import errno
import fcntl
import os
import pty
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import pytest

from nfxlat.errors import OperatorError, printable
from nfxlat.service.log import LONGEST, Log

F_SETPIPE_SZ = 1031


Make = Callable[[int], Log]


@pytest.fixture
def make() -> Iterator[Make]:
    """Makes logs that are closed in the end."""
    with ExitStack() as stack:
        yield lambda descriptor: stack.enter_context(closing(Log(descriptor)))


@pytest.fixture
def pipe() -> Iterator[list[int]]:
    """A pipe of one page: [read end, write end]; what a test closes it takes out."""
    ends = list(os.pipe())
    fcntl.fcntl(ends[1], F_SETPIPE_SZ, 4096)
    yield ends
    for end in ends:
        os.close(end)


def test_lines_arrive_whole_and_in_order(make: Make, pipe: list[int]) -> None:
    log = make(pipe[1])
    log("one")
    log("two\nthree")
    assert os.read(pipe[0], 4096) == b"one\ntwo\nthree\n"
    assert log.lost == 0


def test_a_pipe_that_nobody_reads_costs_the_lines_that_do_not_fit(make: Make, pipe: list[int]) -> None:
    log = make(pipe[1])
    for _ in range(10):
        log("x" * 999)
    assert log.lost == 6  # of 1,000 octets each, into 4,096
    assert os.get_blocking(pipe[1])  # not changed for whoever else writes to it
    os.read(pipe[0], 4096)
    log("again")
    assert os.read(pipe[0], 4096) == b"again\n"
    assert log.lost == 6


def test_a_pipe_whose_reader_has_gone_costs_the_line(make: Make, pipe: list[int]) -> None:
    log = make(pipe[1])
    os.close(pipe.pop(0))
    for _ in range(3):
        log("x")
    assert log.lost == 3


def test_a_reader_that_was_gone_before_is_no_error(make: Make) -> None:
    read, write = os.pipe()
    os.close(read)
    log = make(write)
    log("x")
    assert log.lost == 1
    os.close(write)


def test_a_descriptor_that_is_closed_costs_the_line(make: Make) -> None:
    read, write = os.pipe()
    os.close(read)
    os.close(write)
    log = make(write)
    log("x")
    assert log.lost == 1


def test_a_full_disk_costs_the_line(make: Make) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    log = make(full)
    log("x")
    assert log.lost == 1
    os.close(full)


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_socket_that_nobody_reads_or_has_gone_costs_the_line(make: Make, kind: socket.SocketKind) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, kind)
    log = make(ours.fileno())
    log("one")
    assert theirs.recv(10) == b"one\n"
    for _ in range(3000):
        log("x" * 1000)
    before = log.lost
    assert 0 < before < 3000
    theirs.close()
    log("x")
    assert log.lost == before + 1
    ours.close()


def test_a_terminal_that_has_gone_or_is_held_costs_the_line(make: Make) -> None:
    master, slave = pty.openpty()
    log = make(slave)
    for _ in range(3000):  # nobody reads at the other end
        log("x" * 1000)
    before = log.lost
    assert before > 0
    os.close(master)
    log("x")
    assert log.lost == before + 1
    os.close(slave)


def test_a_write_that_fails_for_any_reason_costs_the_line(
    make: Make, pipe: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    log = make(pipe[1])
    for number in (errno.EIO, errno.EDQUOT, errno.EAGAIN, errno.ENOMEM):

        def refuse(descriptor: int, octets: bytes, number: int = number) -> int:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, "write", refuse)
        log("x")
    assert log.lost == 4


def test_a_line_that_is_too_long_is_cut(make: Make, pipe: list[int]) -> None:
    log = make(pipe[1])
    log("y" * 2 * LONGEST)
    assert os.read(pipe[0], 2 * LONGEST) == b"y" * (LONGEST - 1) + b"\n"
    assert log.lost == 0


@pytest.mark.parametrize(
    "text", ["\x1b]0;owned\x07", "\x1b[2J", "a\rb", "\x9b31m", "\x7f", "\x00", "a\u202eb", "\u2028", "\udcff"]
)
def test_nothing_that_controls_a_terminal_is_written(make: Make, pipe: list[int], text: str) -> None:
    make(pipe[1])(f"key {text} of a file")
    written = os.read(pipe[0], 4096).decode()
    assert written.replace("\n", "").isprintable()
    assert written.startswith("key ")
    assert str(OperatorError(f"unknown key {text}", where=text)).isprintable()
    assert printable(text).isprintable()


def test_what_is_harmless_is_written_as_it_is() -> None:
    assert printable("naïve 日本 \\x1b") == "naïve 日本 \\x1b"
