"""What must hold of the node in the middle while nobody translates, and when all has ended."""

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import Raw

from nfxlat.lab.capture import Capture, send_packet
from nfxlat.lab.probe import ping
from nfxlat.lab.topology import HOST4, HOST4_6, HOST6, HOST6_EAM4, Lab

PAYLOAD = b"this must not leave untranslated"


MODELS = pytest.mark.parametrize(
    "run_arguments", [(), ("--model", "device"), ("--model", "route")], ids=["hook", "device", "route"]
)


def assert_nothing_leaves(lab: Lab) -> None:
    """Neither family's packet leaves the translator on the far side, nor on the near one."""
    with Capture(lab.translator, "to-r4") as side4, Capture(lab.translator, "to-r6") as side6:
        lab.host4.call(send_packet, bytes(IP(src=HOST4, dst=HOST6_EAM4) / UDP(dport=9) / Raw(PAYLOAD)), HOST6_EAM4)
        lab.host6.call(send_packet, bytes(IPv6(src=HOST6, dst=HOST4_6) / UDP(dport=9) / Raw(PAYLOAD)), HOST4_6)
        side4.wait(lambda seen: PAYLOAD in seen)
        side6.wait(lambda seen: PAYLOAD in seen)
        # what the translator still forwards comes behind it: a native packet through the same node and interfaces
        assert lab.router4.call(ping, "192.0.2.18", count=2).ok
        assert lab.router6.call(ping, "2001:db8:1::1", count=2).ok
        assert len([seen for seen in side4.drain() if PAYLOAD in seen]) == 1
        assert len([seen for seen in side6.drain() if PAYLOAD in seen]) == 1


def state_of(lab: Lab) -> tuple[str, ...]:
    namespace = lab.translator
    return (
        namespace.ip("route show table all"),
        namespace.ip("-6 route show table all"),
        namespace.ip("-o link"),
        namespace.run(["nft", "list", "ruleset"]).stdout,
        namespace.sysctl("net.ipv4.ip_forward"),
        namespace.sysctl("net.ipv6.conf.all.forwarding"),
    )
