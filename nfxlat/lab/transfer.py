"""TCP transfers: a server process with an HTTP download of known SHA-256 and a sink, and their clients.

    python -m nfxlat.lab.transfer OCTETS     prints one line of JSON when it serves: http, sink (ports), sha256

The clients run on the calling thread's network namespace (see `Namespace.call`). Hashing is outside the timed part on
both sides: the server knows its sum beforehand, the client takes its own afterwards.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import http.client
import http.server
import json
import random
import select
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

from nfxlat.errors import OperatorError
from nfxlat.lab.netns import PYTHON, Namespace, end_processes
from nfxlat.lab.probe import family_of

CHUNK = 1 << 20  # octets a system call: the transfer is to cost the kernel, not Python
STALLED = 5.0  # seconds without a single octet


@dataclass(frozen=True, slots=True)
class Transfer:
    """Octets that arrived, the seconds they took; `intact`: the SHA-256 is the expected one (True where none is)."""

    octets: int
    seconds: float
    intact: bool = True

    @property
    def gbps(self) -> float:
        return self.octets * 8 / self.seconds / 1e9 if self.seconds else 0.0


@dataclass(frozen=True, slots=True)
class Server:
    """A running server process: the ports it listens on, on every address of its namespace, and the file's sum."""

    http: int
    sink: int
    octets: int
    sha256: str


class ServerProcess:
    """The server, starting in `namespace`; `ready` waits until it listens, `close` ends it."""

    def __init__(self, namespace: Namespace, octets: int) -> None:
        self._namespace = namespace
        command = [*PYTHON, "-m", "nfxlat.lab.transfer", str(octets)]
        self._process = namespace.popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def ready(self, timeout: float = 60.0) -> Server:
        """What it says when it listens; OperatorError if it says nothing within `timeout` seconds."""
        assert self._process.stdout is not None
        readable, _, _ = select.select([self._process.stdout], [], [], timeout)
        line = self._process.stdout.readline() if readable else ""
        if not line:
            raise OperatorError(f"the server did not start within {timeout:g} s", where=self._namespace.name)
        return Server(**json.loads(line))

    def close(self) -> None:
        end_processes([self._process])
        self._namespace.processes.remove(self._process)


@contextlib.contextmanager
def serving(namespace: Namespace, octets: int) -> Iterator[Server]:
    """The server, listening in `namespace` for as long as the block lasts."""
    process = ServerProcess(namespace, octets)
    try:
        yield process.ready()
    finally:
        process.close()


def download(target: str, server: Server, source: str | None = None, *, timeout: float = 120.0) -> Transfer:
    """GET the file within `timeout` seconds; OSError or http.client.HTTPException when it cannot be had."""
    buffer = bytearray(server.octets)
    view, filled = memoryview(buffer), 0
    origin = (source, 0) if source else None
    connection = http.client.HTTPConnection(target, server.http, timeout=STALLED, source_address=origin)
    started = time.monotonic()
    try:
        connection.request("GET", "/")
        response = connection.getresponse()
        while filled < len(buffer) and (count := response.readinto(view[filled : filled + CHUNK])):
            filled += count
            if time.monotonic() - started > timeout:
                break
        seconds = time.monotonic() - started
    finally:
        connection.close()
    return Transfer(filled, seconds, hashlib.sha256(view[:filled]).hexdigest() == server.sha256)


def send_bulk(target: str, server: Server, seconds: float, source: str | None = None) -> Transfer:
    """Send to the sink for `seconds`; what arrived there and how long it took, by the sink's own clock."""
    chunk = bytes(CHUNK)
    with socket.socket(family_of(target), socket.SOCK_STREAM) as tcp:
        limit_calls(tcp, STALLED)
        if source:
            tcp.bind((source, 0))
        try:
            tcp.connect((target, server.sink))
            deadline = time.monotonic() + seconds
            while time.monotonic() < deadline:
                tcp.send(chunk)
            tcp.shutdown(socket.SHUT_WR)
            return Transfer(**json.loads(tcp.recv(CHUNK)))
        except BlockingIOError:  # how the kernel says that SO_SNDTIMEO or SO_RCVTIMEO ran out
            raise TimeoutError(f"no data moved for {STALLED:g} s") from None


def limit_calls(tcp: socket.socket, seconds: float) -> None:
    """Bound each call in the kernel: Python's own timeouts make the socket non-blocking and cost a poll a call."""
    limit = struct.pack("@ll", int(seconds), int(seconds % 1 * 1e6))
    tcp.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
    tcp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)


def _sink(listener: socket.socket) -> None:
    """Take connections one after the other; count what comes and answer with the figures."""
    buffer = memoryview(bytearray(CHUNK))
    while True:
        tcp, _ = listener.accept()
        with tcp:
            limit_calls(tcp, 2 * STALLED)
            try:
                octets = first = tcp.recv_into(buffer)
                started = time.monotonic()
                while count := tcp.recv_into(buffer):
                    octets += count
                seconds = time.monotonic() - started
                tcp.sendall(json.dumps({"octets": octets - first, "seconds": seconds}).encode() + b"\n")
            except OSError:
                continue


def _listener(port: int = 0) -> socket.socket:
    try:
        return socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
    except OSError:  # IPv6 is disabled here
        return socket.create_server(("0.0.0.0", port))


class _HttpServer(http.server.ThreadingHTTPServer):
    """Serves on a listening socket made beforehand."""

    daemon_threads = True

    def __init__(self, listener: socket.socket, handler: type[http.server.BaseHTTPRequestHandler]) -> None:
        super().__init__(listener.getsockname()[:2], handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(prog="python -m nfxlat.lab.transfer", description=__doc__)
    parser.add_argument("octets", type=int)
    octets = parser.parse_args().octets
    generator = random.Random(7915)
    file = b"".join(generator.randbytes(min(CHUNK, octets - done)) for done in range(0, octets, CHUNK))

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(octets))
            self.end_headers()
            view = memoryview(file)
            for start in range(0, octets, CHUNK):
                self.connection.sendall(view[start : start + CHUNK])

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server, sink = _HttpServer(_listener(), Handler), _listener()
    threading.Thread(target=_sink, args=(sink,), daemon=True).start()
    ports = {"http": server.socket.getsockname()[1], "sink": sink.getsockname()[1]}
    print(json.dumps({**ports, "octets": octets, "sha256": hashlib.sha256(file).hexdigest()}), flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
