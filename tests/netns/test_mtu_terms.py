"""The MTU that a translated ICMP error tells is the least of three (RFC 7915 4.2, 5.2): that of the error, less or plus
the headers' difference, and those of the next hops on both sides.

host4 --- router4 --- translator --- router6 --- host6
"""

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import ICMPv6PacketTooBig, IPv6
from scapy.packet import Raw

from nfxlat.lab.capture import Capture, icmp4, send_packet
from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.topology import HOST4, HOST4_6, HOST6, HOST6_EAM4, Lab

QUOTED = b"too big for somebody "


@pytest.mark.parametrize(
    "run_arguments",
    [(), ("--no-fast-path",), ("--inject", "ip"), ("--model", "device"), ("--model", "route")],
    ids=" ".join,
)
@pytest.mark.parametrize(("mtu4", "mtu6", "told6", "told4"), [(1500, 1500, 1500, 1480), (1400, 1500, 1420, 1400)])
def test_no_error_tells_more_than_the_next_hops_take(
    bare_lab: Lab, run_arguments: tuple[str, ...], mtu4: int, mtu6: int, told6: int, told4: int
) -> None:
    lab = bare_lab
    lab.translator.ip(f"link set to-r4 mtu {mtu4}")
    lab.translator.ip(f"link set to-r6 mtu {mtu6}")
    with TranslatorProcess(lab.translator, lab.directory, *run_arguments):
        quote4 = IP(src=HOST6_EAM4, dst=HOST4, len=9500, flags="DF") / UDP(len=9480, chksum=1) / Raw(QUOTED)
        error4 = bytes(IP(src=HOST4, dst=HOST6_EAM4) / ICMP(type=3, code=4, nexthopmtu=9000) / Raw(bytes(quote4)))
        with Capture(lab.host6, "to-r6") as capture:
            lab.host4.call(send_packet, error4, HOST6_EAM4)
            found = capture.wait(lambda seen: seen[0] >> 4 == 6 and QUOTED in seen)
        assert (found[40], int.from_bytes(found[44:48], "big")) == (2, told6)
        quote6 = IPv6(src=HOST4_6, dst=HOST6, plen=9480) / UDP(len=9480, chksum=1) / Raw(QUOTED)
        error6 = bytes(IPv6(src=HOST6, dst=HOST4_6) / ICMPv6PacketTooBig(mtu=9000) / Raw(bytes(quote6)))
        with Capture(lab.host4, "to-r4") as capture:
            lab.host6.call(send_packet, error6, HOST4_6)
            found = capture.wait(lambda seen: icmp4(seen) and QUOTED in seen)
        assert (found[20], found[21], int.from_bytes(found[26:28], "big")) == (3, 4, told4)
