"""Superframes both ways: their boundaries, their flags, and a path that shrinks under them.

host4 --- router4 --- translator --- router6 --- host6
"""

import hashlib
import random
import socket
import struct
import threading
from collections.abc import Callable, Sequence

import pytest
from counted import Counted
from pinned import on_one_processor
from scapy.layers.inet import IP, TCP

from nfxlat.datapath.inject import DeviceInjector
from nfxlat.lab.capture import Capture
from nfxlat.lab.netns import Namespace, wait_for
from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.stream import SO_RCVBUFFORCE
from nfxlat.lab.topology import HOST4, HOST4_6, HOST6, HOST6_4, HOST6_NARROW_4, HOST6_PREFIX, Lab
from nfxlat.lab.transfer import download, send_bulk, serving
from nfxlat.wire import vnet

pytestmark = pytest.mark.quiet

UDP_SEGMENT = 103  # linux/udp.h
MEBI = 1 << 20


def datagrams(seed: int) -> list[tuple[int, bytes]]:
    """(segment size, payload) of sends: rows of datagrams of random size and number, the last of a row shorter."""
    numbers = random.Random(seed)
    rows = []
    for _ in range(60):
        size = numbers.randint(1, 1400)
        rows.append(
            (size, numbers.randbytes(numbers.randint(1, min(30, 60000 // size)) * size - numbers.randrange(size)))
        )
    return rows


def exchange_rows(
    receiver: Namespace, sender: Namespace, source: str, target: str, rows: Sequence[tuple[int, bytes]]
) -> tuple[list[str], list[str]]:
    """Hashes of the datagrams as sent and as received, in order."""
    family = socket.AF_INET6 if ":" in target else socket.AF_INET
    with receiver.entered():
        sink = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    with sender.entered():
        tap = socket.socket(family, socket.SOCK_DGRAM)
    sent = [hashlib.sha256(row[i : i + size]).hexdigest() for size, row in rows for i in range(0, len(row), size)]
    received: list[str] = []
    with sink, tap:
        sink.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
        sink.bind(("::", 0))
        sink.settimeout(5)
        tap.bind((source, 0))

        def collect() -> None:
            try:
                while len(received) < len(sent):
                    received.append(hashlib.sha256(sink.recv(1 << 16)).hexdigest())
            except TimeoutError:
                pass

        thread = threading.Thread(target=collect)
        thread.start()
        for size, row in rows:
            segment = [(socket.IPPROTO_UDP, UDP_SEGMENT, struct.pack("=H", size))]
            tap.sendmsg([row], segment, 0, (target, sink.getsockname()[1]))
        thread.join()
    return sent, received


WAYS = pytest.mark.parametrize("to6", [True, False], ids=["4to6", "6to4"])
BULK: dict[bool, Callable[[Lab], tuple[Namespace, Namespace, str, str]]] = {
    True: lambda lab: (lab.host6, lab.host4, HOST4, HOST6_4),
    False: lambda lab: (lab.host4, lab.host6, HOST6, HOST4_6),
}


@WAYS
@pytest.mark.parametrize("run_arguments", [(), ("--no-fast-path",)], ids=["fast", "core"], scope="module")
def test_every_datagram_of_a_udp_superframe_keeps_its_boundaries(
    shared_lab: Lab, shared_process: TranslatorProcess, to6: bool
) -> None:
    counted = Counted(shared_process)
    with on_one_processor(shared_process.workers()):
        sent, received = exchange_rows(*BULK[to6](shared_lab), datagrams(7915))
    assert received == sent
    stamp = shared_process.summary()["stamp"]
    assert stamp["how"] in ("tcx", "cls_bpf")
    if stamp["udp"]:
        assert counted.total("superframes") > 30
    assert set(counted.reasons()) <= {"translated", "fragmented"}


@pytest.mark.parametrize("run_arguments", [("--inject", "ip"), ("--source", "netfilterqueue")], ids=" ".join)
def test_where_superframes_are_not_taken_datagrams_cross_one_by_one(lab: Lab, process: TranslatorProcess) -> None:
    with on_one_processor(process.workers()):
        sent, received = exchange_rows(*BULK[True](lab), datagrams(4)[:20])
    assert received == sent
    assert process.summary()["totals"]["superframes"] == 0


@WAYS
def test_segments_of_tcp_have_the_size_that_their_sender_gave_them(
    lab: Lab, process: TranslatorProcess, to6: bool
) -> None:
    """host4 to host6: 1480 of IPv4 (the MSS that its own route's MTU gives is less 20 by path MTU discovery), and
    back."""
    receiver, sender, source, target = BULK[to6](lab)
    interface = "to-r6" if to6 else "to-r4"
    receiver.ip(f"link set {interface} gso_max_segs 1")
    (lab.router6 if to6 else lab.router4).ip(f"link set {'to-h6' if to6 else 'to-h4'} gso_max_segs 1")
    with serving(receiver, MEBI) as ready, Capture(receiver, interface) as capture:
        assert sender.call(send_bulk, target, ready, 0.2, source).octets > MEBI / 8
        sizes = sorted(len(seen) for seen in capture.drain() if len(seen) > 1000)
    assert process.summary()["totals"]["superframes"] > 0
    assert sizes
    assert sizes[-1] == (1500 if to6 else 1480)


def test_a_path_that_shrinks_in_mid_transfer_does_not_stall_it(lab: Lab) -> None:
    with serving(lab.host6, 256 * MEBI) as ready:
        done: list[bool] = []
        client = threading.Thread(
            target=lambda: done.append(lab.host4.call(download, HOST6_4, ready, timeout=30.0).intact)
        )
        client.start()
        lab.router6.ip("link set to-h6 mtu 1300")
        lab.host6.ip("link set to-r6 mtu 1300")
        client.join(60)
        assert done == [True]


def test_upload_into_a_path_that_shrinks_goes_on(lab: Lab) -> None:
    """host4 sends superframes; router6's link to host6 shrinks while it does, and its Packet Too Big must come back."""
    with serving(lab.host6, MEBI) as ready:
        shrink = threading.Timer(0.3, lambda: lab.router6.ip("link set to-h6 mtu 1300"))
        shrink.start()
        before = lab.host4.call(send_bulk, HOST6_4, ready, 2.0, HOST4)
        shrink.join()
        after = lab.host4.call(send_bulk, HOST6_4, ready, 2.0, HOST4)
    assert before.octets > MEBI
    assert after.octets > MEBI


def test_udp_to_a_host_inside_prefix6_crosses_in_superframes_too(
    shared_lab: Lab, shared_process: TranslatorProcess
) -> None:
    with on_one_processor(shared_process.workers()):
        sent, received = exchange_rows(shared_lab.host4, shared_lab.host6, HOST6_PREFIX, HOST4_6, datagrams(3)[:20])
    assert received == sent


def test_a_row_of_datagrams_too_large_for_the_path_is_told_to_its_sender(lab: Lab) -> None:
    """1400 octets and headers do not fit the narrow link of 1400: path MTU discovery works from superframes as well."""
    with lab.host4.entered():
        tap = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with tap:
        tap.setsockopt(socket.IPPROTO_IP, 10, 2)  # IP_MTU_DISCOVER, DO
        tap.connect((HOST6_NARROW_4, 9))
        tap.settimeout(0.2)
        mtus = []
        for _ in range(20):
            try:
                tap.sendmsg([bytes(14000)], [(socket.IPPROTO_UDP, UDP_SEGMENT, struct.pack("=H", 1400))])
                tap.recv(1)
            except OSError:
                pass
            mtus.append(tap.getsockopt(socket.IPPROTO_IP, 14))
            if mtus[-1] < 1400:
                break
    assert mtus[-1] == 1380


@pytest.mark.parametrize("run_arguments", [(), ("--no-fast-path",)], ids=["fast", "core"])
def test_a_short_last_datagram_from_ipv6_may_be_fragmented_and_the_others_not(
    lab: Lab, process: TranslatorProcess
) -> None:
    """RFC 7915 5.1: up to 1260 octets DF=0, larger DF=1, of each segment."""
    lab.router4.ip("link set to-h4 gso_max_segs 1")
    sizes = [1400, 1400, 1400, 1232]
    with Capture(lab.host4, "to-r4") as capture:
        with lab.host6.entered():
            tap = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        with tap:
            tap.bind((HOST6, 0))
            control = [(socket.IPPROTO_UDP, UDP_SEGMENT, struct.pack("=H", sizes[0]))]
            tap.sendmsg([bytes(sum(sizes))], control, 0, (HOST4_6, 9))
        capture.wait(lambda packet: packet[9] == 17 and len(packet) == 28 + sizes[-1])
        seen = [packet for packet in capture.packets if packet[0] >> 4 == 4 and packet[9] == 17]
    assert [(len(packet) - 28, packet[6] >> 6) for packet in seen] == [(size, int(size > 1232)) for size in sizes]
    assert process.summary()["totals"]["superframes"] == 1


@pytest.mark.parametrize("options", [b"", b"\x01" * 4], ids=["plain", "options"])
def test_a_superframe_of_thousands_of_segments_costs_no_more_than_a_drop(
    lab: Lab, process: TranslatorProcess, options: bytes
) -> None:
    """60,000 octets with gso_size 1, from whoever may send frames on a link; options are for the core alone."""
    near, far = (lab.translator.mac("to-r4"), lab.router4.mac("to-x"))
    header = IP(src=HOST4, dst=HOST6_4, flags="DF", options=options, proto=6)
    packet = bytes(header / TCP(sport=1, dport=2, flags="A") / bytes(60_000))
    start = 14 + 20 + len(options)
    offload = vnet.pack(vnet.NEEDS_CSUM, vnet.GSO_TCPV4, start + 20, 1, start, 16)
    with lab.router4.entered():
        link = DeviceInjector.open_socket("to-x")
    with link:
        for _ in range(5):
            link.send(offload + near + far + b"\x08\x00" + packet)
    wait_for(lambda: process.summary()["reasons"].get("superframe_segments") == {"4to6": 5}, "five drops")
    assert process.summary()["totals"]["injected"] == 0
