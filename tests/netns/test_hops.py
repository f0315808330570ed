"""Exactly one decrement a node (contrib/doc/explanation/translation-points.md), for each translation point that exists.

host4 --- router4 --- translator --- router6 --- host6
"""

from collections.abc import Iterator

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6

from nfxlat.lab.capture import Capture, icmp4, send_packet
from nfxlat.lab.netns import Namespace
from nfxlat.lab.probe import ping
from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.topology import HOST4, HOST4_6, HOST6, HOST6_4, HOST6_EAM4, TRANSLATOR, Lab, in_prefix6

PAYLOAD = b"how many hops are left?"
WAYS = pytest.mark.parametrize(
    "run_arguments", [(), ("--inject", "ip"), ("--model", "route")], ids=["device", "ip", "route model"], scope="module"
)
DEVICE_MODEL = pytest.mark.parametrize("run_arguments", [("--model", "device")], ids=["device model"], scope="module")
CLAT4, CLAT6 = "192.0.0.1", "2001:db8:1::64"


@pytest.fixture
def lab(shared_lab: Lab) -> Lab:
    return shared_lab


def hops_left(sender: Namespace, packet: IP | IPv6, towards: str, receiver: Namespace, interface: str) -> int:
    """TTL or Hop Limit of the packet as it arrives."""
    with Capture(receiver, interface) as capture:
        sender.call(send_packet, bytes(packet / UDP(sport=4000, dport=4001) / PAYLOAD), towards)
        arrived = capture.wait(lambda seen: PAYLOAD in seen and 17 in (seen[6], seen[9]))  # no error that quotes it
    return arrived[8] if arrived[0] >> 4 == 4 else arrived[7]


@WAYS
def test_router_takes_one_hop_from_ipv4_to_ipv6(lab: Lab) -> None:
    packet = IP(src=HOST4, dst=HOST6_EAM4, ttl=64)
    assert hops_left(lab.host4, packet, HOST6_EAM4, lab.host6, "to-r6") == 64 - 3


@WAYS
def test_router_takes_one_hop_from_ipv6_to_ipv4(lab: Lab) -> None:
    packet = IPv6(src=HOST6, dst=HOST4_6, hlim=64)
    assert hops_left(lab.host6, packet, HOST4_6, lab.host4, "to-r4") == 64 - 3


@WAYS
def test_router_takes_one_hop_of_its_own_packets(lab: Lab) -> None:
    packet = IP(src=TRANSLATOR[0], dst=HOST6_EAM4, ttl=64)
    assert hops_left(lab.translator, packet, HOST6_EAM4, lab.host6, "to-r6") == 64 - 2
    # its own IPv6 address has no IPv4 counterpart, so a mapped one stands in for it
    mapped = IPv6(src=in_prefix6("198.51.100.77"), dst=HOST4_6, hlim=64)
    assert hops_left(lab.translator, mapped, HOST4_6, lab.host4, "to-r4") == 64 - 2


@pytest.mark.parametrize(
    ("run_arguments", "arrives_on"),
    [((), "siit0"), (("--inject", "ip"), "lo"), (("--model", "device"), "siit0")],
    ids=["device", "ip", "device model"],
    scope="module",
)
def test_router_takes_one_hop_of_packets_that_end_at_itself(lab: Lab, arrives_on: str) -> None:
    """Nobody forwards these, so the translator decrements; but into the device model's device they were forwarded."""
    own = in_prefix6(TRANSLATOR[0])
    packet = IPv6(src=HOST6, dst=own, hlim=64)
    assert hops_left(lab.host6, packet, own, lab.translator, arrives_on) == 64 - 2


@DEVICE_MODEL
def test_device_model_takes_two_hops_of_transit_and_one_of_its_own_packets(lab: Lab) -> None:
    """Into the device and out of it: the model's own flaw (contrib/dev/decisions/models.md)."""
    assert hops_left(lab.host4, IP(src=HOST4, dst=HOST6_EAM4, ttl=64), HOST6_EAM4, lab.host6, "to-r6") == 64 - 4
    assert hops_left(lab.host6, IPv6(src=HOST6, dst=HOST4_6, hlim=64), HOST4_6, lab.host4, "to-r4") == 64 - 4
    own = IP(src=TRANSLATOR[0], dst=HOST6_EAM4, ttl=64)
    assert hops_left(lab.translator, own, HOST6_EAM4, lab.host6, "to-r6") == 64 - 2


@WAYS
def test_a_hop_limit_that_runs_out_at_the_translator_is_told_to_the_sender(lab: Lab) -> None:
    with Capture(lab.host4, "to-r4") as capture:
        packet = IP(src=HOST4, dst=HOST6_EAM4, ttl=2) / UDP(sport=4000, dport=4001) / PAYLOAD
        lab.host4.call(send_packet, bytes(packet), HOST6_EAM4)
        error = IP(capture.wait(lambda seen: icmp4(seen) and PAYLOAD[:8] in seen))
    assert (error.payload.type, error.payload.code, error.dst) == (11, 0, HOST4)


@pytest.fixture
def host_lab(bare_lab: Lab) -> Iterator[Lab]:
    """The translator's node as a CLAT host, 192.0.0.1 being 2001:db8:1::64; host6 is the IPv4 Internet."""
    bare_lab.router6.ip(f"route add {CLAT6}/128 via {TRANSLATOR[1]}")
    arguments = ("--role", "host", "--prefix6", "2001:db8:64::/96", "--eam", f"{CLAT4}={CLAT6}")
    with TranslatorProcess(bare_lab.translator, bare_lab.directory, *arguments):
        yield bare_lab


def test_host_takes_one_hop_of_its_own_ipv4(host_lab: Lab) -> None:
    packet = IP(src=CLAT4, dst=HOST6_4, ttl=64)
    assert hops_left(host_lab.translator, packet, HOST6_4, host_lab.host6, "to-r6") == 64 - 2
    assert host_lab.translator.call(ping, HOST6_4, CLAT4).ok


def test_host_takes_one_hop_of_what_comes_to_it(host_lab: Lab) -> None:
    packet = IPv6(src=in_prefix6(HOST6_4), dst=CLAT6, hlim=64)
    assert hops_left(host_lab.host6, packet, CLAT6, host_lab.translator, "lo") == 64 - 2


def test_host_takes_one_hop_of_tethered_ipv4_behind_masquerade(host_lab: Lab) -> None:
    host_lab.translator.sysctl("net.ipv4.ip_forward", 1)
    masquerade = "oifname siit0 masquerade"
    chain = "chain ip tether nat { type nat hook postrouting priority srcnat; }"
    host_lab.translator.run(["nft", f"add table ip tether; add {chain}; add rule ip tether nat {masquerade}"])
    packet = IP(src=HOST4, dst=HOST6_4, ttl=64)
    assert hops_left(host_lab.host4, packet, HOST6_4, host_lab.host6, "to-r6") == 64 - 3
    assert host_lab.host4.call(ping, HOST6_4).ok
