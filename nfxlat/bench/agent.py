"""Agents: processes in the lab's hosts that make and take traffic, one command at a time.

python -m nfxlat.bench.agent CONTROL     CONTROL: descriptor of a SOCK_SEQPACKET socket; one JSON value a message

to it:    {"do": NAME, "with": {...}}, and what the command itself wants to hear ("count", "stop")
from it:  what the command says on the way; {"result": {...}}, {"failed": text} or {"bug": traceback}
"""

from __future__ import annotations

import argparse
import json
import select
import signal
import socket
import subprocess
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from nfxlat.lab.netns import PYTHON, Namespace, end_processes

_MESSAGE = 4 << 20


class Failed(Exception):
    """A measurement that the network made impossible; its words are for the report."""


class Agent:
    """One agent in `namespace`, from `start` to `close`; it is started again where it does not answer in time."""

    def __init__(self, namespace: Namespace) -> None:
        self._namespace = namespace
        self._process: subprocess.Popen[str] | None = None
        self._control: socket.socket | None = None

    def start(self) -> None:
        """Start the process."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _MESSAGE)
        name = self._namespace.name
        with theirs:
            # ip netns exec mounts the namespace's own /sys, which the GRO timers need
            self._process = self._namespace.popen(
                ["ip", "netns", "exec", name, *PYTHON, "-m", "nfxlat.bench.agent", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
            )
        self._control = ours

    def close(self) -> None:
        """End the process. Safe to call twice."""
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._process is not None:
            end_processes([self._process], grace=0.5)
            if self._process in self._namespace.processes:
                self._namespace.processes.remove(self._process)
            self._process = None

    def say(self, message: Any) -> None:
        """Tell the agent something."""
        if self._control is None:
            self.start()
        assert self._control is not None
        try:
            self._control.send(json.dumps(message).encode())
        except OSError as error:
            self.close()
            raise Failed(f"the agent in {self._namespace.label} is gone ({error.strerror})") from None

    def begin(self, name: str, **arguments: Any) -> None:
        """Begin a command; its messages are to be had by `hear`."""
        self.say({"do": name, "with": arguments})

    def hear(self, timeout: float) -> dict[str, Any]:
        """The next message, which is the result when the command has ended. Raises Failed; RuntimeError for a bug."""
        if self._control is None or not select.select([self._control], [], [], timeout)[0]:
            self.close()
            raise Failed(f"no answer from {self._namespace.label} within {timeout:.0f} s")
        try:
            data = self._control.recv(_MESSAGE)
        except OSError:
            data = b""
        if not data:
            self.close()
            raise Failed(f"the agent in {self._namespace.label} has ended")
        message: dict[str, Any] = json.loads(data)
        if "bug" in message:
            raise RuntimeError(f"agent in {self._namespace.label}:\n{message['bug']}")
        if "failed" in message:
            raise Failed(message["failed"])
        result: dict[str, Any] = message.get("result", message)
        return result

    def ask(self, name: str, timeout: float, **arguments: Any) -> dict[str, Any]:
        """Run a command to its end."""
        self.begin(name, **arguments)
        return self.hear(timeout)

    @contextmanager
    def serving(self, name: str, **arguments: Any) -> Iterator[int]:
        """A command that listens until it is stopped; yields its port."""
        self.begin(name, **arguments)
        try:
            yield int(self.hear(5.0)["port"])
            self.say("stop")
            self.hear(5.0)
        except BaseException:
            self.close()  # what it was about to say would be taken for the next command's answer
            raise


class _Talk:
    """The agent's side."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)

    def fileno(self) -> int:
        return self._socket.fileno()

    def say(self, message: Any) -> None:
        self._socket.send(json.dumps(message).encode())

    def hear(self) -> Any:
        data = self._socket.recv(_MESSAGE)
        if not data:
            raise SystemExit(0)  # the benchmark is gone
        return json.loads(data)


def main() -> None:
    """Obey until the control socket ends."""
    from nfxlat.bench.traffic import COMMANDS

    parser = argparse.ArgumentParser(prog="python -m nfxlat.bench.agent", description=__doc__)
    parser.add_argument("control", type=int)
    talk = _Talk(parser.parse_args().control)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        command = talk.hear()
        answer: dict[str, Any]
        try:
            answer = {"result": COMMANDS[command["do"]](talk, **command["with"])}
        except OSError as error:
            answer = {"failed": f"{command['do']}: {error}"}
        except Exception:
            answer = {"bug": traceback.format_exc()}
        talk.say(answer)


if __name__ == "__main__":
    main()
