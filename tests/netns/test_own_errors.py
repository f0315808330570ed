"""ICMP errors of the translator's own: their source, how many go out, which of them first, and about what.

host4 --- router4 --- translator --- router6 --- host6
"""

import contextlib
import socket
from contextlib import closing
from functools import partial
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from counted import Counted
from pinned import on_one_processor
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment
from scapy.packet import Raw

from nfxlat.lab.capture import Capture, icmp4, send_packet
from nfxlat.lab.netns import Namespace, wait_for
from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.topology import DOMAIN, HOST4, HOST4_6, HOST6, HOST6_4, HOST6_EAM4, PREFIX6, TRANSLATOR, Lab

PAYLOAD = b"what is said of this?"
LOWEST4, LOWEST6 = "10.0.3.1", "2001:db8:0:1::5"  # a bridge of containers, a deprecated address
CLAT4 = "192.0.0.1"
IP_MTU_DISCOVER, IP_PMTUDISC_DO, IP_MTU = 10, 2, 14
IP_INJECTOR = pytest.mark.parametrize("run_arguments", [("--inject", "ip")], ids=["ip"])


def source_of_time_exceeded(lab: Lab, version: int, ttl: int = 2) -> IPv4Address | IPv6Address:
    """As the sender sees it, a hop before the translator."""
    sender, interface, to = (lab.host4, "to-r4", HOST6_EAM4) if version == 4 else (lab.host6, "to-r6", HOST4_6)
    header = IP(src=HOST4, dst=to, ttl=ttl) if version == 4 else IPv6(src=HOST6, dst=to, hlim=ttl)
    with Capture(sender, interface) as capture:
        sender.call(send_packet, bytes(header / UDP(sport=4000, dport=4001) / PAYLOAD), to)
        error = capture.wait(lambda seen: PAYLOAD in seen and (icmp4(seen) or icmp6(seen)))
    return ip_address(error[12:16] if version == 4 else error[8:24])


def icmp6(packet: bytes) -> bool:
    return packet[0] >> 4 == 6 and packet[6] == 58 and packet[40] < 128


@pytest.mark.parametrize(
    "run_arguments",
    [(), ("--inject", "ip"), ("--model", "device"), ("--model", "route")],
    ids=["device", "ip", "device model", "route model"],
)
def test_own_errors_come_from_the_address_towards_the_receiver(bare_lab: Lab, run_arguments: tuple[str, ...]) -> None:
    """Not from the lowest of the node, nor from one that is deprecated."""
    node = bare_lab.translator
    for key in ("ipv4.icmp_ratelimit", "ipv6.icmp.ratelimit"):
        node.sysctl(f"net.{key}", 0)
    node.ip(f"address add {LOWEST4}/32 dev lo")
    node.ip(f"-6 address add {LOWEST6}/64 dev to-r6 preferred_lft 0 valid_lft 3600 nodad")
    with TranslatorProcess(node, bare_lab.directory, *run_arguments) as process:
        ttl = 3 if "device" in run_arguments else 2  # that model forwards twice, in IPv4 first
        assert source_of_time_exceeded(bare_lab, 4, ttl) == ip_address(TRANSLATOR[0])
        if "ip" in run_arguments:  # else the kernel has made it, in IPv4
            assert source_of_time_exceeded(bare_lab, 6) == ip_address(TRANSLATOR[1])
        # what has become deprecated while it runs
        node.ip("address add 192.0.2.19/28 dev to-r4")
        node.ip(f"address change {TRANSLATOR[0]}/28 dev to-r4 preferred_lft 0 valid_lft 3600")
        wait_for(lambda: source_of_time_exceeded(bare_lab, 4, ttl) == ip_address("192.0.2.19"), "another source")
        assert process.alive()


@IP_INJECTOR
def test_address4_and_address6_are_taken_whatever_the_route_says(bare_lab: Lab, run_arguments: tuple[str, ...]) -> None:
    file = bare_lab.directory / "own.toml"
    file.write_text(DOMAIN + 'address4 = "203.0.113.250"\naddress6 = "2001:db8:9::9"\n')
    with TranslatorProcess(bare_lab.translator, bare_lab.directory, "--config", str(file), *run_arguments):
        assert source_of_time_exceeded(bare_lab, 4) == ip_address("203.0.113.250")
        assert source_of_time_exceeded(bare_lab, 6) == ip_address("2001:db8:9::9")


def quotes(header: bytes, seen: bytes) -> bool:
    return icmp6(seen) and header in seen


def is_too_big(ports: bytes, seen: bytes) -> bool:
    return icmp6(seen) and seen[40] == 2 and seen[88:92] == ports


def flood(packets: list[bytes], towards: str) -> None:
    for packet in packets:
        send_packet(packet, towards)


@pytest.fixture
def narrow_lab(bare_lab: Lab) -> Lab:
    """Before the translator begins: it remembers routes for a moment."""
    bare_lab.translator.ip("link set to-r4 mtu 1400")
    return bare_lab


@pytest.mark.parametrize("run_arguments", [("--inject", "ip", "--icmp-rate", "100")], ids=["ip"])
def test_packet_too_big_is_told_while_others_flood(narrow_lab: Lab, process: TranslatorProcess) -> None:
    """2,000 datagrams without a mapping, and among them 20 that are too big: each of these is told."""
    lab = narrow_lab
    unmapped = bytes(IPv6(src="2001:db8:fe::1", dst=HOST4_6) / UDP(sport=9, dport=9) / PAYLOAD)
    big = [
        bytes(IPv6(src=HOST6, dst=HOST4_6) / UDP(sport=number, dport=9) / Raw(PAYLOAD + bytes(1400 - len(PAYLOAD))))
        for number in range(1, 21)
    ]
    counted = Counted(process)
    with Capture(lab.host6, "to-r6") as capture:
        for packet in big:
            lab.host6.call(flood, [unmapped] * 100 + [packet], HOST4_6)
            capture.drain()  # or its socket is soon full
        for packet in big:
            capture.wait(partial(is_too_big, packet[40:44]))
    reasons = counted.reasons()
    assert reasons["packet_too_big"] == {"6to4": 20}
    assert reasons["error_rate_limited"]["6to4"] > 500


@IP_INJECTOR
def test_later_ipv6_fragments_have_their_errors(narrow_lab: Lab, process: TranslatorProcess) -> None:
    """RFC 4443 3.2, 3.3: a fragment behind the first that is too big, or whose Hop Limit runs out."""
    lab = narrow_lab
    for hop_limit, length, expected in ((64, 1432, (2, 0)), (2, 64, (3, 0))):
        for offset in (0, 179):
            head = IPv6(src=HOST6, dst=HOST4_6, hlim=hop_limit) / IPv6ExtHdrFragment(nh=17, offset=offset, m=1, id=77)
            packet = bytes(head / Raw(PAYLOAD + bytes(length - len(PAYLOAD))))
            with Capture(lab.host6, "to-r6") as capture:
                lab.host6.call(send_packet, packet, HOST4_6)
                error = capture.wait(partial(quotes, packet[40:48]))
            assert (error[40], error[41]) == expected


@pytest.mark.parametrize(
    ("run_arguments", "hop_limit"),
    [((), 2), (("--model", "route"), 2), (("--model", "device"), 3)],
    ids=["device", "route model", "device model"],
)
def test_a_later_fragment_whose_hops_run_out_is_told_where_the_kernel_forwards(
    lab: Lab, process: TranslatorProcess, hop_limit: int
) -> None:
    """RFC 4443 3.3: forwarding, in IPv4, would say nothing (RFC 1812 4.3.2.7)."""
    head = IPv6(src=HOST6, dst=HOST4_6, hlim=hop_limit) / IPv6ExtHdrFragment(nh=17, offset=179, m=1, id=78)
    packet = bytes(head / Raw(PAYLOAD + bytes(64 - len(PAYLOAD))))
    with Capture(lab.host6, "to-r6") as capture:
        lab.host6.call(send_packet, packet, HOST4_6)
        error = capture.wait(partial(quotes, packet[40:48]))
    assert (error[40], error[41]) == (3, 0)
    assert ip_address(error[8:24]) == ip_address(TRANSLATOR[1])


def refuse(namespace: Namespace, family: str, what: str) -> None:
    chain = f"chain {family} refuses output {{ type filter hook output priority 0; }}"
    rule = f"rule {family} refuses output {what} drop"
    namespace.run(["nft", f"add table {family} refuses; add {chain}; add {rule}"])


@IP_INJECTOR
def test_what_left_is_counted_and_not_what_was_refused(lab: Lab, process: TranslatorProcess) -> None:
    """A firewall that refuses what is sent: EPERM, for results and for errors."""
    refuse(lab.host6, "ip6", "icmpv6 type 1")  # nobody listens there
    refuse(lab.translator, "ip6", "udp dport 4001")
    refuse(lab.translator, "ip", "icmp type 11")
    counted = Counted(process)
    with on_one_processor(process.workers()):  # the last comes last
        for ttl, port in ((64, 4001), (64, 4001), (64, 4002), (2, 4002)):
            packet = bytes(IP(src=HOST4, dst=HOST6_EAM4, ttl=ttl) / UDP(sport=4000, dport=port) / PAYLOAD)
            lab.host4.call(send_packet, packet, HOST6_EAM4)
    wait_for(lambda: counted.reasons().get("hop_limit_exceeded"), "all to be counted")
    assert counted.reasons() == {
        "translated": {"4to6": 1},
        "inject_failed": {"4to6": 2, "none": 1},
        "hop_limit_exceeded": {"4to6": 1},
    }
    assert (counted.total("injected"), counted.total("errors_sent")) == (1, 0)


@pytest.mark.parametrize("inject", ["ip", "device"])
@pytest.mark.parametrize("clat", [TRANSLATOR[1], "2001:db8:1::64"], ids=["its own address", "another"])
def test_a_host_is_told_that_its_own_packets_are_too_big(bare_lab: Lab, inject: str, clat: str) -> None:
    """Results with an address of this host as source leave by a raw socket, which is refused what is larger than the
    route's MTU, and tells nobody; others are forwarded, and the kernel's error goes to the CLAT's address."""
    node = bare_lab.translator
    for key in ("ipv4.ip_forward", "ipv6.conf.all.forwarding"):
        node.sysctl(f"net.{key}", 1)
    arguments = ("--role", "host", "--prefix6", str(PREFIX6), "--eam", f"{CLAT4}={clat}", "--inject", inject)
    with TranslatorProcess(node, bare_lab.directory, *arguments) as process:
        node.ip("link set to-r6 mtu 1400")
        with node.entered(), closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as own:
            own.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO)
            own.bind((CLAT4, 0))
            own.connect((HOST6_4, 4001))

            def told() -> bool:
                with contextlib.suppress(OSError):
                    own.send(bytes(1440))
                return own.getsockopt(socket.IPPROTO_IP, IP_MTU) == 1400 - 20

            def fits() -> bool:
                with contextlib.suppress(OSError):  # what was told of those before
                    return own.send(bytes(1380 - 28)) > 0
                return False

            wait_for(told, "the path MTU")
            wait_for(fits, "the largest that fits to be sent")
        wait_for(lambda: "4to6" in process.summary()["reasons"].get("translated", {}), "it to leave")
        told_of = process.summary()
        forwarded = inject == "device" and clat != TRANSLATOR[1]
        assert ("packet_too_big" in told_of["reasons"]) == (not forwarded)
        assert not {"inject_too_big", "inject_failed"} & told_of["reasons"].keys()
        assert told_of["unexpected"] == 0
