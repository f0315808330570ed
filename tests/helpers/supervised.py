"""A supervisor of processes, without root: workers that do nothing but say what they are told.

A worker's life here is a function of (number, control); what it writes to the pipe is a line that begins with its name,
and the test goes on at the line that it waits for.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from nfxlat.service.control import Control
from nfxlat.service.loop import Loop
from nfxlat.service.messages import Message, Ping, Pong, Ready, Stop
from nfxlat.service.supervisor import Supervisor


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
