"""One rule a family that sends everything to the queue: what is not translated lives."""

import socket
from collections.abc import Iterator

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import Packet, Raw

from nfxlat.lab.capture import Capture, send_packet
from nfxlat.lab.netns import wait_for
from nfxlat.lab.probe import ping
from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.topology import HOST4, HOST6_EAM4, ROUTER4, ROUTER6, TRANSLATOR, Lab, in_prefix6
from nfxlat.nft.kernel import compat, load

WAYS = pytest.mark.parametrize("run_arguments", [(), ("--no-fast-path",)], ids=["fast", "core"], scope="module")
PORT = 6700


@pytest.fixture(scope="module")
def everything(shared_bare_lab: Lab, run_arguments: tuple[str, ...]) -> Iterator[tuple[Lab, TranslatorProcess]]:
    lab = shared_bare_lab
    for family in ("ipv4.ip_forward", "ipv6.conf.all.forwarding"):
        lab.translator.sysctl(f"net.{family}", 1)
    with TranslatorProcess(lab.translator, lab.directory, *run_arguments, setup=False) as process:
        for family in ("ip", "ip6"):
            base = "{ type filter hook prerouting priority -450; }"
            with lab.translator.entered():
                load.run(f"add table {family} every; add chain {family} every pre {base};")
                if load.queue_expression_available():
                    load.run(f"add rule {family} every pre queue num 7")
                else:
                    compat.insert_queue_rule(family, "every", "pre", 7, "every")
        yield lab, process
        for family in ("ip", "ip6"):
            lab.translator.run(["nft", f"delete table {family} every"])


@WAYS
@pytest.mark.parametrize(
    "packet",
    [
        IP(src="127.0.0.1", dst="127.0.0.1"),
        IP(src=TRANSLATOR[0], dst="127.0.0.1"),
        IP(src=TRANSLATOR[0], dst=TRANSLATOR[0]),
        IPv6(src="::1", dst="::1"),
        IPv6(src=TRANSLATOR[1], dst=TRANSLATOR[1]),
    ],
    ids=lambda packet: f"{packet.src}-{packet.dst}",
)
def test_what_is_for_this_host_by_lo_lives(everything: tuple[Lab, TranslatorProcess], packet: Packet) -> None:
    lab, _ = everything
    payload = b"to myself"
    with lab.translator.entered():
        service = socket.socket(socket.AF_INET if IP in packet else socket.AF_INET6, socket.SOCK_DGRAM)
    with service:
        service.settimeout(5)
        service.bind((packet.dst, PORT))
        lab.translator.call(send_packet, bytes(packet / UDP(sport=1, dport=PORT) / Raw(payload)), packet.dst)
        assert service.recv(99) == payload


@WAYS
@pytest.mark.parametrize(
    ("source", "group"),
    [
        ("0.0.0.0", "255.255.255.255"),
        (ROUTER4[1], "224.0.0.5"),
        (ROUTER4[1], TRANSLATOR[0]),
        (ROUTER6[0], "ff02::1"),
        (ROUTER6[0], "ff05::1:3"),
        (ROUTER6[0], TRANSLATOR[1]),
    ],
)
def test_what_is_for_this_host_its_link_or_a_group_lives(
    everything: tuple[Lab, TranslatorProcess], source: str, group: str
) -> None:
    """DHCP, routing protocols, DHCPv6, this node's own address: a socket gets it."""
    lab, _ = everything
    four = "." in group
    sender, interface = (lab.router4, "to-r4") if four else (lab.router6, "to-r6")
    with lab.translator.entered():
        service = socket.socket(socket.AF_INET if four else socket.AF_INET6, socket.SOCK_DGRAM)
        index = socket.if_nametoindex(interface)
    with service:
        service.settimeout(5)
        service.bind(("" if four else "::", PORT))
        if group.startswith("224"):
            request = socket.inet_aton(group) + socket.inet_aton(TRANSLATOR[0])
            service.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
        elif group.startswith("ff"):
            request = socket.inet_pton(socket.AF_INET6, group) + index.to_bytes(4, "little")
            service.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, request)
        header = IP(src=source, dst=group, ttl=1) if four else IPv6(src=source, dst=group, hlim=1)
        sender.call(send_frame, bytes(header / UDP(sport=PORT, dport=PORT) / Raw(b"to all")), "to-x", group)
        assert service.recv(99) == b"to all"


def send_frame(packet: bytes, interface: str, group: str) -> None:
    """By the link's own broadcast, which every group of hosts here is part of; to one host as a route would."""
    if group in TRANSLATOR:
        send_packet(packet, group)
        return
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM) as link:
        link.sendto(packet, (interface, 0x0800 if packet[0] >> 4 == 4 else 0x86DD, 0, 0, b"\xff" * 6))


@WAYS
def test_translation_goes_on_and_martians_do_not(everything: tuple[Lab, TranslatorProcess]) -> None:
    lab, process = everything
    before = process.summary()["reasons"].get("martian_destination", {}).get("6to4", 0)
    with Capture(lab.host6, "to-r6") as capture:
        martian = IPv6(src=ROUTER6[0], dst=in_prefix6("127.0.0.1")) / UDP(sport=1, dport=PORT) / Raw(b"mars")
        lab.router6.call(send_packet, bytes(martian), TRANSLATOR[1])
        packet = IP(src=HOST4, dst=HOST6_EAM4) / UDP(sport=1, dport=PORT) / Raw(b"translated")
        lab.host4.call(send_packet, bytes(packet), HOST6_EAM4)
        capture.wait(lambda seen: b"translated" in seen)

    def martians() -> int:  # from another node than what crossed, so it may come behind that
        return int(process.summary()["reasons"].get("martian_destination", {}).get("6to4", 0))

    wait_for(lambda: martians() > before, "the martian to be counted")
    assert martians() == before + 1
    assert lab.router4.call(ping, TRANSLATOR[0]).ok
    assert lab.router6.call(ping, TRANSLATOR[1]).ok
