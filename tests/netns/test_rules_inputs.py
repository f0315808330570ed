"""What rules of one's own pass by of the kernel's checks: told by `rules check --live`, shown by packets, mended by
what it says.

client === bridge br0 ===\
host4 --- router4 --- translator --- router6 --- host6
gateway === bridge br0 ===/
"""

import contextlib
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from pinned import on_one_processor
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw
from vrfs import make

from nfxlat import config
from nfxlat.judgement import Finding
from nfxlat.lab.capture import Capture
from nfxlat.lab.netns import Namespace, link, wait_for
from nfxlat.lab.probe import ping
from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.rules import loaded, prepare
from nfxlat.lab.topology import DOMAIN, HOST4, HOST4_6, HOST6_4, HOST6_PREFIX, TRANSLATOR, Lab
from nfxlat.nft.language.program import Program, program
from nfxlat.service.live_check import check_live

RULES = """\
table ip mine {
	chain pre {
		type filter hook prerouting priority -450; policy accept;
		%s
		ip daddr { 198.51.100.0/24, 203.0.113.2 } xlat to siit0
	}
}
table ip6 mine {
	chain pre {
		type filter hook prerouting priority -450; policy accept;
		%s
		ip6 daddr 2001:db8:64::/96 xlat from siit0
	}
}
"""
NOWHERE4 = "198.51.3.9"  # no route leads there


def written(four: str = "", six: str = "", vrf: str = "") -> Program:
    domains = config.parse(DOMAIN + vrf, "x.toml").domains
    return program(RULES % (four, six), "/run/nfx-inputs.nft", domains)


def packet(version: int, source: str, word: str) -> Packet:
    addresses = IP(src=source, dst=HOST6_4) if version == 4 else IPv6(src=source, dst=HOST4_6)
    return addresses / UDP(sport=4000, dport=4001) / Raw(word.encode())


def crossed(lab: Lab, frames: list[tuple[Namespace, str, str, Packet]]) -> list[bytes]:
    """The words of packets that arrive, sent in order from an interface to a link-layer address; the last has to."""
    version = frames[-1][-1].version
    receiver, end = (lab.host6, "to-r6") if version == 4 else (lab.host4, "to-r4")
    with Capture(receiver, end) as capture:
        for sender, interface, destination, content in frames:
            with sender.entered():
                tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
            with tap:
                tap.bind((interface, 0))
                tap.send(bytes(Ether(dst=destination) / content))
        capture.wait(lambda seen: is_udp(seen) and seen.endswith(b"number-1"))
        return [seen[-8:] for seen in capture.drain() if is_udp(seen)]


def is_udp(seen: bytes) -> bool:
    """Less the errors about it: nobody listens."""
    return seen[6 if seen[0] >> 4 == 6 else 9] == socket.IPPROTO_UDP


@pytest.fixture(scope="module")
def lab(shared_bare_lab: Lab) -> Iterator[Lab]:
    """Prepared as `compile` says, with a translator and no rules."""
    process = TranslatorProcess(shared_bare_lab.translator, shared_bare_lab.directory, setup=False)
    with on_one_processor([]), process:  # it inherits that
        prepare(shared_bare_lab.translator, written())
        yield shared_bare_lab


def told(lab: Lab, code: str, rules: Program) -> list[Finding]:
    return [finding for finding in lab.translator.call(check_live, rules) if finding.code == code]


def shown(lab: Lab, code: str, version: int, frames: list[tuple[Namespace, str, str, Packet]], vrf: str = "") -> None:
    """Without the rule that is told number-0 crosses, with it it does not, and it is told no more."""
    finding = told(lab, code, written(vrf=vrf))[0 if version == 4 else -1]  # in the file's order
    rule = finding.instead.removeprefix("ahead of it: ")
    mended = written(rule, vrf=vrf) if version == 4 else written(six=rule, vrf=vrf)
    with loaded(lab.translator, written(vrf=vrf)):
        assert crossed(lab, frames) == [b"number-0", b"number-1"]
    with loaded(lab.translator, mended):
        assert crossed(lab, frames) == [b"number-1"]
    assert told(lab, code, mended) == []


@contextlib.contextmanager
def sysctl(namespace: Namespace, key: str, value: int, back: int) -> Iterator[None]:
    namespace.sysctl(key, value)
    try:
        yield
    finally:
        namespace.sysctl(key, back)


@pytest.mark.advice("input-rp-filter")
def test_a_source_that_fails_rp_filter_is_translated(lab: Lab) -> None:
    own = lab.translator.mac("to-r4").hex(":")
    frames = [(lab.router4, "to-x", own, packet(4, source, word)) for source, word in pairs(NOWHERE4, HOST4)]
    with sysctl(lab.translator, "net.ipv4.conf.to-r4.rp_filter", 1, 0):
        shown(lab, "input-rp-filter", 4, frames)
    assert told(lab, "input-rp-filter", written()) == []


def pairs(*sources: str) -> list[tuple[str, str]]:
    return [(source, f"number-{n}") for n, source in enumerate(sources)]


@pytest.mark.advice("input-forwarding")
def test_what_comes_in_where_nothing_is_to_be_forwarded_is_translated(lab: Lab) -> None:
    node = lab.translator
    with Namespace("closed") as other:
        link(node, "closed", other, "eth0")
        for namespace in (node, other):
            namespace.wait_ready()
        own = node.mac("closed").hex(":")
        first = (other, "eth0", own, packet(4, HOST4, "number-0"))
        last = (lab.router4, "to-x", node.mac("to-r4").hex(":"), packet(4, HOST4, "number-1"))
        with sysctl(node, "net.ipv4.conf.closed.forwarding", 0, 1):
            shown(lab, "input-forwarding", 4, [first, last])


@pytest.mark.advice("input-ipsec")
def test_plaintext_that_an_ipsec_policy_refuses_is_translated(lab: Lab) -> None:
    node, wanted = lab.translator, f"src {HOST6_PREFIX}/128 dst {HOST4_6}/128 dir fwd"
    node.ip(f"xfrm policy add {wanted} tmpl src :: dst :: proto esp mode transport")
    try:
        own = node.mac("to-r6").hex(":")
        other = "2001:db8:64::c633:6422"
        frames = [(lab.router6, "to-x", own, packet(6, *one)) for one in pairs(HOST6_PREFIX, other)]
        shown(lab, "input-ipsec", 6, frames)
    finally:
        node.ip(f"xfrm policy del {wanted}")


@pytest.mark.advice("input-bridge")
def test_what_a_bridge_passes_on_to_another_gateway_is_translated(lab: Lab) -> None:
    node = lab.translator
    subprocess.run(["modprobe", "br_netfilter"], capture_output=True, check=False)  # where it is a module
    try:
        before = {key: node.sysctl(f"net.bridge.bridge-nf-call-{key}") for key in ("iptables", "ip6tables")}
    except FileNotFoundError:
        pytest.skip("the kernel has no br_netfilter")
    with Namespace("client") as client, Namespace("gateway") as gateway:
        for namespace, port in ((client, "port1"), (gateway, "port2")):
            link(node, port, namespace, "eth0")
        node.ip_batch(
            ["link add br0 type bridge", "link set port1 master br0", "link set port2 master br0", "link set br0 up"]
        )
        try:
            for key in before:
                node.sysctl(f"net.bridge.bridge-nf-call-{key}", 1)
            for namespace in (client, gateway, node):
                namespace.wait_ready()
            ends = (gateway.mac("eth0").hex(":"), node.mac("br0").hex(":"))
            frames = [(client, "eth0", end, packet(4, HOST4, f"number-{n}")) for n, end in enumerate(ends)]
            shown(lab, "input-bridge", 4, frames)
        finally:
            for key, value in before.items():
                node.sysctl(f"net.bridge.bridge-nf-call-{key}", str(value))
            node.ip("link del br0")


@pytest.mark.advice("input-vrf")
def test_packets_of_no_vrf_are_translated_where_the_rule_asks_for_no_interface(bare_lab: Lab, tmp_path: Path) -> None:
    """In the virtual machine: elsewhere the kernel may have no VRFs."""
    node, vrf = bare_lab.translator, 'vrf = "red"\n'
    make(node, "red", 10)
    (tmp_path / "red.toml").write_text(DOMAIN + vrf)
    arguments = ("--config", str(tmp_path / "red.toml"))
    with TranslatorProcess(node, bare_lab.directory, *arguments, setup=False) as process:

        def taken() -> int:
            return int(process.summary()["totals"]["packets"])

        (rule,) = {finding.instead.partition(": ")[2] for finding in told(bare_lab, "input-vrf", written(vrf=vrf))}
        with loaded(node, written(vrf=vrf)):
            bare_lab.host4.call(ping, HOST6_4, count=1, timeout=0.3)
            wait_for(lambda: taken() == 1, "a packet")
        with loaded(node, written(rule, rule, vrf)):
            bare_lab.host4.call(ping, HOST6_4, count=1, timeout=0.3)
            assert bare_lab.host4.call(ping, TRANSLATOR[0], count=1).ok
            assert taken() == 1
