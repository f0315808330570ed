"""The checker's advice, ignored: packets go wrong as it says, and right again where it is followed.

host4 --- router4 --- translator --- router6 --- host6, rules loaded without asking the checker
"""

import contextlib
import errno
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, IP, UDP, fragment
from scapy.packet import Raw

from nfxlat import config
from nfxlat.lab.capture import Capture, send_packet
from nfxlat.lab.datagram import UdpEcho, icmp_error, path_mtu
from nfxlat.lab.probe import ping
from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.rules import FLOWS, loaded, offload_flows, prepare
from nfxlat.lab.topology import (
    HOST4,
    HOST6,
    HOST6_4,
    HOST6_EAM4,
    HOST6_NARROW,
    HOST6_NARROW_4,
    NARROW_MTU,
    PLAIN_HOST6,
    TRANSLATOR,
    Lab,
)
from nfxlat.nft.check.judge import check
from nfxlat.nft.kernel import compat, load, ruleset
from nfxlat.nft.language.program import program
from nfxlat.nft.shipped import RULES
from nfxlat.service.live_check import check_live

pytestmark = pytest.mark.netns

XLAT = RULES / "xlat"
ROUTER, CLAT = (XLAT / "router.nft").read_text(), (XLAT / "clat.nft").read_text()
CLAT6 = "2001:db8:1::64"
CONNTRACK = "table inet t { chain c { type filter hook input priority 0; ct state new; }; }"  # turns it on
WAIT = {True: 5.0, False: 0.3}  # seconds: for what must come, and for what must not
MARK = b"the very packet"


@contextlib.contextmanager
def translating(lab: Lab, text: str, expected: str | None, *, host: bool = False, eam: bool = True) -> Iterator[None]:
    """The rules `text`, in which the checker finds the `expected` codes (None: nothing), at work whatever it says."""
    toml = XLAT / ("clat.toml" if host else "router.toml")
    if host:
        configuration = lab.directory / "clat.toml"
        lines = toml.read_text().replace("2001:db8:2::2", CLAT6).splitlines()
        configuration.write_text("\n".join(line for line in lines if eam or not line.startswith("eam")))
        toml, text = configuration, text.replace("2001:db8:2::2", CLAT6)
        lab.router6.ip(f"route replace {CLAT6}/128 via {TRANSLATOR[1]}")
    found = program(text, str(Path(lab.directory, "rules.nft")), config.load(toml).domains)
    codes = {finding.code for finding in check(found)} - {"output"}
    assert codes == set((expected or "").split())
    arguments = ("--config", str(toml), *(("--role", "host") if host else ()))
    with (
        loaded(lab.translator, found),
        TranslatorProcess(lab.translator, lab.directory, *arguments, setup=False),
    ):
        prepare(lab.translator, found)
        yield


def crosses(lab: Lab, packet: IP, expected: bool = True) -> bool:
    with Capture(lab.host6, "to-r6") as capture:
        lab.host4.call(send_packet, bytes(packet / Raw(MARK)), HOST6_4)
        try:
            capture.wait(lambda seen: MARK in seen, WAIT[expected])
        except TimeoutError:
            return False
        return True


@pytest.mark.advice("nat-chain", "priority")
@pytest.mark.parametrize("advised", [True, False])
def test_a_nat_chain_misses_what_conntrack_calls_invalid(bare_lab: Lab, advised: bool) -> None:
    bad = ROUTER.replace("filter hook prerouting priority -450", "nat hook prerouting priority dstnat")
    stray = IP(src=HOST4, dst=HOST6_4) / ICMP(type="echo-reply", id=7, seq=1)
    with translating(bare_lab, ROUTER if advised else bad, None if advised else "nat-chain priority"):
        begins = IP(src=HOST4, dst=HOST6_4) / UDP(sport=9, dport=9)
        assert (
            crosses(bare_lab, begins, advised) == advised
        )  # nothing turns conntrack on, and the chain sees nothing at all
        bare_lab.translator.run(["nft", CONNTRACK])
        assert crosses(bare_lab, begins)
        assert crosses(bare_lab, stray, advised) == advised
        # the reply is in the other family, where conntrack has not seen the request
        assert bare_lab.host4.call(ping, HOST6_4, count=1, timeout=WAIT[advised]).ok == advised


@pytest.mark.advice("priority")
@pytest.mark.parametrize("advised", [True, False])
def test_behind_defragmentation_fragments_are_cut_anew(bare_lab: Lab, advised: bool) -> None:
    bad = ROUTER.replace("hook prerouting priority -450", "hook prerouting priority raw")
    pieces = fragment(IP(src=HOST4, dst=HOST6_4, id=0x1234) / UDP(sport=9, dport=9) / Raw(bytes(2000)), fragsize=1024)
    with translating(bare_lab, ROUTER if advised else bad, None if advised else "priority"):
        bare_lab.translator.run(["nft", CONNTRACK])
        with Capture(bare_lab.host6, "to-r6") as capture:
            for piece in pieces:
                bare_lab.host4.call(send_packet, bytes(piece), HOST6_4)
            for more in (1, 0):  # in whatever order: the sender may be moved to another processor between them
                capture.wait(lambda seen, more=more: seen[6] == 44 and seen[43] & 1 == more)  # type: ignore[misc]
            arrived = [packet for packet in capture.packets if packet[:1] == b"\x60" and packet[6] == 44]
        sizes = sorted({len(packet) for packet in arrived}, reverse=True)
        assert (sizes[0] == 40 + 8 + 1024) == advised


@pytest.mark.advice("errors-missed")
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


@pytest.mark.advice("route")
def test_a_rule_at_postrouting_is_not_reached_without_a_route(bare_lab: Lab) -> None:
    bad = CLAT.replace('oifname "clat0" xlat', 'oifname "to-r6" xlat')
    with translating(bare_lab, bad, "route", host=True):
        bare_lab.translator.ip("route del default dev clat0")
        bare_lab.translator.ip("route del unreachable default")
        with bare_lab.translator.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            with pytest.raises(OSError, match="unreachable") as caught:
                sender.sendto(MARK, (HOST6_4, 9))
            assert caught.value.errno == errno.ENETUNREACH


@pytest.mark.advice("stateful")
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
        assert bare_lab.host4.call(ping, HOST6_4, count=1, timeout=WAIT[advised]).ok == advised


@pytest.mark.advice("interface")
@pytest.mark.parametrize("advised", [True, False])
def test_an_output_interface_at_prerouting_matches_nothing(bare_lab: Lab, advised: bool) -> None:
    bad = ROUTER.replace("ip daddr $pool4", 'oifname "to-r6" ip daddr $pool4')
    with translating(bare_lab, ROUTER if advised else bad, None if advised else "interface"):
        assert bare_lab.host4.call(ping, HOST6_4, count=1, timeout=WAIT[advised]).ok == advised


@pytest.mark.advice("loop")
@pytest.mark.parametrize("advised", [True, False])
def test_a_rule_on_the_domain_s_own_device_matches_nothing(bare_lab: Lab, advised: bool) -> None:
    bad = ROUTER.replace("ip daddr $pool4", 'iifname "siit0" ip daddr $pool4')
    with translating(bare_lab, ROUTER if advised else bad, None if advised else "loop"):
        assert bare_lab.host4.call(ping, HOST6_4, count=1, timeout=WAIT[advised]).ok == advised


@pytest.mark.advice("priority")
@pytest.mark.parametrize("advised", [True, False])
def test_ahead_of_source_nat_packets_bear_the_wrong_source(bare_lab: Lab, advised: bool) -> None:
    bad = CLAT.replace("srcnat + 1", "srcnat - 1")
    bare_lab.translator.sysctl("net.ipv4.ip_forward", 1)
    with translating(bare_lab, CLAT if advised else bad, None if advised else "priority", host=True):
        assert bare_lab.host4.call(ping, HOST6_4, count=1, timeout=WAIT[advised]).ok == advised


@pytest.mark.advice("host-source")
@pytest.mark.parametrize("advised", [True, False])
def test_a_host_without_a_mapping_of_its_own_address_hears_no_reply(bare_lab: Lab, advised: bool) -> None:
    bad = CLAT.replace("ip6 daddr 2001:db8:2::2", "ip6 daddr @unknown").replace(
        "table ip6 clat {", "table ip6 clat {\n\tset unknown { type ipv6_addr; }"
    )
    expected = None if advised else "host-source"
    with translating(bare_lab, CLAT if advised else bad, expected, host=True, eam=advised):
        bare_lab.translator.ip("address replace 192.0.0.1/32 dev clat0")
        assert bare_lab.translator.call(ping, HOST6_4, "192.0.0.1", count=1, timeout=WAIT[advised]).ok == advised


@pytest.mark.advice("device")
@pytest.mark.parametrize("advised", [True, False])
def test_without_the_domain_s_device_nothing_can_be_injected(bare_lab: Lab, advised: bool) -> None:
    found = program(ROUTER, "rules.nft", config.load(XLAT / "router.toml").domains)
    with translating(bare_lab, ROUTER, None):
        if not advised:
            bare_lab.translator.ip("link del siit0")
        codes = {finding.code for finding in bare_lab.translator.call(check_live, found)}
        assert ("device" in codes) != advised
        assert bare_lab.host4.call(ping, HOST6_4, count=1, timeout=WAIT[advised]).ok == advised


@pytest.mark.advice("fwmark-reflect")
@pytest.mark.parametrize("advised", [True, False])
def test_with_fwmark_reflect_an_error_about_what_was_sent_raw_is_let_off(bare_lab: Lab, advised: bool) -> None:
    reject = f"ip6 daddr {HOST6} reject with icmpv6 addr-unreachable"
    bare_lab.translator.run(
        ["nft", f"table ip6 own {{ chain out {{ type filter hook output priority -460; {reject}; }}; }}"]
    )
    found = program(ROUTER, "rules.nft", config.load(XLAT / "router.toml").domains)
    with TranslatorProcess(bare_lab.translator, bare_lab.directory, "--inject", "ip"):
        bare_lab.translator.sysctl("net.ipv6.fwmark_reflect", int(not advised))
        codes = {finding.code for finding in bare_lab.translator.call(check_live, found)}
        assert ("fwmark-reflect" in codes) != advised
        error = bare_lab.host4.call(icmp_error, HOST6_EAM4, 9, timeout=WAIT[advised])
        assert error == ("EHOSTUNREACH" if advised else "ETIMEDOUT")


@pytest.mark.advice("bypass")
@pytest.mark.parametrize("advised", [True, False])
def test_a_queue_with_bypass_leaks_where_nobody_listens(
    bare_lab: Lab, advised: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rule of one's own, in which the checker finds it; the packets then have a route as IPv4."""
    rule = f"ip daddr {PLAIN_HOST6} queue num 7{'' if advised else ' bypass'}"
    chain = "type filter hook prerouting priority -450; policy accept;"
    text = f"table ip own {{ chain pre {{ {chain} %s; }}; chain q {{ }}; }}"
    assert [finding.code for finding in check(program(text % rule, "x.nft"))] == ([] if advised else ["bypass"])
    with bare_lab.translator.entered():
        if ruleset.native():
            load.run(text % rule)
        else:
            load.run(text % f"ip daddr {PLAIN_HOST6} goto q")
            if not advised:  # xt_NFQUEUE.h: NFQ_FLAG_BYPASS
                plain, bypass = (struct.pack("=HHHxx", 7, 1, flag) for flag in (0, 1))
                kind, flags, body = compat.queue_rule("ip", "own", "q", 7, "q")
                made = kind, flags, body.replace(plain, bypass)
                monkeypatch.setattr(compat, "queue_rule", lambda *_: made)
            compat.insert_queue_rule("ip", "own", "q", 7, "q")
    with bare_lab.plain_ipv4():
        # it leaks past the translator that is not there
        assert bare_lab.host4.call(ping, PLAIN_HOST6, count=1, timeout=WAIT[not advised]).ok != advised


@pytest.mark.advice("flowtable")
@pytest.mark.parametrize("advised", [True, False])
def test_an_offloaded_flow_passes_by_the_rules(bare_lab: Lab, advised: bool, tmp_path: Path) -> None:
    """A flow that was forwarded as IPv4 before the rules came; where the kernel has no flow offload, nobody can err."""
    keep_out = "ip daddr 198.18.0.0/15 accept; ip saddr 198.18.0.0/15 accept" if advised else ""
    assert {finding.code for finding in check(program(FLOWS % keep_out, "f.nft"))} == {"flowtable"}
    if not offload_flows(bare_lab.translator, keep_out):
        print("no flow offload in this kernel (CONFIG_NFT_FLOW_OFFLOAD): nft refuses the flowtable")
        return
    toml = tmp_path / "plain.toml"
    toml.write_text('[domain.siit0]\nprefix6 = "2001:db8:64::/96"\npool4 = ["198.18.0.0/15"]\n')
    text = ROUTER.replace("{ 198.51.100.0/24, 203.0.113.2 }", "198.18.0.0/15")
    found = program(text, str(tmp_path / "plain.nft"), config.load(toml).domains)
    with contextlib.ExitStack() as stack:
        stack.enter_context(bare_lab.plain_ipv4())
        echo = stack.enter_context(UdpEcho(bare_lab.host6, PLAIN_HOST6))
        stack.enter_context(bare_lab.host4.entered())
        client = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        client.settimeout(WAIT[True])
        client.connect((PLAIN_HOST6, echo.port))
        for _ in range(5):
            client.send(MARK)
            assert client.recv(100) == MARK
        stack.enter_context(loaded(bare_lab.translator, found))
        client.settimeout(WAIT[not advised])
        client.send(MARK)
        with pytest.raises(TimeoutError) if advised else contextlib.nullcontext():
            assert client.recv(100) == MARK
