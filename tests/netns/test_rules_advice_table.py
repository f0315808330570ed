"""The checker's advice, ignored and followed, one row a judgement: what is changed in rules or host, and what is seen.

host4 --- router4 --- translator --- router6 --- host6, one lab and one `nfxlat run` for all rows

The mark `advice` names the judgements that a test shows (tests/unit/test_rules_advice_ledger.py).
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import Raw

from nfxlat import config
from nfxlat.datapath.counters import PART
from nfxlat.datapath.inject import DeviceInjector
from nfxlat.host.device import FAR_MAC, NEAR_MAC, far_interface, far_namespace
from nfxlat.host.netns import in_namespace
from nfxlat.lab.capture import Capture, send_packet
from nfxlat.lab.datagram import UdpEcho, path_mtu
from nfxlat.lab.netns import Namespace, wait_for
from nfxlat.lab.probe import ping
from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.rules import loaded, prepare
from nfxlat.lab.topology import (
    HOST4,
    HOST4_6,
    HOST6,
    HOST6_4,
    HOST6_PREFIX,
    PLAIN_HOST6,
    ROUTER4,
    ROUTER6,
    TRANSLATOR,
    Lab,
)
from nfxlat.nft.check.judge import check
from nfxlat.nft.language.program import Program, program
from nfxlat.nft.shipped import RULES
from nfxlat.service.live_check import check_live

pytestmark = pytest.mark.netns

TOML = RULES / "xlat" / "router.toml"
GOOD = """\
define pool4 = { 198.51.100.0/24, 203.0.113.2 }
define prefix6 = 2001:db8:64::/96
table ip mine {
	chain pre {
		type filter hook prerouting priority -450; policy accept;
		ip daddr $pool4 xlat to siit0
	}
}
table ip6 mine {
	chain pre {
		type filter hook prerouting priority -450; policy accept;
		ip6 daddr $prefix6 xlat from siit0
	}
}
"""
RULE4, RULE6 = "ip daddr $pool4 xlat to siit0", "ip6 daddr $prefix6 xlat from siit0"
ELSEWHERE = "2001:db8:99::1"
PAYLOAD = b"as the checker says"
HOST6_4_OCTETS = IPv4Address(HOST6_4).packed
PATIENCE, HASTE = 5.0, 0.3  # seconds: for what must come, and for what must not


def written(text: str, toml: Path = TOML, *more: str) -> Program:
    domains = config.load(toml).domains
    others = [replace(domains[0], name=name) for name in more]
    return program(text, "/run/nfx-advice.nft", [*domains, *others])


def arrival(sender: Namespace, packet: IP | IPv6, receiver: Namespace, interface: str, comes: bool) -> bytes | None:
    """The packet as it arrives, None if it does not; `comes` says for how long to wait."""
    with Capture(receiver, interface) as capture:
        sender.call(send_packet, bytes(packet / UDP(sport=4000, dport=4001) / Raw(PAYLOAD)), str(packet.dst))
        try:
            return capture.wait(lambda seen: PAYLOAD in seen, PATIENCE if comes else HASTE)
        except TimeoutError:
            return None


def hops(lab: Lab, good: bool) -> bool:
    """One hop less at each of the three nodes."""
    arrived = arrival(lab.host4, IP(src=HOST4, dst=HOST6_4, ttl=64), lab.host6, "to-r6", comes=True)
    assert arrived is not None
    assert arrived[7] == 64 - (3 if good else 4)
    return good


def answered(lab: Lab, good: bool, target: str = HOST6_4) -> bool:
    return lab.host4.call(ping, target, count=1, timeout=PATIENCE if good else HASTE).ok


def crosses(lab: Lab, good: bool) -> bool:
    return arrival(lab.host4, IP(src=HOST4, dst=HOST6_4), lab.host6, "to-r6", good) is not None


def plain(lab: Lab, good: bool) -> bool:
    """IPv4 between IPv4 hosts."""
    with lab.plain_ipv4():
        return answered(lab, good, PLAIN_HOST6)


def told(lab: Lab, good: bool) -> bool:
    """The translator's kernel tells host4 of the MTU of the link behind it."""
    for namespace in (lab.host4, lab.translator):
        for family in ("-4", "-6"):
            namespace.ip(f"{family} route flush cache")
    with UdpEcho(lab.host6, HOST6_PREFIX) as echo:
        return lab.host4.call(path_mtu, HOST6_4, echo.port, timeout=PATIENCE if good else HASTE).mtu == 1480


@pytest.fixture(scope="module")
def node() -> Iterator[Lab]:
    with Lab() as lab, TranslatorProcess(lab.translator, lab.directory, "--config", str(TOML), setup=False):
        for key in ("ipv4.conf.all.accept_local", "ipv4.fwmark_reflect", "ipv6.fwmark_reflect"):
            lab.translator.sysctl(f"net.{key}", 0)
        prepare(lab.translator, written(GOOD))
        yield lab


@dataclass(frozen=True)
class Case:
    """Rules with a fault: `codes` are all that the checker finds, `was` what becomes what, `works` what then fails."""

    codes: str
    was: str
    becomes: str
    works: Callable[[Lab, bool], bool]


OVERLAP = "ip daddr 203.0.113.2 xlat to siit0\n\t\tip daddr 198.51.100.0/25 xlat to other\n\t\t"
RULES_AT_FAULT = [
    Case("hook", "prerouting priority -450; policy accept;\n\t\tip d", "forward priority -460;\n\t\tip d", hops),
    Case("hook", "prerouting priority -450; policy accept;\n\t\tip d", "input priority -450;\n\t\tip d", answered),
    Case("hook", "prerouting priority -450; policy accept;\n\t\tip6", "postrouting priority 101;\n\t\tip6", answered),
    Case("side", "198.51.100.0/24, 203.0.113.2", "203.0.113.128/25", answered),
    Case("side", "prefix6 = 2001:db8:64::/96", "prefix6 = 2001:db8:2::2", answered),
    Case("destination", "ip daddr $pool4", "ip saddr 192.0.2.0/28", plain),
    Case("one-way", f"\t\t{RULE6}\n", "", answered),
    Case("name", "table ip mine", "table ip xlat_siit0", answered),
    Case("overlap one-way", RULE4, OVERLAP + RULE4, answered),
]


@pytest.mark.advice("hook", "side", "destination", "one-way", "name", "overlap")
@pytest.mark.parametrize("case", RULES_AT_FAULT, ids=lambda case: f"{case.codes}-{case.becomes[:12].strip()}")
def test_rules_at_fault_fail_as_the_checker_says(node: Lab, case: Case) -> None:
    assert case.was in GOOD
    bad = written(GOOD.replace(case.was, case.becomes), TOML, "other")
    assert {finding.code for finding in check(bad)} - {"output"} == set(case.codes.split())
    with loaded(node.translator, bad):
        assert not case.works(node, False)
    with loaded(node.translator, written(GOOD)):
        assert case.works(node, True)


ASKED = GOOD.replace(RULE4, f"ip frag-off & 0x3fff != 0 ip protocol icmp return\n\t\t{RULE4}")
ASKED = ASKED.replace(RULE6, f"exthdr frag exists meta l4proto icmpv6 return\n\t\t{RULE6}")
for _rule in (RULE4, RULE6):
    _chain = "chain whole {{\n\t\ttype filter hook prerouting priority raw; policy accept;\n\t\t{} reassembled\n\t}}\n"
    ASKED = ASKED.replace(f"{_rule}\n\t}}\n", f"{_rule}\n\t}}\n\t{_chain.format(_rule)}")
RAW = "prerouting priority raw"


def large(lab: Lab, good: bool) -> bool:
    return lab.host4.call(ping, HOST6_4, count=1, size=3000, timeout=PATIENCE if good else HASTE).ok


WHOLE_AT_FAULT = [
    Case("priority", RAW, "prerouting priority -420", large),
    Case("priority", RAW, "prerouting priority filter", large),
    Case("hook", RAW, "output priority raw", large),
    Case("unreached", "\t\tip frag-off & 0x3fff != 0 ip protocol icmp return\n", "", large),
]


@pytest.mark.advice("priority", "hook", "unreached")
@pytest.mark.parametrize("case", WHOLE_AT_FAULT, ids=lambda case: f"{case.codes}-{case.becomes[:26].strip()}")
def test_whole_datagrams_asked_for_at_the_wrong_place_do_not_come(node: Lab, case: Case) -> None:
    assert case.was in ASKED
    bad = written(ASKED.replace(case.was, case.becomes))
    assert {finding.code for finding in check(bad)} - {"output"} == {case.codes}
    with loaded(node.translator, bad):
        assert not case.works(node, False)
    good = written(ASKED)
    assert {finding.code for finding in check(good)} == {"output"}
    with loaded(node.translator, good):
        assert case.works(node, True)


@dataclass(frozen=True)
class Host:
    """A host with a fault: what is done to it and undone (nft: and ip: commands, or settings), and what then fails."""

    code: str
    done: str
    undone: str
    works: Callable[[Lab, bool], bool]


HOSTS_AT_FAULT = [
    Host(
        "terminal-route",
        "ip -6 route del 2001:db8:64::/96 dev siit0; ip -6 route del unreachable 2001:db8:64::/96",
        "",
        told,
    ),
    Host("local-address", "ip address add 198.51.100.2 dev lo", "ip address del 198.51.100.2/32 dev lo", crosses),
    Host("forwarding", "sysctl net.ipv4.ip_forward=0", "sysctl net.ipv4.ip_forward=1", answered),
    Host("forwarding", "sysctl net.ipv6.conf.all.forwarding=0", "sysctl net.ipv6.conf.all.forwarding=1", answered),
    Host("forwarding", "sysctl net.ipv4.conf.siit0.forwarding=0", "sysctl net.ipv4.conf.siit0.forwarding=1", answered),
    Host(
        "rp-filter",
        f"sysctl net.ipv4.conf.all.rp_filter=1; ip route replace 198.51.100.0/24 via {ROUTER4[1]}",
        "",  # the advice is to keep the route, and rp_filter may stay
        answered,
    ),
]


def do(lab: Lab, commands: str) -> None:
    for command in filter(None, commands.split("; ")):
        lab.translator.run(command.replace("sysctl ", "sysctl -w ").split())


@pytest.mark.advice("terminal-route", "local-address", "forwarding", "rp-filter")
@pytest.mark.parametrize("case", HOSTS_AT_FAULT, ids=lambda case: f"{case.code}-{case.done[:34]}")
def test_hosts_at_fault_fail_as_the_checker_says(node: Lab, case: Host) -> None:
    good = written(GOOD)
    with loaded(node.translator, good):
        try:
            do(node, case.done)
            assert case.code in {finding.code for finding in node.translator.call(check_live, good)}
            assert not case.works(node, False)
        finally:
            do(node, case.undone)
            prepare(node.translator, good)
        assert case.works(node, True)
        node.translator.sysctl("net.ipv4.conf.all.rp_filter", 0)


@pytest.mark.advice("output")
def test_without_the_output_hook_that_load_adds_senders_are_not_told(node: Lab) -> None:
    found = written(GOOD)
    assert [finding.code for finding in check(found)] == ["output", "output"]
    with loaded(node.translator, found):
        assert told(node, True)
        node.translator.run(["nft", "flush chain ip6 xlat_siit0 xlat_output"])
        assert not told(node, False)


@pytest.mark.advice("unreached", "family")
@pytest.mark.parametrize(
    ("code", "was", "becomes"),
    [
        ("unreached", "type filter hook prerouting priority -450; policy accept;\n\t\tip d", "ip d"),
        ("family", "table ip mine", "table ip6 other"),
    ],
)
def test_where_no_packet_comes_a_counter_in_its_place_stays_at_zero(
    node: Lab, code: str, was: str, becomes: str
) -> None:
    bad = written(GOOD.replace(was, becomes))
    assert code in {finding.code for finding in check(bad)}  # load refuses it
    for text, counted in ((GOOD, 1), (bad.source.text, 0)):
        counting = text.replace(RULE4, "meta l4proto udp counter").replace(RULE6, "")
        node.translator.run(["nft", counting])
        try:
            crosses(node, False)
            told = f"counter packets {counted} "
            wait_for(lambda told=told: told in node.translator.run(["nft", "list ruleset"]).stdout, told)  # type: ignore[misc]
        finally:
            node.translator.run(["nft", "flush ruleset"])


@pytest.mark.advice("prefix")
def test_a_malformed_prefix_is_refused_by_nft_too(node: Lab) -> None:
    for prefix in ("64::ff0b::/96", "2001:db8:64::/129"):
        bad = GOOD.replace(RULE6, f"ip6 daddr {prefix} counter").replace(RULE4, "counter")
        assert {f.code for f in check(written(bad.replace("counter", "xlat from siit0")))} >= {"prefix"}
        assert node.translator.run(["nft", "-c", bad], check=False).returncode
    assert node.translator.run(["nft", "-c", bad.replace(prefix, "64:ff9b::/96")]).returncode == 0


@pytest.mark.advice("open-address")
def test_an_address_without_a_mapping_ends_the_packet(node: Lab) -> None:
    bad = written(GOOD.replace("from siit0", "from 2001:db8:99::/96"))
    assert "open-address" in {finding.code for finding in check(bad)}  # load refuses it
    with loaded(node.translator, written(GOOD)):
        for source, mapped in (("2001:db8:3::2", False), (HOST6, True)):
            packet = IPv6(src=source, dst=HOST4_6)
            assert (arrival(node.host6, packet, node.host4, "to-r4", mapped) is not None) == mapped


@pytest.mark.advice("type")
@pytest.mark.parametrize("advised", [True, False])
def test_a_route_chain_reroutes_nothing_that_was_queued(node: Lab, advised: bool) -> None:
    """What the domain does not map comes back from the queue, and its mark is to lead it into siit0."""
    chain = "\tchain %s {\n\t\ttype %s hook output priority %d; policy accept;\n%s\t}\n"
    mark, xlat = (
        f"\t\tip6 daddr {ELSEWHERE} meta mark set 5\n",
        f"\t\tip6 daddr {{ $prefix6, {ELSEWHERE} }} xlat from siit0\n",
    )
    chains = chain % ("ahead", "route", -451, mark) + chain % ("out", "filter", -450, xlat)
    found = written(f"{GOOD[:-2]}{chains if advised else chain % ('out', 'route', -450, mark + xlat)}}}\n")
    assert ("type" in {finding.code for finding in check(found)}) != advised
    do(node, f"ip -6 route add {ELSEWHERE} via {ROUTER6[0]}; ip -6 route replace {ELSEWHERE} dev siit0 table 5")
    do(node, "ip -6 rule add fwmark 5 lookup 5")
    try:
        with loaded(node.translator, found):
            way = "siit0" if advised else "to-r6"
            assert arrival(node.translator, IPv6(src=TRANSLATOR[1], dst=ELSEWHERE), node.translator, way, comes=True)
    finally:
        do(node, f"ip -6 rule del fwmark 5; ip -6 route del {ELSEWHERE}")


@pytest.mark.advice("accept-local")
def test_accept_local_lets_packets_in_that_bear_the_address_of_the_node(node: Lab) -> None:
    forged = bytes(IP(src=TRANSLATOR[0], dst=HOST4) / UDP(sport=9, dport=9) / Raw(PAYLOAD))
    with node.translator.entered():
        far = far_namespace("siit0")
    with in_namespace(far):
        sender = DeviceInjector(DeviceInjector.open_socket(far_interface("siit0")), NEAR_MAC, FAR_MAC, print)
    try:
        for accept in (1, 0):
            node.translator.sysctl("net.ipv4.conf.siit0.accept_local", accept)
            codes = {finding.code for finding in node.translator.call(check_live, written(GOOD))}
            assert ("accept-local" in codes) == bool(accept)
            with Capture(node.host4, "to-r4") as capture:
                sender.put_packet(forged, PART)
                sender.flush()
                with contextlib.nullcontext() if accept else pytest.raises(TimeoutError):
                    capture.wait(lambda seen: PAYLOAD in seen, PATIENCE if accept else HASTE)
    finally:
        sender.close()


def leaks(lab: Lab, expected: bool) -> bool:
    """Whether what comes for a translated address goes on as IPv4, with one hop less."""
    with Capture(lab.translator, "to-r4") as capture:
        crosses(lab, False)
        came = capture.wait(asks)
        try:
            capture.wait(lambda seen: asks(seen) and seen[8] < came[8], PATIENCE if expected else HASTE)
        except TimeoutError:
            return False
        return True


def asks(packet: bytes) -> bool:
    return PAYLOAD in packet and packet[16:20] == HOST6_4_OCTETS


@pytest.mark.advice("fail-closed")
def test_without_an_unreachable_route_packets_leak_once_device_and_rules_are_gone(node: Lab) -> None:
    node.translator.ip(f"route add default via {ROUTER4[1]}")
    node.translator.ip("link set siit0 down")
    try:
        assert not leaks(node, expected=False)
        node.translator.ip("route del unreachable 198.51.100.0/24")
        found = node.translator.call(check_live, written(GOOD))
        assert ("fail-closed", "route 198.51.100.0/24") in {(finding.code, finding.where) for finding in found}
        assert leaks(node, expected=True)
    finally:
        node.translator.ip("route del default")
        node.translator.ip("link set siit0 up")
        prepare(node.translator, written(GOOD))


@pytest.mark.advice("untracked-nat")
def test_masquerade_of_what_a_router_translates_never_happens(node: Lab) -> None:
    chain = "chain nat { type nat hook postrouting priority srcnat; ip saddr 198.51.100.0/24 masquerade; }"
    bad = written(GOOD.replace("\n}", f"\n\t{chain}\n}}", 1))
    assert "untracked-nat" in {finding.code for finding in check(bad)}
    with loaded(node.translator, bad):
        assert "untracked-nat" in {finding.code for finding in node.translator.call(check_live, written(GOOD))}
        arrived = arrival(node.host6, IPv6(src=HOST6_PREFIX, dst=HOST4_6), node.host4, "to-r4", comes=True)
    assert arrived is not None
    assert arrived[12:16] == HOST6_4_OCTETS  # rules/xlat/masquerade.nft is how it is done: test_rules_selection.py
