"""Martians never come out anywhere (contrib/doc/explanation/translation-points.md).

Each is followed by an ordinary packet through the same queue, and only that one arrives.
"""

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from counted import Counted
from pinned import on_one_processor
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import ICMPv6DestUnreach, IPv6
from scapy.packet import Packet, Raw

from nfxlat.lab.capture import Capture, send_packet
from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.topology import HOST4, HOST4_6, HOST6, HOST6_EAM4, TRANSLATOR, Lab, in_prefix6

MARTIAN, ORDINARY = b"from mars, unwelcome", b"an ordinary packet"
PORT = 4001
OWN_IN_PREFIX6 = in_prefix6("198.51.100.77")
WAYS = pytest.mark.parametrize(
    "run_arguments",
    [(), ("--inject", "ip"), ("--model", "device"), ("--model", "route")],
    ids=" ".join,
    scope="module",
)

EVERYWHERE = (
    ("host4", "to-r4"),
    ("router4", "to-h4"),
    ("router4", "to-x"),
    ("host6", "to-r6"),
    ("router6", "to-h6"),
    ("translator", "lo"),
)


@pytest.fixture
def lab(shared_lab: Lab, shared_process: TranslatorProcess) -> Iterator[Lab]:
    with on_one_processor(shared_process.workers()):  # the ordinary packet does not overtake
        yield shared_lab


@pytest.fixture
def counted(shared_process: TranslatorProcess) -> Counted:
    return Counted(shared_process)


@pytest.fixture
def listener(lab: Lab) -> Iterator[socket.socket]:
    """A service on the translator that is bound to loopback and trusts what reaches it."""
    with lab.translator.entered():
        service = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    with service:
        service.bind(("::", PORT))
        service.setblocking(False)
        yield service


def udp(payload: bytes) -> Packet:
    return UDP(sport=4000, dport=PORT) / Raw(payload)


def quoting(inner: Packet) -> Packet:
    return IPv6(src=HOST6, dst=HOST4_6) / ICMPv6DestUnreach(code=4) / inner


@WAYS
@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (IPv6(src=HOST6, dst=in_prefix6("127.0.0.1")) / udp(MARTIAN), "martian_destination"),
        (IPv6(src=HOST6, dst=in_prefix6("224.0.0.1")) / udp(MARTIAN), "martian_destination"),
        (IPv6(src=HOST6, dst=in_prefix6("169.254.169.254")) / udp(MARTIAN), "martian_destination"),
        (IPv6(src=HOST6, dst=in_prefix6("255.255.255.255")) / udp(MARTIAN), "martian_destination"),
        (IPv6(src=in_prefix6("224.0.0.1"), dst=HOST4_6) / udp(MARTIAN), "martian_source"),
        (IPv6(src=in_prefix6("127.0.0.1"), dst=HOST4_6) / udp(MARTIAN), "martian_source"),
        (IPv6(src=in_prefix6("0.0.0.0"), dst=in_prefix6(TRANSLATOR[0])) / udp(MARTIAN), "martian_source"),
        (
            quoting(IPv6(src=HOST4_6, dst=in_prefix6("127.0.0.1")) / udp(MARTIAN)),
            "martian_inner",
        ),
        (
            quoting(IPv6(src=in_prefix6("127.0.0.1"), dst=HOST6) / udp(MARTIAN)),
            "martian_inner",
        ),
    ],
    ids=lambda value: value.summary() if isinstance(value, Packet) else value,
)
def test_martian_from_ipv6_comes_out_nowhere(
    lab: Lab, counted: Counted, listener: socket.socket, packet: Packet, reason: str
) -> None:
    with ExitStack() as stack:
        captures = [
            stack.enter_context(Capture(lab.namespaces[role], interface))
            for role, interface in EVERYWHERE
            if role not in ("host6", "router6")  # where it comes from
        ]
        lab.host6.call(send_packet, bytes(packet), HOST4_6)
        lab.host6.call(send_packet, bytes(IPv6(src=HOST6, dst=HOST4_6) / udp(ORDINARY)), HOST4_6)
        captures[0].wait(lambda seen: ORDINARY in seen)
        assert not [seen for capture in captures for seen in capture.drain() if MARTIAN in seen]
    with pytest.raises(BlockingIOError):
        listener.recv(100)
    assert counted.reasons()[reason] == {"6to4": 1}


@WAYS
@pytest.mark.parametrize(
    ("source", "error"),
    [("127.0.0.1", False), ("127.0.0.1", True), ("224.0.0.1", False), ("240.0.0.1", True), ("169.254.1.1", False)],
)
def test_martian_from_ipv4_comes_out_nowhere(lab: Lab, counted: Counted, source: str, error: bool) -> None:
    """From the translator's own neighbour, since a router would have dropped it; the kernel does not at output.

    The core would translate it as the source of an ICMP error (RFC 7915 4.1).
    """
    with Capture(lab.host6, "to-r6") as capture:
        packet = IP(src=source, dst=HOST6_EAM4) / udp(MARTIAN)
        if error:
            quote = IP(src=HOST6_EAM4, dst=HOST4) / udp(MARTIAN)
            packet = IP(src=source, dst=HOST6_EAM4) / ICMP(type=11) / quote
        lab.translator.call(send_packet, bytes(packet), HOST6_EAM4)
        lab.translator.call(send_packet, bytes(IP(src=TRANSLATOR[0], dst=HOST6_EAM4) / udp(ORDINARY)), HOST6_EAM4)
        capture.wait(lambda seen: ORDINARY in seen)
        assert not [seen for seen in capture.drain() if MARTIAN in seen]
    assert counted.reasons()["martian_source"] == {"4to6": 1}


@WAYS
def test_a_quoted_martian_from_ipv4_comes_out_nowhere(lab: Lab, counted: Counted) -> None:
    inner = IP(src=HOST6_EAM4, dst="127.0.0.1") / udp(MARTIAN)
    with Capture(lab.host6, "to-r6") as capture:
        packet = IP(src=HOST4, dst=HOST6_EAM4) / ICMP(type=3, code=3) / inner
        lab.host4.call(send_packet, bytes(packet), HOST6_EAM4)
        lab.host4.call(send_packet, bytes(IP(src=HOST4, dst=HOST6_EAM4) / udp(ORDINARY)), HOST6_EAM4)
        capture.wait(lambda seen: ORDINARY in seen)
        assert not [seen for seen in capture.drain() if MARTIAN in seen]
    assert counted.reasons()["martian_inner"] == {"4to6": 1}


@WAYS
def test_this_nodes_address_as_a_source_from_outside_comes_out_nowhere(lab: Lab, counted: Counted) -> None:
    forged = IP(src=TRANSLATOR[0], dst=HOST6_EAM4) / udp(MARTIAN)
    with Capture(lab.host6, "to-r6") as capture:
        lab.host4.call(send_packet, bytes(forged), HOST6_EAM4)
        lab.host4.call(send_packet, bytes(IP(src=HOST4, dst=HOST6_EAM4) / udp(ORDINARY)), HOST6_EAM4)
        capture.wait(lambda seen: ORDINARY in seen)
        assert not [seen for seen in capture.drain() if MARTIAN in seen]
    # 2001:db8:64::198.51.100.77 is inside prefix6 and has an IPv4 counterpart, so nothing else would stop it
    lab.translator.ip(f"address add {OWN_IN_PREFIX6}/128 dev to-r6")
    counted.reasons()  # asked behind the news of the address, which the workers have then been told
    try:
        forged6 = IPv6(src=OWN_IN_PREFIX6, dst=HOST4_6) / udp(MARTIAN)
        with Capture(lab.host4, "to-r4") as capture:
            lab.host6.call(send_packet, bytes(forged6), HOST4_6)
            lab.host6.call(send_packet, bytes(IPv6(src=HOST6, dst=HOST4_6) / udp(ORDINARY)), HOST4_6)
            capture.wait(lambda seen: ORDINARY in seen)
            assert not [seen for seen in capture.drain() if MARTIAN in seen]
    finally:
        lab.translator.ip(f"address del {OWN_IN_PREFIX6}/128 dev to-r6")


@pytest.mark.parametrize("run_arguments", [(), ("--no-fast-path",)], ids=["fast", "core"])
def test_the_data_path_itself_refuses_this_nodes_address_from_outside(
    bare_lab: Lab, run_arguments: tuple[str, ...]
) -> None:
    """With the operator's own rule, which has no such guard."""
    bare_lab.translator.sysctl("net.ipv6.conf.all.forwarding", 1)
    with TranslatorProcess(bare_lab.translator, bare_lab.directory, *run_arguments, setup=False) as process:
        bare_lab.translator.run(["nft", OWN_RULES])
        queue_by_compat(bare_lab)
        with Capture(bare_lab.host6, "to-r6") as capture:
            for source, payload in ((HOST4, ORDINARY), (TRANSLATOR[0], MARTIAN), (HOST4, ORDINARY + b"!")):
                packet = IP(src=source, dst=HOST6_EAM4) / udp(payload)
                bare_lab.host4.call(send_packet, bytes(packet), HOST6_EAM4)
            capture.wait(lambda seen: ORDINARY + b"!" in seen)
            assert not [seen for seen in capture.drain() if MARTIAN in seen]
        assert process.summary()["reasons"]["local_source"] == {"4to6": 1}


OWN_RULES = (
    "add table ip own; add chain ip own pre { type filter hook prerouting priority -450; };"
    "add chain ip own q; add rule ip own q drop; add rule ip own pre ip daddr 203.0.113.2 goto q"
)


def queue_by_compat(lab: Lab) -> None:
    """`queue num 7` in the operator's chain, as this kernel takes it."""
    from nfxlat.nft.kernel import compat, load

    with lab.translator.entered():
        if load.queue_expression_available():
            load.run("insert rule ip own q queue num 7")
        else:
            compat.insert_queue_rule("ip", "own", "q", 7, "own")
