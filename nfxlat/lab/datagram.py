"""UDP probes: request and response, path MTU discovery, errors that ICMP brings back to the sender's socket."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import threading
import time
from dataclasses import dataclass
from types import TracebackType

from nfxlat.lab.netns import Namespace
from nfxlat.lab.probe import family_of

# <linux/in.h>, <linux/in6.h>; the socket module does not have them all
IP_MTU_DISCOVER, IP_RECVERR, IP_MTU, IP_PMTUDISC_DO = 10, 11, 14, 2
IPV6_MTU_DISCOVER, IPV6_MTU, IPV6_RECVERR = 23, 24, 25
HEADERS = {socket.AF_INET: 20 + 8, socket.AF_INET6: 40 + 8}


class UdpEcho:
    """Answers each datagram to `address`:`port` with itself, from a thread; both ends within one process."""

    def __init__(self, namespace: Namespace, address: str) -> None:
        with namespace.entered():
            self._socket = socket.socket(family_of(address), socket.SOCK_DGRAM)
            try:
                self._socket.bind((address, 0))
            except OSError:
                self._socket.close()
                raise
        self.address, self.port = address, int(self._socket.getsockname()[1])
        self._wake, self._waker = socket.socketpair()
        self._thread = threading.Thread(target=self._serve, name=f"udp echo {address}", daemon=True)

    def __enter__(self) -> UdpEcho:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._waker.close()
        self._thread.join()
        self._wake.close()
        self._socket.close()

    def _serve(self) -> None:
        while self._wake not in select.select([self._socket, self._wake], [], [])[0]:
            # an ICMP error about an answer shows up here; the client will tell
            with contextlib.suppress(OSError):
                data, client = self._socket.recvfrom(65535)
                self._socket.sendto(data, client)


@dataclass(frozen=True, slots=True)
class Exchange:
    """A datagram of `size` octets that came back unchanged after `rtt` ms; `error`: why not, else empty."""

    size: int
    rtt: float | None
    error: str = ""

    @property
    def ok(self) -> bool:
        return self.rtt is not None


@dataclass(frozen=True, slots=True)
class PathMtu:
    """MTUs of the path in the order of their discovery, the first the link's own; `delivered`: octets of the packet
    with DF set that came back in the end, None if none did; `error`: why not.
    """

    steps: tuple[int, ...]
    delivered: int | None
    error: str = ""

    @property
    def mtu(self) -> int:
        return self.steps[-1]


def _connected(target: str, port: int, source: str | None, timeout: float) -> socket.socket:
    udp = socket.socket(family_of(target), socket.SOCK_DGRAM)
    try:
        udp.settimeout(timeout)
        if source:
            udp.bind((source, 0))
        udp.connect((target, port))
    except OSError:
        udp.close()
        raise
    return udp


def exchange(target: str, port: int, size: int, source: str | None = None, *, timeout: float = 5.0) -> Exchange:
    """Send `size` random octets to an echo server; fragments are left to the network stack."""
    payload = os.urandom(size)
    with _connected(target, port, source, timeout) as udp:
        started = time.monotonic()
        try:
            udp.send(payload)
            answer = udp.recv(65535)
        except OSError as error:
            return Exchange(size, None, name_of(error))
        rtt = (time.monotonic() - started) * 1000
    return Exchange(size, rtt) if answer == payload else Exchange(size, None, f"{len(answer)} other octets came back")


def path_mtu(target: str, port: int, source: str | None = None, *, timeout: float = 5.0) -> PathMtu:
    """Send datagrams with DF set as large as the known path MTU, until one comes back from the echo server.

    What this host has learned before counts: flush its route cache to see the discovery.
    """
    family = family_of(target)
    with _connected(target, port, source, timeout) as udp:
        if family == socket.AF_INET6:
            level, discover, query = socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_MTU
        else:
            level, discover, query = socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_MTU
        udp.setsockopt(level, discover, IP_PMTUDISC_DO)
        steps = [udp.getsockopt(level, query)]
        while True:
            payload = os.urandom(steps[-1] - HEADERS[family])
            try:
                udp.send(payload)
                answer = udp.recv(65535)
            except OSError as error:
                mtu = udp.getsockopt(level, query)
                if error.errno != errno.EMSGSIZE or mtu >= steps[-1]:
                    return PathMtu(tuple(steps), None, name_of(error))
                steps.append(mtu)
                continue
            if answer != payload:
                return PathMtu(tuple(steps), None, f"{len(answer)} other octets came back")
            return PathMtu(tuple(steps), steps[-1])


def icmp_error(target: str, port: int, source: str | None = None, *, timeout: float = 5.0) -> str:
    """The error that an ICMP message brings back about a small datagram, as the name of its errno ("ECONNREFUSED",
    "EHOSTUNREACH"); "answered" if somebody answers, "ETIMEDOUT" if nothing comes within `timeout` seconds.
    """
    with _connected(target, port, source, timeout) as udp:
        # also what UDP takes for passing trouble (icmp.c: icmp_err_convert, not fatal)
        if udp.family == socket.AF_INET6:
            udp.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVERR, 1)
        else:
            udp.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
        try:
            udp.send(b"nfxlat probe")
            udp.recv(65535)
        except OSError as error:
            return name_of(error)
    return "answered"


def name_of(error: OSError) -> str:
    """The name of an errno; a socket timeout is ETIMEDOUT."""
    if isinstance(error, TimeoutError):
        return "ETIMEDOUT"
    return errno.errorcode.get(error.errno or 0, str(error))
