"""The rest of the box: stateful firewalls, rp_filter, other tools' traffic. What the README says of them."""

import os
import signal

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import Raw

from nfxlat.lab.capture import Capture, send_packet
from nfxlat.lab.datagram import path_mtu
from nfxlat.lab.probe import ping, traceroute
from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.topology import (
    HOST4_6,
    HOST6,
    HOST6_4,
    HOST6_EAM4,
    HOST6_NARROW_4,
    TRANSLATOR,
    Lab,
)
from nfxlat.lab.transfer import download, serving

MEBI = 1 << 20


def stateful(accept_translated: bool) -> str:
    """The firewall of the README, with and without the rule that accepts translated traffic statelessly."""
    return f"""
    table inet fw {{
        chain forward {{
            type filter hook forward priority filter; policy drop;
            ct state established,related accept
            ct state invalid drop
            {'iifname "siit0" accept' if accept_translated else ""}
        }}
    }}
    """


def load(lab: Lab, ruleset: str) -> None:
    lab.translator.run(["nft", ruleset])


def tcp_works(lab: Lab) -> bool:
    with serving(lab.host6, MEBI) as ready:
        try:
            return lab.host4.call(download, HOST6_4, ready).intact
        except OSError:
            return False


def test_behind_a_stateful_firewall_translated_flows_need_the_stateless_accept(lab: Lab) -> None:
    assert tcp_works(lab)
    load(lab, stateful(accept_translated=False))
    assert not tcp_works(lab)
    load(lab, "delete table inet fw; " + stateful(accept_translated=True))
    assert tcp_works(lab)
    assert lab.host4.call(ping, HOST6_EAM4).ok
    assert lab.host6.call(ping, HOST4_6, HOST6).ok


def test_without_notrack_conntrack_would_call_translated_tcp_invalid(lab: Lab, process: TranslatorProcess) -> None:
    """The reason for the rules' notrack: seen with it taken away, while the supervisor cannot put it back."""
    load(lab, "table inet fw { chain forward { type filter hook forward priority filter; ct state invalid drop; }; }")
    assert tcp_works(lab)
    os.kill(process.pid, signal.SIGSTOP)
    try:
        for family in ("ip", "ip6"):
            load(lab, f"flush chain {family} nfxlat_siit0 prerouting")
            to_or_from = "to" if family == "ip" else "from"
            rule = f"{family} daddr @siit0_{to_or_from} jump xlat_{to_or_from}_siit0"
            load(lab, f'add rule {family} nfxlat_siit0 prerouting iifname != "siit0" {rule}')
        assert not tcp_works(lab)
    finally:
        os.kill(process.pid, signal.SIGCONT)


def test_conntrack_holds_nothing_of_translated_flows(lab: Lab) -> None:
    chain = "chain forward { type filter hook forward priority filter; ct state new counter name n; }"
    load(lab, f"table inet fw {{ counter n {{ }}; {chain}; }}")
    assert tcp_works(lab)
    assert "packets 0 bytes 0" in lab.translator.run(["nft", "list", "counter", "inet", "fw", "n"]).stdout


@pytest.mark.parametrize("rp_filter", [1, 2], ids=["strict", "loose"])
def test_rp_filter_lets_translated_packets_and_errors_pass(bare_lab: Lab, rp_filter: int) -> None:
    for scope in ("all", "default", "to-r4", "to-r6"):
        bare_lab.translator.sysctl(f"net.ipv4.conf.{scope}.rp_filter", rp_filter)
    with TranslatorProcess(bare_lab.translator, bare_lab.directory):
        assert bare_lab.translator.sysctl("net.ipv4.conf.all.rp_filter") == str(rp_filter)
        for target in (HOST6_4, HOST6_EAM4):
            assert bare_lab.host4.call(ping, target).ok
        assert bare_lab.host6.call(ping, HOST4_6, HOST6).ok
        hops = bare_lab.host4.call(traceroute, HOST6_4)
        assert [hop.node for hop in hops] == [None, "2001:db8:1::1", "2001:db8:1::2", None]
        assert bare_lab.host4.call(path_mtu, HOST6_NARROW_4, 9).mtu == 1380
        assert bare_lab.host4.call(ping, "192.0.2.18").ok


def test_the_routers_own_traffic_is_translated_too(lab: Lab) -> None:
    assert lab.translator.call(ping, HOST6_4, TRANSLATOR[0]).ok
    assert lab.host6.call(ping, "2001:db8:64::c000:212", HOST6).ok


def test_traffic_that_is_not_translated_is_untouched(lab: Lab, process: TranslatorProcess) -> None:
    """IPv4 between neighbours, IPv6 between native hosts, and IPv6 to an IPv6 host inside prefix6."""
    taken = process.summary()["totals"]["packets"]
    assert lab.router4.call(ping, TRANSLATOR[0]).ok
    assert lab.router6.call(ping, TRANSLATOR[1]).ok
    assert lab.translator.call(ping, HOST6).ok
    assert lab.translator.call(ping, "2001:db8:64::c633:6402").ok
    assert process.summary()["totals"]["packets"] == taken


@pytest.mark.parametrize(
    ("packet", "interface"),
    [
        (IPv6(src="2001:db8:1::2", dst="2001:db8:3::2", hlim=2), "to-r6"),
        (IP(src="192.0.2.17", dst="192.0.2.34", ttl=2), "to-r4"),
    ],
    ids=["IPv6", "IPv4"],
)
def test_transit_that_is_not_translated_keeps_its_mark(lab: Lab, packet: IP | IPv6, interface: str) -> None:
    """In on one interface and out on the same one, marked before our chains and looked at behind them."""
    load(
        lab,
        """table inet look {
            chain before { type filter hook prerouting priority -500; udp dport 4001 meta mark set 77; }
            chain behind { type filter hook postrouting priority 500; udp dport 4001 meta mark 77 counter name seen; }
            counter seen { }
        }""",
    )
    payload = b"only passing through"
    router = lab.router6 if isinstance(packet, IPv6) else lab.router4
    with Capture(lab.translator, interface) as capture:
        router.ip(f"route replace {packet.dst} via {TRANSLATOR[1 if router is lab.router6 else 0]}")
        router.call(send_packet, bytes(packet / UDP(sport=4000, dport=4001) / Raw(payload)), packet.dst)
        hops_at = 7 if isinstance(packet, IPv6) else 8
        capture.wait(lambda seen: payload in seen and seen[hops_at] == 1)
    assert "packets 1 " in lab.translator.run(["nft", "list", "counter", "inet", "look", "seen"]).stdout
