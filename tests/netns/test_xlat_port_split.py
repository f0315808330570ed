"""rules/xlat/port-split: one IPv4 address, whose web ports are an IPv6-only server; the rest is an IPv4 host by NAT.

host4 --- router4 --- translator --- router6 --- host6, the server: TCP 80 and 443 of 203.0.113.2
                          |
                        inside 10.0.0.2: the rest of 203.0.113.2
"""

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator

import pytest
from pinned import on_one_processor
from scapy.layers.inet import ICMP, IP, TCP, fragment
from scapy.layers.inet6 import ICMPv6TimeExceeded, IPv6, IPv6ExtHdrFragment, fragment6
from scapy.packet import Raw

from nfxlat.lab.capture import Capture, send_packet
from nfxlat.lab.datagram import UdpEcho, exchange, icmp_error
from nfxlat.lab.netns import Namespace, link, wait_for
from nfxlat.lab.probe import ping
from nfxlat.lab.rules import example
from nfxlat.lab.topology import (
    HOST4,
    HOST4_6,
    HOST4_NARROW,
    HOST4_NARROW_6,
    HOST6,
    NARROW_MTU,
    ROUTER4,
    Lab,
    in_prefix6,
)

SHARED, INSIDE = "203.0.113.2", "10.0.0.2"
WEB, SECURE, OTHER = 80, 443, 8080
BULK = 1420  # octets: one segment of nearly 1500, so that nothing cuts it on the way


class Greeter:
    """Tells each client who it is taken for, and takes and sends BULK octets if asked ("bulk")."""

    def __init__(self, namespace: Namespace, address: str, port: int) -> None:
        with namespace.entered():
            self._socket = socket.create_server((address, port), family=socket.getaddrinfo(address, port)[0][0])
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, peer = self._socket.accept()
                with client, contextlib.suppress(OSError):
                    client.settimeout(10)
                    if client.recv(4) == b"bulk":
                        receive(client, BULK)
                        client.sendall(bytes(BULK))
                    client.sendall(f"{peer[0]} {peer[1]}".encode())


def receive(client: socket.socket, octets: int) -> None:
    while octets > 0:
        data = client.recv(min(octets, 65536))
        assert data, "closed early"
        octets -= len(data)


def greeted(target: str, port: int, source: tuple[str, int] = ("", 0), *, bulk: bool = False) -> tuple[str, int]:
    """Who the server takes this client for."""
    with socket.create_connection((target, port), 10, source_address=source) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # its port is free at once
        client.sendall(b"bulk" + bytes(BULK) if bulk else b"name")
        if bulk:
            receive(client, BULK)
        address, number = client.recv(100).decode().split()
    return address, int(number)


@pytest.fixture(scope="module")
def inside(shared_bare_lab: Lab) -> Iterator[Namespace]:
    lab = shared_bare_lab
    with Namespace("inside") as inside:
        link(lab.translator, "to-in", inside, "eth0")
        lab.translator.ip("address add 10.0.0.1/24 dev to-in")
        inside.ip(f"address add {INSIDE}/24 dev eth0")
        inside.ip("route add default via 10.0.0.1")
        inside.wait_ready()
        yield inside


@pytest.fixture(scope="module", params=[(), ("--offload",)], ids=["queue", "offload"])
def lab(shared_bare_lab: Lab, inside: Namespace, request: pytest.FixtureRequest) -> Iterator[Lab]:
    """With `offload` the kernel repeats the decisions about the web ports, and about nothing else."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(on_one_processor([]))  # what is started here inherits it: fragments arrive in order
        stack.enter_context(example(shared_bare_lab, "port-split", {'"eth0"': '"to-r4"'}, *request.param))
        stack.enter_context(Greeter(shared_bare_lab.host6, HOST6, WEB))
        stack.enter_context(Greeter(shared_bare_lab.host6, HOST6, SECURE))
        stack.enter_context(Greeter(inside, INSIDE, OTHER))
        yield shared_bare_lab


def test_web_ports_are_the_server_and_the_rest_is_the_host_inside(lab: Lab, inside: Namespace) -> None:
    for port in (WEB, SECURE):
        assert lab.host4.call(greeted, SHARED, port)[0] == HOST4_6  # the client's own address, without state
    assert lab.host4.call(greeted, SHARED, OTHER)[0] == HOST4
    assert lab.host4.call(ping, SHARED).ok
    with UdpEcho(inside, INSIDE) as echo:
        assert lab.host4.call(exchange, SHARED, echo.port, 100).ok


def test_what_goes_out_bears_the_address_and_never_a_port_of_the_server(lab: Lab, inside: Namespace) -> None:
    with Greeter(lab.host4, HOST4, 7000):
        assert inside.call(greeted, HOST4, 7000)[0] == SHARED
        address, port = inside.call(greeted, HOST4, 7000, (INSIDE, WEB))
    assert address == SHARED
    assert port >= 1024
    assert inside.call(ping, HOST4).ok


def test_hosts_inside_and_the_node_itself_reach_the_server_too(lab: Lab, inside: Namespace) -> None:
    assert inside.call(greeted, SHARED, WEB)[0] == in_prefix6(INSIDE)
    assert lab.translator.call(greeted, SHARED, WEB)[0] == in_prefix6("192.0.2.18")
    assert lab.translator.call(greeted, SHARED, OTHER)[1]


def test_conntrack_knows_the_rest_alone(lab: Lab) -> None:
    def entries() -> int:
        return int(lab.translator.sysctl("net.netfilter.nf_conntrack_count"))

    before = entries()
    assert lab.host4.call(greeted, SHARED, WEB)
    assert entries() <= before

    def one_more() -> bool:
        """Unless one of a former test has just come to its end."""
        before = entries()
        assert lab.host4.call(greeted, SHARED, OTHER)
        return entries() > before

    wait_for(one_more, "an entry")


def test_fragmentation_needed_reaches_who_sent_the_packet(lab: Lab, inside: Namespace) -> None:
    """The way to host4's narrow address takes less than both servers send."""
    for namespace, family in ((lab.host6, "-6"), (inside, "-4")):
        namespace.ip(f"{family} route flush cache")
    assert lab.host4.call(greeted, SHARED, WEB, (HOST4_NARROW, 0), bulk=True)[0] == HOST4_NARROW_6
    assert f"mtu {NARROW_MTU + 20}" in lab.host6.ip(f"-6 route get {HOST4_NARROW_6}")
    assert "mtu" not in inside.ip(f"route get {HOST4_NARROW}")
    assert lab.host4.call(greeted, SHARED, OTHER, (HOST4_NARROW, 0), bulk=True)[0] == HOST4_NARROW
    assert f"mtu {NARROW_MTU}" in inside.ip(f"route get {HOST4_NARROW}")


def test_packet_too_big_from_the_server_s_side_reaches_the_client(lab: Lab) -> None:
    lab.router6.ip(f"route add {HOST6}/128 dev to-h6 mtu {NARROW_MTU}")
    try:
        assert lab.host4.call(greeted, SHARED, WEB, bulk=True)[0] == HOST4_6
        assert f"mtu {NARROW_MTU - 20}" in lab.host4.ip(f"route get {SHARED}")
    finally:
        lab.router6.ip(f"route del {HOST6}/128 dev to-h6 mtu {NARROW_MTU}")
        lab.host4.ip("route flush cache")


def test_time_exceeded_goes_to_whom_the_quoted_packet_is_of(lab: Lab, inside: Namespace) -> None:
    with Capture(lab.host6, "to-r6") as server, Capture(inside, "eth0") as host:
        segment = TCP(sport=WEB, dport=9, flags="A")
        lab.host6.call(send_packet, bytes(IPv6(src=HOST6, dst=HOST4_6, hlim=3) / segment), HOST4_6)
        error6 = IPv6(server.wait(lambda seen: seen[6] == 58 and seen[40] == 3))
        assert error6.src == in_prefix6(ROUTER4[1])
        assert error6[ICMPv6TimeExceeded].payload.sport == WEB
        segment = TCP(sport=5000, dport=9, flags="S")
        inside.call(send_packet, bytes(IP(src=INSIDE, dst=HOST4, ttl=2) / segment), HOST4)
        error4 = IP(host.wait(lambda seen: seen[:1] == b"\x45" and seen[9] == 1 and seen[20] == 11))
        assert (error4.src, error4[ICMP].payload.src, error4[ICMP].payload.sport) == (ROUTER4[1], INSIDE, 5000)
        assert not any(seen[6] == 58 and seen[40] == 3 for seen in server.drain() if IPv6(seen) != error6)
        assert not any(seen[20] == 11 and seen[9] == 1 for seen in host.drain() if IP(seen) != error4)


def test_a_closed_port_inside_is_told(lab: Lab) -> None:
    assert lab.host4.call(icmp_error, SHARED, 9) == "ECONNREFUSED"


def test_fragments_go_where_their_datagram_goes(lab: Lab, inside: Namespace) -> None:
    """Ports are in the first fragment only; it is sent last here."""
    data = b"in three" * 200
    with Capture(lab.host6, "to-r6") as server, Capture(inside, "eth0") as host:
        for port in (OTHER, WEB):
            packet = IP(src=HOST4, dst=SHARED, id=port) / TCP(sport=6000, dport=port, flags="A") / Raw(data)
            for piece in fragment(packet, 600)[::-1]:
                lab.host4.call(send_packet, bytes(piece), SHARED)
        server.wait(lambda seen: data[:8] in seen and seen[6] == 44 and seen[42:44] > b"\0\7")  # the last of two
        pieces = [IPv6(seen) for seen in server.drain() if data[:8] in seen]
        assert b"".join(bytes(piece[IPv6ExtHdrFragment].payload) for piece in pieces)[20:] == data
        assert {bytes(piece[IPv6ExtHdrFragment])[4:][:4] for piece in pieces} == {WEB.to_bytes(4, "big")}
        found = [IP(seen) for seen in host.drain() if data[:8] in seen]
        assert {piece.id for piece in found} == {OTHER}
        assert b"".join(bytes(piece.payload) for piece in found)[20:] == data
    with UdpEcho(inside, INSIDE) as echo:
        assert lab.host4.call(exchange, SHARED, echo.port, 3000).ok


def test_fragments_of_the_server_bear_the_address(lab: Lab) -> None:
    data = b"in three" * 200
    with Capture(lab.host4, "to-r4") as capture:
        packet = (
            IPv6(src=HOST6, dst=HOST4_6) / IPv6ExtHdrFragment(id=3) / TCP(sport=WEB, dport=9, flags="A") / Raw(data)
        )
        for piece in fragment6(packet, 1300)[::-1]:
            lab.host6.call(send_packet, bytes(piece), HOST4_6)
        capture.wait(lambda seen: data[:8] in seen and not int.from_bytes(seen[6:8], "big") & 0x2000)
        found = [IP(seen) for seen in capture.drain() if data[:8] in seen]
    assert {piece.src for piece in found} == {SHARED}
    assert b"".join(bytes(piece.payload) for piece in found)[20:] == data


def test_the_server_s_own_connections_have_no_way(lab: Lab) -> None:
    """What came back to their ports would be the host's inside."""
    assert lab.host6.call(icmp_error, HOST4_6, 9, HOST6) in ("ENETUNREACH", "EHOSTUNREACH")
    assert lab.host4.call(ping, SHARED, count=1).ok
