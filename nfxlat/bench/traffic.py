"""What an agent does: generators and receivers, on the network namespace that it was started in.

A function gets its arguments as JSON and gives a result fit for JSON. Receivers say first where they listen, through
`Talk`, and go on until they are told to stop. Times are of CLOCK_MONOTONIC, which all processes of a machine share.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from pyroute2.ethtool import Ethtool

from nfxlat.bench.frames import Stream
from nfxlat.datapath.inject import DeviceInjector
from nfxlat.datapath.mmsg import ReceiveBatch, SendBatch, address_of
from nfxlat.host import offload
from nfxlat.lab.probe import family_of
from nfxlat.lab.transfer import CHUNK, limit_calls

BURST = 16  # datagrams a system call
RING = 256  # frames laid out, unless every frame is one of its kind
PAUSE = 100e-6  # seconds between looks at the clock
QUIET = 0.25  # seconds without a datagram: nothing more is under way
LONGEST_WAIT = 2.0  # for the first, above all
STALLED = 5.0
_SO_RCVBUFFORCE, _UDP_GRO, _SOL_UDP = 33, 104, 17
_RECEIVE_BUFFER = 64 << 20


class Talk(Protocol):
    """The agent's side of its control socket."""

    def say(self, message: Any) -> None: ...

    def fileno(self) -> int: ...

    def hear(self) -> Any:
        """What the other side says; waits for it."""


def udp_send(talk: Talk, stream: dict[str, Any], rate: float, seconds: float) -> dict[str, Any]:
    """Send at `rate` datagrams a second: {"sent", "refused" by this node's kernel, "seconds", "ended"}."""
    what = Stream.from_json(stream)
    frames = list(what.frames(what.pairs or max(RING, what.flows)))
    refused = 0

    def refuse(code: int, address: int) -> None:
        nonlocal refused
        refused += 1

    arena = bytearray(b"".join(frames))
    base, size = address_of(arena), len(frames[0])
    with DeviceInjector.open_socket(what.interface) as packet_socket:
        bursts = []
        for start in range(0, len(frames), BURST):
            burst = SendBatch(packet_socket.fileno(), BURST + 1, refuse)
            for number in range(start, min(start + BURST, len(frames))):
                burst.put(base + number * size, size)
            bursts.append((burst, burst.lay_out()))
        handed = turn = 0
        started = now = time.monotonic()
        ends = started + seconds
        while now < ends:
            if handed <= (now - started) * rate:
                burst, count = bursts[turn]
                burst.send(count)
                handed += count
                turn += 1
                if turn == len(bursts):
                    turn = 0
                    if what.pairs:
                        break
            else:
                time.sleep(PAUSE)
            now = time.monotonic()
        ended = time.monotonic()
    return {"sent": handed - refused, "refused": refused, "seconds": ended - started, "ended": ended}


@contextlib.contextmanager
def _unobtrusive() -> Iterator[None]:
    """This thread takes the processor from nobody when it wakes up: who counts must not stop who works (sched(7))."""
    before = os.sched_getscheduler(0)
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    try:
        yield
    finally:
        os.sched_setscheduler(0, before, os.sched_param(0))


def udp_receive(talk: Talk, family: int, size: int) -> dict[str, Any]:
    """Count datagrams of `size` octets, which may come coalesced. A number is how many are expected: when they have
    come, or nothing comes any more, it tells and begins anew.
    """
    batch = ReceiveBatch(64, 1 << 16, 0)
    with _unobtrusive(), socket.socket(socket.AddressFamily(family), socket.SOCK_DGRAM) as udp:
        udp.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER)
        udp.setsockopt(_SOL_UDP, _UDP_GRO, 1)
        udp.bind(("", 0))
        talk.say({"port": udp.getsockname()[1]})
        descriptor = udp.fileno()
        poll = select.epoll()
        for watched in (descriptor, talk.fileno()):
            poll.register(watched, select.EPOLLIN)
        octets = expected = 0
        last = asked = 0.0
        while True:
            for ready, _ in poll.poll(QUIET if asked else None):
                if ready == descriptor:
                    while count := batch.receive(descriptor):
                        octets += batch.octets(count)
                        last = time.monotonic()
                elif (said := talk.hear()) == "stop":
                    return {}
                else:
                    asked, expected = time.monotonic(), said * size
            now = time.monotonic()
            quiet = octets and now - max(last, asked) >= QUIET
            if asked and (octets >= expected or quiet or now - asked > LONGEST_WAIT):
                talk.say({"received": octets // size, "last": last})
                octets, last, asked = 0, 0.0, 0.0


@contextlib.contextmanager
def _on_one_processor() -> Iterator[None]:
    """Both ends of a conversation: else the scheduler puts them together or apart as it likes, and to wake the other
    processor takes longer than the way through the kernel."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@_on_one_processor()
def udp_echo(talk: Talk, address: str) -> dict[str, Any]:
    """Answer every datagram to `address` with itself."""
    with socket.socket(family_of(address), socket.SOCK_DGRAM) as udp:
        udp.bind((address, 0))
        talk.say({"port": udp.getsockname()[1]})
        while True:
            readable = select.select([udp.fileno(), talk.fileno()], [], [])[0]
            if udp.fileno() in readable:
                data, client = udp.recvfrom(65535)
                udp.sendto(data, client)
            if talk.fileno() in readable and talk.hear() == "stop":
                return {}


@_on_one_processor()
def udp_rtt(talk: Talk, source: str, target: str, port: int, count: int, size: int) -> dict[str, Any]:
    """`count` round trips one after the other, after some that do not count: {"us": [...], "lost"}."""
    times = []
    lost = 0
    payload = bytes(size)
    with socket.socket(family_of(target), socket.SOCK_DGRAM) as udp:
        udp.bind((source, 0))
        udp.connect((target, port))
        udp.settimeout(0.5)
        for number in range(-20, count):
            started = time.perf_counter_ns()
            udp.send(payload)
            try:
                udp.recv(65535)
            except TimeoutError:
                lost += 1
                if lost > 3:
                    break
                continue
            if number >= 0:
                times.append((time.perf_counter_ns() - started) / 1000)
    return {"us": times, "lost": lost}


def tcp_receive(talk: Talk, family: int, flows: int, seconds: float) -> dict[str, Any]:
    """Take `flows` connections and count from when each has brought something, for `seconds`: {"octets", "seconds"}."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket(socket.AddressFamily(family), socket.SOCK_STREAM))
        listener.bind(("", 0))
        listener.listen(flows)
        limit_calls(listener, STALLED)
        talk.say({"port": listener.getsockname()[1]})
        buffer = memoryview(bytearray(CHUNK))
        connections = [stack.enter_context(listener.accept()[0]) for _ in range(flows)]
        for connection in connections:
            limit_calls(connection, STALLED)
            if not connection.recv_into(buffer):
                raise ConnectionError("the sender has nothing to send")
        if flows == 1:
            receive = _one_flow
        else:
            receive = _several_flows
        octets, took, idle = receive(connections, buffer, seconds)
        if idle:
            raise TimeoutError(f"{idle} of {flows} flows stood still")
        return {"octets": octets, "seconds": took}


def _one_flow(connections: list[socket.socket], buffer: memoryview, seconds: float) -> tuple[int, float, int]:
    (tcp,) = connections
    octets, started = 0, time.monotonic()
    now = started
    while now - started < seconds and (count := tcp.recv_into(buffer)):
        octets += count
        now = time.monotonic()
    return octets, now - started, int(not octets)


def _several_flows(connections: list[socket.socket], buffer: memoryview, seconds: float) -> tuple[int, float, int]:
    poll = select.epoll()
    sockets = {}
    for tcp in connections:
        tcp.setblocking(False)
        sockets[tcp.fileno()] = tcp
        poll.register(tcp.fileno(), select.EPOLLIN)
    octets = dict.fromkeys(sockets, 0)
    started = now = time.monotonic()
    while now - started < seconds:
        for descriptor, _ in poll.poll(seconds):
            with contextlib.suppress(BlockingIOError):
                count = sockets[descriptor].recv_into(buffer)
                if not count:
                    poll.unregister(descriptor)
                octets[descriptor] += count
        now = time.monotonic()
    return sum(octets.values()), now - started, sum(not number for number in octets.values())


def tcp_send(talk: Talk, source: str, target: str, port: int, flows: int, seconds: float) -> dict[str, Any]:
    """Send on `flows` connections until the receiver hangs up, at most for `seconds`."""
    ends = time.monotonic() + seconds
    chunk = bytes(CHUNK // 4)

    def send(tcp: socket.socket) -> None:
        with contextlib.suppress(ConnectionError, BlockingIOError):
            while time.monotonic() < ends:
                tcp.send(chunk)

    with contextlib.ExitStack() as stack:
        threads = []
        for _ in range(flows):
            tcp = stack.enter_context(socket.socket(family_of(target), socket.SOCK_STREAM))
            limit_calls(tcp, STALLED)
            tcp.bind((source, 0))
            tcp.connect((target, port))
            threads.append(threading.Thread(target=send, args=(tcp,)))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return {}


def gro(talk: Talk, interfaces: list[str], on: bool) -> dict[str, Any]:
    """Set what makes superframes of single packets on `interfaces`, or turn all of it off."""
    off = {"rx-gro": "off", "rx-udp-gro-forwarding": "off", "gro_flush_timeout": "0", "napi_defer_hard_irqs": "0"}
    with Ethtool() as ethtool:
        for name in interfaces:
            offload.write(ethtool, name, offload.FEATURES | offload.TIMERS if on else off)
    return {}


COMMANDS: dict[str, Callable[..., dict[str, Any]]] = {
    function.__name__: function for function in (udp_send, udp_receive, udp_echo, udp_rtt, tcp_receive, tcp_send, gro)
}
