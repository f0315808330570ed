"""What is routed into the domain device and matched no rule is told; originals that a host lets go on are none of it.

host4 --- router4 --- translator (a host, or a router) --- router6 --- host6
"""

import socket

from counted import Counted

from nfxlat.lab.netns import wait_for
from nfxlat.lab.probe import ping
from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.topology import HOST6_4, TRANSLATOR, Lab

CLAT4, CLAT6 = "192.0.0.1", "2001:db8:1::64"


def test_a_host_s_originals_are_expected_whole_or_in_fragments(bare_lab: Lab) -> None:
    lab = bare_lab
    lab.router6.ip(f"route add {CLAT6}/128 via {TRANSLATOR[1]}")
    arguments = ("--role", "host", "--prefix6", "2001:db8:64::/96", "--eam", f"{CLAT4}={CLAT6}")
    with TranslatorProcess(lab.translator, lab.directory, *arguments) as process:
        assert lab.translator.call(ping, HOST6_4, CLAT4).ok  # the fast path takes no ICMP
        counted = Counted(process)
        lab.translator.call(send_udp, (100, 1400, 1452, 1453, 1472, 4000))
        wait_for(lambda: counted.total("originals") == 1 + 1 + 1 + 2 + 2 + 3, "all originals")
        assert process.summary()["unexpected"] == 0
        # a rule of its own keeps this from the queue
        lab.translator.run(["nft", "insert rule ip nfxlat_siit0 postrouting udp dport 9999 accept"])
        lab.translator.call(send_udp, (100,), port=9999)
        wait_for(lambda: process.summary()["unexpected"] == 1, "the one that no rule took")


def send_udp(sizes: tuple[int, ...], port: int = 4001) -> None:
    """Datagrams of so many octets, without DF."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.setsockopt(socket.IPPROTO_IP, 10, 0)  # IP_MTU_DISCOVER, IP_PMTUDISC_DONT
        udp.bind((CLAT4, 0))
        for size in sizes:
            udp.sendto(bytes(size), (HOST6_4, port))
