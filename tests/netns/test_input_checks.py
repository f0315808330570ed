"""What the kernel would not forward is not translated: checks of the interface that a packet comes in on.

host4 --- router4 --- translator --- router6 --- host6

Frames are made at router4's and router6's ends of the translator's links, so each has the source and the link-layer
address that a test wants. One that has to cross follows each that must not.
"""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import pytest
from pinned import on_one_processor
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from nfxlat.lab.capture import Capture
from nfxlat.lab.leftovers import processes_in
from nfxlat.lab.netns import Namespace, link, wait_for
from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.topology import DOMAIN, HOST4, HOST4_6, HOST6, HOST6_4, HOST6_PREFIX, Lab

ELSEWHERE4, NOWHERE4 = "198.18.0.1", "198.51.3.9"  # a route leads there by another interface; no route leads there
ELSEWHERE6, NOWHERE6 = "2001:db8:64::c612:1", "2001:db8:64::c633:309"  # the same; both stand for IPv4 addresses
MODELS = pytest.mark.parametrize("run_arguments", [(), ("--model", "route")], ids=["hook", "route"], scope="module")
EACH = pytest.mark.parametrize("version", [4, 6])
Sent = Sequence[tuple[str, Packet]]  # link-layer destination, "" for the translator's own; IP packet


@contextmanager
def third_interface(lab: Lab) -> Iterator[None]:
    """The translator has one more, with routes to ELSEWHERE."""
    lines = ["link add third type veth peer name fourth", "link set third up", "link set fourth up"]
    lines += [f"route add {ELSEWHERE4}/32 dev third", f"route add {ELSEWHERE6}/128 dev third"]
    lab.translator.ip_batch(lines)
    try:
        yield
    finally:
        lab.translator.ip("link del third")


@pytest.fixture(scope="module")
def shared_process(shared_bare_lab: Lab, run_arguments: tuple[str, ...]) -> Iterator[TranslatorProcess]:
    lab = shared_bare_lab
    with third_interface(lab), TranslatorProcess(lab.translator, lab.directory, *run_arguments) as process:
        yield process


def packet(version: int, source: str, word: str) -> Packet:
    addresses = IP(src=source, dst=HOST6_4) if version == 4 else IPv6(src=source, dst=HOST4_6)
    return addresses / UDP(sport=4000, dport=4001) / Raw(word.encode())


def is_udp(seen: bytes) -> bool:
    return seen[6 if seen[0] >> 4 == 6 else 9] == socket.IPPROTO_UDP


def crossed(lab: Lab, version: int, frames: Sent) -> list[str]:
    """The words of those that arrive; the last has to."""
    sender, receiver, to, end = (
        (lab.router4, lab.host6, "to-r4", "to-r6") if version == 4 else (lab.router6, lab.host4, "to-r6", "to-r4")
    )
    own = lab.translator.mac(to).hex(":")
    with sender.entered():
        tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    one = on_one_processor(processes_in(lab.translator.inode))  # the last has to come last
    with tap, Capture(receiver, end) as capture, one:
        tap.bind(("to-x", 0))
        for destination, content in frames:
            tap.send(bytes(Ether(dst=destination or own) / content))
        last = bytes(frames[-1][1][Raw])
        capture.wait(lambda seen: is_udp(seen) and seen.endswith(last))  # an ICMP error about a former one ends so too
        return [seen[-8:].decode() for seen in capture.drain() if is_udp(seen)]


def words(lab: Lab, version: int, *sources: str) -> list[str]:
    """Of packets with these sources, and last of one with the host's own, the numbers of those that cross."""
    own = HOST4 if version == 4 else HOST6
    frames = [("", packet(version, source, f"number-{n}")) for n, source in enumerate([*sources, own])]
    return crossed(lab, version, frames)


@MODELS
@EACH
def test_a_frame_to_many_is_not_translated(shared_lab: Lab, shared_process: TranslatorProcess, version: int) -> None:
    source = HOST4 if version == 4 else HOST6
    many = ("ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01", "33:33:00:00:00:01")
    frames = [
        *((address, packet(version, source, "to-many.")) for address in many),
        ("", packet(version, source, "to-node.")),
    ]
    assert crossed(shared_lab, version, frames) == ["to-node."]


def loads(process: TranslatorProcess) -> int:
    return sum("rules ip nfxlat_siit0 loaded" in line for line in process.output())


@contextmanager
def followed(process: TranslatorProcess, there: Callable[[], object], back: Callable[[], object]) -> Iterator[None]:
    """A change that the rules follow, there and back."""
    before = loads(process)
    there()
    try:
        wait_for(lambda: loads(process) > before, "new rules")
        yield
    finally:
        back()
    wait_for(lambda: loads(process) > before + 1, "new rules")


@MODELS
@pytest.mark.parametrize("scope", ["to-r4", "all"])
@pytest.mark.parametrize(("value", "crosses"), [(1, ["number-2"]), (2, ["number-0", "number-2"])])
def test_rp_filter_is_followed(
    shared_lab: Lab, shared_process: TranslatorProcess, scope: str, value: int, crosses: list[str]
) -> None:
    lab, process = shared_lab, shared_process
    sysctl = partial(lab.translator.sysctl, f"net.ipv4.conf.{scope}.rp_filter")
    assert words(lab, 4, ELSEWHERE4, NOWHERE4) == ["number-0", "number-1", "number-2"]
    with followed(process, partial(sysctl, value), partial(sysctl, 0)):
        assert words(lab, 4, ELSEWHERE4, NOWHERE4) == crosses
        if scope != "all":  # else it is the translated packet's source that fails, on the domain device
            assert words(lab, 6, ELSEWHERE6, NOWHERE6) == ["number-0", "number-1", "number-2"]
    assert words(lab, 4, ELSEWHERE4, NOWHERE4) == ["number-0", "number-1", "number-2"]


@MODELS
def test_what_comes_in_by_an_interface_that_forwards_nothing_is_not_translated(
    shared_lab: Lab, shared_process: TranslatorProcess
) -> None:
    lab, process = shared_lab, shared_process
    sysctl = partial(lab.translator.sysctl, "net.ipv4.conf.to-r4.forwarding")
    with followed(process, partial(sysctl, 0), partial(sysctl, 1)):
        taken = process.summary()["totals"]["packets"]
        sender = lab.router4
        with sender.entered():
            tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        with tap:
            tap.bind(("to-x", 0))
            own = lab.translator.mac("to-r4").hex(":")
            tap.send(bytes(Ether(dst=own) / packet(4, HOST4, "number-0")))
        assert words(lab, 6) == ["number-0"]  # of IPv6 the node's own switch decides
        wait_for(lambda: process.summary()["totals"]["packets"] == taken + 1, "it to be counted")
    assert words(lab, 4) == ["number-0"]


@pytest.mark.parametrize(
    ("mode", "crosses"),
    [
        ("strict", {4: ["number-2"], 6: ["number-2"]}),
        ("loose", {4: ["number-0", "number-2"], 6: ["number-0", "number-1", "number-2"]}),  # all of prefix6 has a route
        ("off", {4: ["number-0", "number-1", "number-2"], 6: ["number-0", "number-1", "number-2"]}),
    ],
)
def test_reverse_path_of_the_configuration_holds_for_both_families(
    bare_lab: Lab, mode: str, crosses: dict[int, list[str]]
) -> None:
    """It is changed by a reload."""
    lab = bare_lab
    if mode == "off":
        lab.translator.sysctl("net.ipv4.conf.to-r4.rp_filter", 1)
    with third_interface(lab), TranslatorProcess(lab.translator, lab.directory) as process:
        before = loads(process)
        assert process.configuration is not None
        process.configuration.write_text(f'{DOMAIN}reverse-path = "{mode}"\n')
        os.kill(process.pid, signal.SIGHUP)
        wait_for(lambda: any(line.startswith("reloaded") for line in process.output()), "a reload")
        assert loads(process) == before + 1
        for version, elsewhere, nowhere in ((4, ELSEWHERE4, NOWHERE4), (6, ELSEWHERE6, NOWHERE6)):
            assert words(lab, version, elsewhere, nowhere) == crosses[version]


@MODELS
def test_plaintext_that_an_ipsec_policy_refuses_is_not_translated(
    shared_lab: Lab, shared_process: TranslatorProcess
) -> None:
    """router6's end of the link sends it; what the policy leaves out crosses."""
    lab, process = shared_lab, shared_process
    wanted = f"src {HOST6_PREFIX}/128 dst {HOST4_6}/128 dir fwd"
    there = f"xfrm policy add {wanted} tmpl src :: dst :: proto esp mode transport"
    with followed(process, partial(lab.translator.ip, there), partial(lab.translator.ip, f"xfrm policy del {wanted}")):
        assert words(lab, 6, HOST6_PREFIX) == ["number-1"]
    assert words(lab, 6, HOST6_PREFIX) == ["number-0", "number-1"]


@pytest.mark.parametrize("run_arguments", [(), ("--model", "route")], ids=["hook", "route"])
def test_what_a_bridge_passes_on_to_another_gateway_is_left_alone(
    bare_lab: Lab, run_arguments: tuple[str, ...]
) -> None:
    """client --- [ bridge of the translator ] --- gateway; br_netfilter shows the rules what crosses the bridge."""
    lab, node = bare_lab, bare_lab.translator
    subprocess.run(["modprobe", "br_netfilter"], capture_output=True, check=False)  # where it is a module
    try:
        node.sysctl("net.bridge.bridge-nf-call-iptables")
    except FileNotFoundError:
        pytest.skip("the kernel has no br_netfilter")
    with Namespace("client") as client, Namespace("gateway") as gateway:
        for namespace, port in ((client, "port1"), (gateway, "port2")):
            link(node, port, namespace, "eth0")
        node.ip_batch(
            [
                "link add br0 type bridge",
                "link set port1 master br0",
                "link set port2 master br0",
                "link set br0 up",
                "address add 192.0.2.65/28 dev br0",
            ]
        )
        for key in ("iptables", "ip6tables"):
            node.sysctl(f"net.bridge.bridge-nf-call-{key}", 1)
        for namespace in (client, gateway, node):
            namespace.wait_ready()
        bridge, other = node.mac("br0").hex(":"), gateway.mac("eth0").hex(":")
        with TranslatorProcess(node, lab.directory, *run_arguments):
            with client.entered():
                tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
            with tap, Capture(gateway, "eth0") as passed, Capture(lab.host6, "to-r6") as translated:
                tap.bind(("eth0", 0))
                for destination, word in ((other, "to-other"), (bridge, "to-node.")):
                    tap.send(bytes(Ether(dst=destination) / packet(4, "192.0.2.66", word)))
                passed.wait(lambda seen: seen.endswith(b"to-other"))
                translated.wait(lambda seen: is_udp(seen) and seen.endswith(b"to-node."))
                assert [seen[-8:] for seen in translated.drain() if is_udp(seen)] == [b"to-node."]
        doctor = node.run([sys.executable, "-m", "nfxlat", "doctor", "--json"], check=False).stdout
        told = {finding["what"]: finding for finding in json.loads(doctor)["findings"]}["br_netfilter"]
        assert (told["state"], told["found"]) == ("note", "shows rules what br0 passes on")
        with TranslatorProcess(node, lab.directory, *run_arguments, setup=False) as process:
            assert any(line.startswith("bridge br0: ") for line in process.output())
