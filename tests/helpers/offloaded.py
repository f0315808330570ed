"""What tests of `--offload` share: a flow of numbered datagrams, and what the translator says of its offload."""

import itertools
import select
import socket

from nfxlat.lab.netns import Namespace, wait_for
from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.stream import SO_RCVBUFFORCE
from nfxlat.lab.topology import HOST4, HOST6_4, HOST6_PREFIX, Lab
from nfxlat.terms import Direction

OFFLOAD = ("--offload",)


def udp(namespace: Namespace, family: socket.AddressFamily, address: str, port: int = 0) -> socket.socket:
    with namespace.entered():
        made = socket.socket(family, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
    made.bind((address, port))
    made.settimeout(10.0)
    return made


def waiting(receiver: socket.socket) -> list[bytes]:
    """What has arrived, without waiting for it."""
    found = []
    while select.select([receiver], [], [], 0)[0]:
        found.append(receiver.recv(4096))
    return found


class Flow:
    """Numbered datagrams from one host to the other, both ends connected: `there` receives what `here` sends."""

    def __init__(self, lab: Lab, *, target: str = HOST6_4, receiver: str = HOST6_PREFIX, port: int = 0) -> None:
        self._number = itertools.count()
        self.there = udp(lab.host6, socket.AF_INET6 if ":" in receiver else socket.AF_INET, receiver, port)
        self.here = udp(lab.host4, socket.AF_INET, HOST4)
        self.here.connect((target, self.there.getsockname()[1]))

    def exchange(self, size: int = 8) -> None:
        """One there, one back."""
        number = next(self._number).to_bytes(8, "big").ljust(size, b".")
        self.here.send(number)
        data, sender = self.there.recvfrom(4096)
        assert data == number
        self.there.sendto(data, sender)
        assert self.here.recv(4096) == number

    def arrived(self) -> list[bytes]:
        """What waits for `there`, without waiting for it."""
        return waiting(self.there)

    def close(self) -> None:
        self.here.close()
        self.there.close()


class Node:
    """What the translator in the middle says of its offload."""

    def __init__(self, process: TranslatorProcess) -> None:
        self.process = process

    def outcomes(self, direction: Direction) -> dict[str, int]:
        """Packets by what became of them (nfxlat.offload.table.OUTCOMES)."""
        found: dict[str, int] = self.process.summary()["offload"][direction]
        return found

    def counted(self, outcome: str, direction: Direction = "4to6") -> int:
        return self.outcomes(direction)[outcome]

    def forgotten(self, why: str) -> int:
        number: int = self.process.summary()["offload"]["forgotten"].get(why, 0)
        return number

    def learn(self, flow: Flow) -> None:
        """Exchange datagrams until one crosses in the kernel, both ways."""
        for direction in ("4to6", "6to4"):
            before = self.counted("translated", direction)

            def crossed(before: int = before, direction: Direction = direction) -> bool:
                flow.exchange()
                return self.counted("translated", direction) > before

            wait_for(crossed, f"a datagram that crosses {direction} in the kernel")
