"""What is one flow leaves in the order in which it came, whatever its packets look like (RFC 7915 4 and 5).

host4 --- router4 --- translator --- router6 --- host6
"""

import socket
import struct

import pytest
from pinned import on_one_processor

from nfxlat.lab.netns import Namespace
from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.stream import SO_RCVBUFFORCE
from nfxlat.lab.topology import HOST4, HOST4_6, HOST6, HOST6_4, Lab

pytestmark = pytest.mark.quiet

WAYS = pytest.mark.parametrize(
    "run_arguments",
    [
        (),
        ("--no-fast-path",),
        ("--inject", "ip"),
        ("--model", "route"),
        ("--model", "device"),
        ("--source", "netfilterqueue"),
        ("--workers", "2", "--spread", "addresses"),
    ],
    ids=" ".join,
    scope="module",
)
UDP_SEGMENT = 103  # linux/udp.h
IPV6_DSTOPTS = 59  # linux/in6.h
PADDING = [(socket.IPPROTO_IPV6, IPV6_DSTOPTS, bytes((0, 0, 1, 4, 0, 0, 0, 0)))]  # Destination Options, of padding
ROUNDS, BURST = 60, 6
SMALL, LARGE, ROW, SEGMENT = 20, 3000, 3000, 1000  # octets of payload; LARGE is sent in fragments


def kinds(*, to6: bool) -> list[tuple[int, list[tuple[int, int, bytes]]]]:
    """(octets, ancillary data) of the datagrams of one round: whole, fragmented, rows in one superframe; from an IPv6
    host some have an extension header too."""
    row = (ROW, [(socket.IPPROTO_UDP, UDP_SEGMENT, struct.pack("=H", SEGMENT))])
    plain: list[tuple[int, list[tuple[int, int, bytes]]]] = [(LARGE, []), (SMALL, []), row, (SMALL, [])]
    return plain if to6 else [*plain, (SMALL, PADDING), (SMALL, []), (LARGE, PADDING), row]


def arrived(receiver: Namespace, sender: Namespace, source: str, target: str) -> tuple[list[int], list[int]]:
    """Numbers of one flow's datagrams as sent, and in the order of their arrival."""
    to6 = ":" not in target
    with receiver.entered():
        sink = socket.socket(socket.AF_INET if not to6 else socket.AF_INET6, socket.SOCK_DGRAM)
    with sender.entered():
        tap = socket.socket(socket.AF_INET if to6 else socket.AF_INET6, socket.SOCK_DGRAM)
    sent: list[int] = []
    received: list[int] = []
    with sink, tap:
        if to6:
            tap.setsockopt(socket.IPPROTO_IP, 10, 0)  # IP_MTU_DISCOVER: IP_PMTUDISC_DONT
        sink.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
        sink.bind(("", 0))
        sink.settimeout(5)
        tap.bind((source, 0))
        tap.connect((target, sink.getsockname()[1]))
        for turn in range(ROUNDS):
            for size, ancillary in kinds(to6=to6):
                number = len(sent)
                sent += range(number, number + (3 if size == ROW and ancillary != PADDING and ancillary else 1))
                step = SEGMENT if len(sent) - number > 1 else size
                data = b"".join(struct.pack("!I", one).ljust(step, b".") for one in sent[number:])
                tap.sendmsg([data], ancillary)
            if turn % BURST == BURST - 1:
                while len(received) < len(sent):
                    received.append(struct.unpack_from("!I", sink.recv(1 << 16))[0])
    return sent, received


@WAYS
@pytest.mark.parametrize("to6", [True, False], ids=["4to6", "6to4"])
def test_whole_fragmented_stamped_and_extended_datagrams_of_a_flow_keep_their_order(
    shared_lab: Lab, shared_process: TranslatorProcess, to6: bool
) -> None:
    lab = shared_lab
    ends = (lab.host6, lab.host4, HOST4, HOST6_4) if to6 else (lab.host4, lab.host6, HOST6, HOST4_6)
    with on_one_processor(shared_process.workers()):
        sent, received = arrived(*ends)
    assert received == sent
