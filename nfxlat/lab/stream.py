"""A paced stream of numbered datagrams, and what of it arrives: for counting what is lost while something changes."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from types import TracebackType

from nfxlat.lab.topology import Lab

SO_RCVBUFFORCE = 33
SOFTNET = Path("/proc/net/softnet_stat")
LOOK, PATIENCE = 0.05, 5.0  # seconds: of one look for what arrives, and without anything once all is sent


class Stream:
    """Numbered datagrams at an even pace from each of host4's `sources` to each of `targets`, received by host6's one
    socket. Each pair is a flow, with its place in `arrived` and `lost`: those of the first source come first.
    """

    def __init__(self, lab: Lab, targets: Sequence[str], rate: int, sources: Sequence[str] = ("",)) -> None:
        with lab.host6.entered():
            self._sink = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        self._sink.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 32 << 20)
        self._sink.bind(("::", 0))
        self._sink.settimeout(LOOK)
        with lab.host4.entered():
            self._sources = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in sources]
        for sender, address in zip(self._sources, sources, strict=True):
            sender.bind((address, 0))
        self._port, self._pause = self._sink.getsockname()[1], 1 / rate
        self._flows = list(product(self._sources, targets))
        self.arrived: list[set[int]] = [set() for _ in self._flows]
        self.sent, self._stopped, self._complete = 0, threading.Event(), threading.Event()
        self.errors: list[str] = []
        self._sender = threading.Thread(target=self._send)
        self._receiver = threading.Thread(target=self._receive)

    def _send(self) -> None:
        due = time.monotonic()
        while not self._stopped.is_set():
            for index, (sender, target) in enumerate(self._flows):
                try:
                    sender.sendto(bytes((index,)) + self.sent.to_bytes(4, "big"), (target, self._port))
                except OSError as error:
                    self.errors.append(f"{self.sent} to {target}: {error}")
            self.sent += 1
            due += self._pause
            self._stopped.wait(max(0.0, due - time.monotonic()))

    def _receive(self) -> None:
        """Until all has arrived that was sent, or nothing has come for PATIENCE seconds after the end.

        `sent` is not the whole of it before `_complete`: the sender may be in the middle of its last.
        """
        quiet = 0
        while not self._complete.is_set() or sum(map(len, self.arrived)) < self.sent * len(self._flows):
            try:
                data = self._sink.recv(16)
            except TimeoutError:
                quiet += self._complete.is_set()
                if quiet * LOOK > PATIENCE:
                    return
                continue
            quiet = 0
            self.arrived[data[0]].add(int.from_bytes(data[1:], "big"))

    def __enter__(self) -> Stream:
        self._receiver.start()
        self._sender.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._sender.join()
        self._complete.set()
        for sender in self._sources:
            sender.close()
        self._receiver.join()
        self._sink.close()

    @property
    def lost(self) -> list[list[int]]:
        """The numbers that have not arrived, flow by flow, once it has ended."""
        return [sorted(set(range(self.sent)) - numbers) for numbers in self.arrived]


def backlog_drops() -> int:
    """What this machine's processors dropped between two ends of a veth, in all namespaces together."""
    return sum(int(line.split()[1], 16) for line in SOFTNET.read_text().splitlines())
