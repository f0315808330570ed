"""The checker's advice, ignored: packets go wrong as it says, and right again where it is followed.

host4 --- router4 --- translator --- router6 --- host6, rules loaded without asking the checker
"""

import contextlib
import errno
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, IP, UDP, fragment
from scapy.packet import Raw

from nfxlat import config
from nfxlat.lab.capture import Capture, send_packet
from nfxlat.lab.datagram import UdpEcho, path_mtu
from nfxlat.lab.probe import ping
from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.topology import HOST4, HOST6_4, HOST6_NARROW, HOST6_NARROW_4, NARROW_MTU, TRANSLATOR, Lab
from nfxlat.nft import ruleset
from nfxlat.nft.check import check
from nfxlat.nft.compile import compile_rules, queues
from nfxlat.nft.program import program
from nfxlat.nft.templates import RULES

pytestmark = pytest.mark.netns

XLAT = RULES / "xlat"
ROUTER, CLAT = (XLAT / "router.nft").read_text(), (XLAT / "clat.nft").read_text()
CLAT6 = "2001:db8:1::64"
CONNTRACK = "table inet t { chain c { type filter hook input priority 0; ct state new; }; }"  # turns it on
MARK = b"the very packet"


@contextlib.contextmanager
def translating(lab: Lab, text: str, expected: str | None, *, host: bool = False) -> Iterator[None]:
    """The rules `text`, in which the checker finds the `expected` codes (None: nothing), at work whatever it says."""
    toml = XLAT / ("clat.toml" if host else "router.toml")
    if host:
        configuration = lab.directory / "clat.toml"
        configuration.write_text(toml.read_text().replace("2001:db8:2::2", CLAT6))
        toml, text = configuration, text.replace("2001:db8:2::2", CLAT6)
        lab.router6.ip(f"route replace {CLAT6}/128 via {TRANSLATOR[1]}")
    found = program(text, str(Path(lab.directory, "rules.nft")), config.load(toml).domains)
    codes = {finding.code for finding in check(found)} - {"output"}
    assert codes == set((expected or "").split())
    with lab.translator.entered():
        closed = not ruleset.native()
        compiled = compile_rules(found, native=not closed)
        ruleset.install(compiled, found.source.name, queues(found), closed=closed)
    role = ("--role", "host") if host else ()
    try:
        with TranslatorProcess(lab.translator, lab.directory, "--config", str(toml), *role, setup=False):
            for line in compiled.text.splitlines():
                if line.startswith(("#     ip ", "#     sysctl ")):
                    lab.translator.run(line.removeprefix("#").replace(" add ", " replace ", 1).split())
            yield
    finally:
        with lab.translator.entered():
            ruleset.remove(compiled.owner)


def crosses(lab: Lab, packet: IP) -> bool:
    with Capture(lab.host6, "to-r6") as capture:
        lab.host4.call(send_packet, bytes(packet / Raw(MARK)), HOST6_4)
        try:
            capture.wait(lambda seen: MARK in seen, 1.0)
        except TimeoutError:
            return False
        return True


@pytest.mark.parametrize("advised", [True, False])
def test_a_nat_chain_misses_what_conntrack_calls_invalid(bare_lab: Lab, advised: bool) -> None:
    bad = ROUTER.replace("filter hook prerouting priority -450", "nat hook prerouting priority dstnat")
    stray = IP(src=HOST4, dst=HOST6_4) / ICMP(type="echo-reply", id=7, seq=1)
    with translating(bare_lab, ROUTER if advised else bad, None if advised else "nat-chain priority"):
        begins = IP(src=HOST4, dst=HOST6_4) / UDP(sport=9, dport=9)
        assert crosses(bare_lab, begins) == advised  # nothing turns conntrack on, and the chain sees nothing at all
        bare_lab.translator.run(["nft", CONNTRACK])
        assert crosses(bare_lab, begins)
        assert crosses(bare_lab, stray) == advised
        # the reply is in the other family, where conntrack has not seen the request
        assert bare_lab.host4.call(ping, HOST6_4, count=1, timeout=0.5).ok == advised


@pytest.mark.parametrize("advised", [True, False])
def test_behind_defragmentation_fragments_are_cut_anew(bare_lab: Lab, advised: bool) -> None:
    bad = ROUTER.replace("hook prerouting priority -450", "hook prerouting priority raw")
    pieces = fragment(IP(src=HOST4, dst=HOST6_4, id=0x1234) / UDP(sport=9, dport=9) / Raw(bytes(2000)), fragsize=1024)
    with translating(bare_lab, ROUTER if advised else bad, None if advised else "priority"):
        bare_lab.translator.run(["nft", CONNTRACK])
        with Capture(bare_lab.host6, "to-r6") as capture:
            for piece in pieces:
                bare_lab.host4.call(send_packet, bytes(piece), HOST6_4)
            last = capture.wait(lambda seen: seen[6] == 44 and not seen[43] & 1)
            arrived = [packet for packet in [*capture.packets, last] if packet[:1] == b"\x60" and packet[6] == 44]
        sizes = sorted({len(packet) for packet in arrived}, reverse=True)
        assert (sizes[0] == 40 + 8 + 1024) == advised


@pytest.mark.parametrize("advised", [True, False])
def test_matching_the_source_misses_errors_of_routers(bare_lab: Lab, advised: bool) -> None:
    bad = "\n".join(line for line in CLAT.splitlines() if "icmpv6 type" not in line) + "\n"
    with (
        translating(bare_lab, CLAT if advised else bad, None if advised else "errors-missed", host=True),
        UdpEcho(bare_lab.host6, HOST6_NARROW) as echo,
    ):
        assert bare_lab.translator.call(ping, HOST6_NARROW_4).ok
        if advised:
            assert bare_lab.translator.call(path_mtu, HOST6_NARROW_4, echo.port).mtu == NARROW_MTU - 20
        else:
            assert bare_lab.translator.call(path_mtu, HOST6_NARROW_4, echo.port, timeout=0.5).mtu != NARROW_MTU - 20


def test_a_rule_at_postrouting_is_not_reached_without_a_route(bare_lab: Lab) -> None:
    bad = CLAT.replace('oifname "clat0" xlat', 'oifname "to-r6" xlat')
    with translating(bare_lab, bad, "route", host=True):
        bare_lab.translator.ip("route del default dev clat0")
        bare_lab.translator.ip("route del unreachable default")
        with bare_lab.translator.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            with pytest.raises(OSError, match="unreachable") as caught:
                sender.sendto(MARK, (HOST6_4, 9))
            assert caught.value.errno == errno.ENETUNREACH


@pytest.mark.parametrize("advised", [True, False])
def test_a_stateful_forward_chain_drops_what_is_untracked(bare_lab: Lab, advised: bool) -> None:
    accept = 'iifname "siit0" accept;' if advised else ""
    firewall = f"""
table inet fw {{
	chain forward {{
		type filter hook forward priority filter; policy drop;
		{accept}
		ct state established,related accept
		iifname "to-r4" accept
	}}
}}
"""
    with translating(bare_lab, ROUTER + firewall, None if advised else "stateful"):
        assert bare_lab.host4.call(ping, HOST6_4, count=1, timeout=0.5).ok == advised


@pytest.mark.parametrize("advised", [True, False])
def test_an_output_interface_at_prerouting_matches_nothing(bare_lab: Lab, advised: bool) -> None:
    bad = ROUTER.replace("ip daddr $pool4", 'oifname "to-r6" ip daddr $pool4')
    with translating(bare_lab, ROUTER if advised else bad, None if advised else "interface"):
        assert bare_lab.host4.call(ping, HOST6_4, count=1, timeout=0.5).ok == advised


@pytest.mark.parametrize("advised", [True, False])
def test_a_rule_on_the_domain_s_own_device_matches_nothing(bare_lab: Lab, advised: bool) -> None:
    bad = ROUTER.replace("ip daddr $pool4", 'iifname "siit0" ip daddr $pool4')
    with translating(bare_lab, ROUTER if advised else bad, None if advised else "loop"):
        assert bare_lab.host4.call(ping, HOST6_4, count=1, timeout=0.5).ok == advised
