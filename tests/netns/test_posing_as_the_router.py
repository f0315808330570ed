"""A packet from outside whose translation would bear an address of the router as its source comes out nowhere.

It would leave by the raw socket, as the router's own, and a firewall that forwards nothing would not see it.
"""

import re
from collections.abc import Iterator

import pytest
from counted import Counted
from pinned import on_one_processor
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import ICMPv6DestUnreach, ICMPv6TimeExceeded, IPv6
from scapy.packet import Packet, Raw

from nfxlat.lab.capture import Capture, send_packet
from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.topology import HOST4, HOST4_6, HOST6, HOST6_EAM4, HOST6_PREFIX, ROUTER6, TRANSLATOR, Lab, in_prefix6
from nfxlat.nft.shipped import RULES

WAYS = pytest.mark.parametrize(
    "run_arguments",
    [(), ("--no-fast-path",), ("--inject", "ip"), ("--model", "device"), ("--model", "route")],
    ids=" ".join,
    scope="module",
)
PLAIN, POSING = b"as oneself", b"as the router"
AS_ROUTER4 = in_prefix6(TRANSLATOR[0])
OWN6 = in_prefix6("198.51.100.250")
POOL = [f"203.0.113.{n}" for n in range(240, 256)]


@pytest.fixture(scope="module")
def shared_process(shared_bare_lab: Lab, run_arguments: tuple[str, ...]) -> Iterator[TranslatorProcess]:
    """On a node that has more addresses."""
    lab = shared_bare_lab
    lines = [f"address add {OWN6}/128 dev to-r6 nodad", *(f"address add {address}/32 dev lo" for address in POOL)]
    lab.translator.ip_batch(lines)
    process = TranslatorProcess(lab.translator, lab.directory, *run_arguments)
    with on_one_processor([]), process:  # it inherits that
        yield process
    lab.translator.ip_batch([line.replace("address add", "address del").removesuffix(" nodad") for line in lines])


def udp(payload: bytes) -> Packet:
    return UDP(sport=4000, dport=4001) / Raw(payload)


def crossing(lab: Lab, version: int, posing: Packet, plain: Packet) -> list[bytes]:
    """What of the first arrives, once the second has: as sent by the host of that version."""
    sender, receiver, interface = (lab.host4, lab.host6, "to-r6") if version == 4 else (lab.host6, lab.host4, "to-r4")
    with Capture(receiver, interface) as capture:
        for packet in (posing, plain):
            sender.call(send_packet, bytes(packet), packet.dst)
        capture.wait(lambda seen: PLAIN in seen)
        return [seen for seen in capture.drain() if POSING in seen]


@WAYS
@pytest.mark.parametrize("error", [False, True], ids=["udp", "icmp"])
def test_an_ipv6_host_cannot_pose_as_the_router_s_ipv4(
    shared_lab: Lab, shared_process: TranslatorProcess, error: bool
) -> None:
    counted = Counted(shared_process)
    layer = udp(POSING)
    if error:
        layer = ICMPv6DestUnreach(code=4) / IPv6(src=HOST4_6, dst=AS_ROUTER4) / udp(POSING)
    posing, plain = IPv6(src=AS_ROUTER4, dst=HOST4_6) / layer, IPv6(src=HOST6, dst=HOST4_6) / udp(PLAIN)
    assert crossing(shared_lab, 6, posing, plain) == []
    assert counted.reasons()["local_source"] == {"6to4": 1}


@WAYS
@pytest.mark.parametrize("error", [False, True], ids=["udp", "icmp"])
def test_an_ipv4_host_cannot_pose_as_the_router_s_ipv6(
    shared_lab: Lab, shared_process: TranslatorProcess, error: bool
) -> None:
    """198.51.100.250 has a counterpart that is an address of the router."""
    counted = Counted(shared_process)
    layer = udp(POSING)
    if error:
        layer = ICMP(type=3, code=3) / IP(src=HOST6_EAM4, dst="198.51.100.250") / udp(POSING)
    posing = IP(src="198.51.100.250", dst=HOST6_EAM4) / layer
    assert crossing(shared_lab, 4, posing, IP(src=HOST4, dst=HOST6_EAM4) / udp(PLAIN)) == []
    assert counted.reasons()["local_source"] == {"4to6": 1}


@WAYS
def test_an_error_source_out_of_a_pool_may_be_an_address_of_the_router(
    shared_lab: Lab, shared_process: TranslatorProcess
) -> None:
    """RFC 6791: a router without a mapping gets one of the pool, which the node may have itself."""
    quote = IPv6(src=HOST4_6, dst=HOST6) / udp(PLAIN)
    error = IPv6(src=ROUTER6[1], dst=HOST4_6) / ICMPv6TimeExceeded() / quote
    with Capture(shared_lab.host4, "to-r4") as capture:
        shared_lab.host6.call(send_packet, bytes(error), HOST4_6)
        seen = IP(capture.wait(lambda seen: PLAIN in seen))
    assert seen.src in POOL


@pytest.mark.parametrize("run_arguments", [()], ids=[""], scope="module")
def test_the_rule_of_the_page_keeps_others_from_posing_too(shared_lab: Lab, shared_process: TranslatorProcess) -> None:
    """rules/README.md: a source inside prefix6 comes from where its route leads."""
    (rule,) = re.findall(r"`(ip6 saddr .* drop)`", (RULES / "README.md").read_text())
    lab = shared_lab
    chain = "{ type filter hook prerouting priority -451; }"
    posing = IPv6(src=in_prefix6("192.0.2.99"), dst=HOST4_6) / udp(POSING)
    native = IPv6(src=HOST6_PREFIX, dst=HOST4_6) / udp(PLAIN)
    assert crossing(lab, 6, posing, native) != []
    lab.translator.run(["nft", f"add table ip6 guard; add chain ip6 guard pre {chain}; add rule ip6 guard pre {rule}"])
    try:
        assert crossing(lab, 6, posing, native) == []
    finally:
        lab.translator.run(["nft", "delete table ip6 guard"])
