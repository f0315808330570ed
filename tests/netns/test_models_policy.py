"""What policy routing selects for a device or a route: ports by ip-rule(8), and by a mark whatever nft can match.

host4 --- router4 --- translator --- router6 --- host6

Of 203.0.113.2 UDP port WANTED is translated, by the device of the device model; the rest of it is router4.
"""

import contextlib
import socket
from collections.abc import Callable, Iterator, Sequence

import pytest
from pinned import on_one_processor
from scapy.layers.inet import ICMP, IP, UDP, fragment
from scapy.packet import Packet, Raw

from nfxlat.lab.capture import Capture, send_packet
from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.topology import HOST4, HOST6, HOST6_EAM4, ROUTER4, TRANSLATOR, Lab

pytestmark = pytest.mark.parametrize("run_arguments", [("--model", "device")], ids=["device"], scope="module")

WANTED, OTHER, TABLE = 4001, 4002, 4000
REST = (f"route add {HOST6_EAM4} via {ROUTER4[1]} table {TABLE}", f"rule add pref 100 to {HOST6_EAM4} lookup {TABLE}")
BY_PORT = f"rule add pref 90 to {HOST6_EAM4} ipproto 17 dport {WANTED} lookup main"  # without /etc/protocols too
BY_MARK = f"rule add pref 90 to {HOST6_EAM4} fwmark 0x4000 lookup main"
# `ct` turns defragmentation on; the quoted packet's source port, 20 octets behind the beginning of its header
MARKS = f"""
table ip marks {{
	chain prerouting {{
		type filter hook prerouting priority mangle; policy accept;
		ct state invalid counter
		ip daddr {HOST6_EAM4} udp dport {WANTED} meta mark set 0x4000
		ip daddr {HOST6_EAM4} icmp type 11 @th,64,8 0x45 @th,136,8 17 @th,224,16 {WANTED} meta mark set 0x4000
	}}
}}
"""
PAYLOAD, LAST = b"in pieces" * 80, b"the last"


@contextlib.contextmanager
def made(ip: Callable[[str], str], *lines: str) -> Iterator[None]:
    """With ip(8); taken away behind the block."""
    with contextlib.ExitStack() as stack:
        for line in lines:
            ip(line)
            stack.callback(ip, line.replace(" add ", " del ", 1))
        yield


@pytest.fixture
def lab(shared_lab: Lab, shared_process: TranslatorProcess) -> Iterator[Lab]:
    with (
        made(shared_lab.router4.ip, f"address add {HOST6_EAM4}/32 dev lo"),
        made(shared_lab.translator.ip, *REST),
        on_one_processor(shared_process.workers()),  # what is sent behind others comes out behind them
    ):
        yield shared_lab


def datagram(port: int, payload: bytes = PAYLOAD) -> Packet:
    return IP(src=HOST4, dst=HOST6_EAM4, id=port) / UDP(sport=9, dport=port) / Raw(payload)


def about(port: int) -> Packet:
    """Time Exceeded about a datagram from that port of the address."""
    quoted = IP(src=HOST6_EAM4, dst=HOST4) / UDP(sport=port, dport=9) / Raw(PAYLOAD[:16])
    return IP(src=ROUTER4[1], dst=HOST6_EAM4) / ICMP(type=11) / quoted


def translated(lab: Lab, packets: Sequence[Packet]) -> int:
    """How many packets of these come out at host6, ahead of one that is sent behind them."""
    host6 = socket.inet_pton(socket.AF_INET6, HOST6)
    with Capture(lab.host6, "to-r6") as capture:
        for packet in (*packets, datagram(WANTED, LAST)):
            lab.router4.call(send_packet, bytes(packet), TRANSLATOR[0])
        capture.wait(lambda seen: LAST in seen)
        return sum(PAYLOAD[:9] in seen and seen[24:40] == host6 for seen in capture.drain())


def test_a_policy_rule_selects_ports_but_neither_fragments_nor_icmp_errors(lab: Lab) -> None:
    with made(lab.translator.ip, BY_PORT):
        assert translated(lab, [datagram(WANTED)]) == 1
        assert translated(lab, [datagram(OTHER)]) == 0
        assert translated(lab, fragment(datagram(WANTED), 400)) == 0
        assert translated(lab, [about(WANTED)]) == 0


@pytest.mark.parametrize(("interface", "count"), [("to-r4", 1), ("to-r6", 0)])
def test_a_policy_rule_selects_by_input_interface(lab: Lab, interface: str, count: int) -> None:
    with made(lab.translator.ip, BY_PORT, f"rule add pref 89 to {HOST6_EAM4} iif {interface} lookup main"):
        assert translated(lab, [datagram(OTHER)]) == count


def test_a_mark_carries_what_nft_has_matched_to_a_route(lab: Lab) -> None:
    with made(lab.translator.ip, BY_MARK):
        lab.translator.run(["nft", MARKS])
        try:
            assert translated(lab, [datagram(WANTED)]) == 1
            assert translated(lab, [datagram(OTHER)]) == 0
            assert translated(lab, fragment(datagram(WANTED), 400)) == 2  # put together, and cut anew
            assert translated(lab, [about(WANTED)]) == 1
            assert translated(lab, [about(OTHER)]) == 0
        finally:
            lab.translator.run(["nft", "delete table ip marks"])
