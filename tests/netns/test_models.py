"""The device and the route model: what crosses, what stays when they die, what one makes of the other's remains.

host4 --- router4 --- translator --- router6 --- host6
"""

import re
import socket
from pathlib import Path

import pytest
from scapy.layers.inet import IP, UDP
from scapy.packet import Raw

from nfxlat.cli import main
from nfxlat.errors import OperatorError
from nfxlat.lab.capture import Capture, icmp4, send_packet
from nfxlat.lab.checks import Checks, Load
from nfxlat.lab.netns import wait_for
from nfxlat.lab.probe import ping, traceroute
from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.topology import HOST4_6, HOST6, HOST6_4, HOST6_EAM4, ROUTER4, ROUTER6, TRANSLATOR, Lab
from nfxlat.lab.transfer import ServerProcess, download, serving
from nfxlat.nft.kernel import load as nft
from nfxlat.nft.shipped import RULES

DEVICE, ROUTE = ("--model", "device"), ("--model", "route")
BOTH = pytest.mark.parametrize("run_arguments", [DEVICE, ROUTE], ids=["device", "route"])
DEVICE_MODEL = pytest.mark.parametrize("run_arguments", [DEVICE], ids=["device"])
PAYLOAD = b"where will this end?"


def state_of(lab: Lab) -> tuple[str, ...]:
    translator = lab.translator
    return (
        translator.ip("route show table all"),
        translator.ip("-6 route show table all"),
        translator.ip("-o link"),
        translator.run(["nft", "list", "ruleset"]).stdout,
    )


@BOTH
def test_what_the_demo_tries_crosses(lab: Lab, process: TranslatorProcess) -> None:
    with Checks(lab, process, Load(octets=8 << 20)) as checks:
        lines = [line for line in checks.lines() if line.what != "TCP bulk"]
        findings = {f"{line.what}: {line.source} to {line.target}": line.finding() for line in lines}
    failed = {what.partition(":")[0] for what, finding in findings.items() if not finding.ok}
    assert failed == ({"traceroute"} if "device" in process.command else set())  # there the translator is two hops


@DEVICE_MODEL
def test_in_the_device_model_a_traceroute_shows_the_translator_once_in_each_family(lab: Lab) -> None:
    seen = [(hop.address, hop.node) for hop in lab.host4.call(traceroute, HOST6_4)]
    assert seen[:3] == [(ROUTER4[0], None), (TRANSLATOR[0], None), (TRANSLATOR[0], TRANSLATOR[1])]
    assert [node for _, node in seen[3:]] == [ROUTER6[0], None]


@pytest.mark.parametrize("run_arguments", [(), DEVICE, ROUTE], ids=["hook", "device", "route"])
def test_a_result_that_is_routed_back_into_the_device_is_not_translated_again(
    lab: Lab, process: TranslatorProcess
) -> None:
    """192.0.0.8 and the pool of error sources end in the device, and prefix6 maps them: nobody answers there."""
    taken = process.summary()["totals"]["packets"]
    for target in ("192.0.0.8", "203.0.113.245"):
        with Capture(lab.host4, "to-r4") as capture:
            packet = IP(src="192.0.2.2", dst=target, ttl=200) / UDP(sport=4000, dport=4001) / Raw(PAYLOAD)
            lab.host4.call(send_packet, bytes(packet), target)
            error = IP(capture.wait(lambda seen: icmp4(seen) and PAYLOAD[:8] in seen))
        assert (error.payload.type, error.payload.code) in ((3, 0), (3, 1))
    assert process.summary()["totals"]["packets"] - taken <= 4  # each, and the error about it


@BOTH
def test_a_route_more_is_a_prefix_more(lab: Lab) -> None:
    """198.18.7.0/24 is inside no pool; prefix6 maps it like any other."""
    address = "2001:db8:64::c612:701"
    lab.router6.ip(f"route add {address}/128 via {HOST6}")
    lab.translator.ip(f"route add {address}/128 via {ROUTER6[0]}")
    lab.host6.ip(f"address add {address}/128 dev to-r6")
    assert not lab.host4.call(ping, "198.18.7.1", count=1, timeout=0.5).ok
    lab.translator.ip("route add 198.18.7.0/24 dev siit0")
    assert lab.host4.call(ping, "198.18.7.1").ok


def test_without_setup_the_operator_s_routes_do_all(bare_lab: Lab) -> None:
    lab = bare_lab
    for family in ("ipv4.ip_forward", "ipv6.conf.all.forwarding"):
        lab.translator.sysctl(f"net.{family}", 1)
    before = state_of(lab)
    with TranslatorProcess(lab.translator, lab.directory, *DEVICE, setup=False) as process:
        assert any(line.startswith("add your own routes") for line in process.output())
        for route in ("198.51.100.0/24", "203.0.113.2", "2001:db8:64::/96"):
            lab.translator.ip(f"route add {route} dev siit0")
        assert lab.host4.call(ping, HOST6_EAM4).ok
        assert lab.host6.call(ping, HOST4_6, HOST6).ok
        assert lab.host4.call(ping, HOST6_4).ok
        process.stop()
    assert state_of(lab) == before


def test_the_operator_s_routes_outlive_a_killed_device_model(bare_lab: Lab) -> None:
    """A TUN that does not persist would take them along, and the default route would leak."""
    lab = bare_lab
    for family in ("ipv4.ip_forward", "ipv6.conf.all.forwarding"):
        lab.translator.sysctl(f"net.{family}", 1)
    lab.translator.ip(f"route add default via {ROUTER4[1]}")
    with TranslatorProcess(lab.translator, lab.directory, *DEVICE, setup=False) as process:
        for route in ("203.0.113.2", "2001:db8:64::/96"):
            lab.translator.ip(f"route add {route} dev siit0")
        assert lab.host4.call(ping, HOST6_EAM4).ok
        process.kill()
        assert "203.0.113.2 dev siit0" in lab.translator.ip("route")
        with Capture(lab.router4, "to-x") as capture:
            packet = IP(src="192.0.2.2", dst=HOST6_EAM4) / UDP(sport=4000, dport=4001) / Raw(PAYLOAD)
            lab.host4.call(send_packet, bytes(packet), HOST6_EAM4)
            capture.wait(lambda seen: PAYLOAD in seen)  # on its way to the translator
            assert lab.router4.call(ping, TRANSLATOR[0], count=2).ok
            assert len([seen for seen in capture.drain() if PAYLOAD in seen]) == 1
    with TranslatorProcess(lab.translator, lab.directory, *DEVICE, setup=False) as process:
        assert any("device siit0 taken over" in line for line in process.output())
        assert lab.host4.call(ping, HOST6_EAM4).ok


@pytest.mark.parametrize(
    ("first", "second"),
    [((), DEVICE), (DEVICE, ()), (DEVICE, ROUTE), (ROUTE, DEVICE), ((), ROUTE)],
    ids=lambda arguments: "-".join(arguments[1:]) or "hook",
)
def test_one_model_takes_over_what_another_left(bare_lab: Lab, first: tuple[str, ...], second: tuple[str, ...]) -> None:
    lab = bare_lab
    before = state_of(lab)
    with TranslatorProcess(lab.translator, lab.directory, *first) as process:
        process.kill()
    with TranslatorProcess(lab.translator, lab.directory, *second) as process:
        assert lab.host4.call(ping, HOST6_EAM4).ok
        assert lab.host6.call(ping, HOST4_6, HOST6).ok
        assert process.summary()["reasons"]["translated"] == {"4to6": 6, "6to4": 6}
        process.stop()
    assert state_of(lab) == before


@DEVICE_MODEL
def test_a_second_process_cannot_have_the_device(lab: Lab, process: TranslatorProcess, tmp_path: Path) -> None:
    for setup, said in (
        (False, "siit0: another process translates for it"),
        (True, "another nfxlat --setup is running"),
    ):
        with pytest.raises(OperatorError, match=said):
            TranslatorProcess(lab.translator, tmp_path, *DEVICE, setup=setup).__enter__()
    assert lab.host4.call(ping, HOST6_EAM4).ok


@pytest.mark.parametrize(("made", "run_arguments"), [("veth", DEVICE), ("TUN", ())], ids=["device", "hook"])
def test_the_other_models_device_is_not_taken_from_who_has_it(
    bare_lab: Lab, made: str, run_arguments: tuple[str, ...], tmp_path: Path
) -> None:
    lab = bare_lab
    has = () if made == "veth" else DEVICE
    with TranslatorProcess(lab.translator, lab.directory, *has, setup=False) as process:
        before = state_of(lab)
        other = TranslatorProcess(lab.translator, tmp_path, *run_arguments, queue=None if has == () else 9)
        with pytest.raises(OperatorError, match="another nfxlat translates for this domain"):
            other.__enter__()
        assert state_of(lab) == before
        assert process.alive()


def test_rules_that_a_route_selects_for_carry_traffic(bare_lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    """rules/xlat/route-selected.nft, with routes of the operator's own and no other word on what is translated."""
    lab = bare_lab
    file, toml = (str(RULES / "xlat" / f"route-selected.{kind}") for kind in ("nft", "toml"))
    with lab.translator.entered():
        assert main(["rules", "load", file, "--config", toml]) == 0
    with TranslatorProcess(lab.translator, lab.directory, *ROUTE, "--config", toml, setup=False) as process:
        for family in ("ipv4.ip_forward", "ipv6.conf.all.forwarding"):
            lab.translator.sysctl(f"net.{family}", 1)
        assert not lab.host4.call(ping, HOST6_4, count=1, timeout=0.5).ok
        for route in ("198.51.100.0/24", "203.0.113.2", "203.0.113.240/28", "192.0.0.8", "2001:db8:64::/96"):
            lab.translator.ip(f"route add unreachable {route} metric 4294967295")
            lab.translator.ip(f"route add {route} dev siit0 mtu {1520 if ':' in route else 1480}")
        with lab.translator.entered():
            assert main(["rules", "check", "--live", file, "--config", toml]) == 0
        assert "0 errors, 0 warnings" in capsys.readouterr().out
        assert lab.host4.call(ping, HOST6_4).ok
        assert lab.host6.call(ping, HOST4_6, HOST6).ok
        assert lab.translator.call(ping, HOST6_4, TRANSLATOR[0]).ok
        with Checks(lab, process, Load(octets=8 << 20)) as checks:
            lines = [line for line in checks.lines() if line.what in ("traceroute", "path MTU discovery")]
            assert [line.what for line in lines if not line.finding().ok] == []
        with serving(lab.host6, 8 << 20) as server:
            assert lab.host4.call(download, HOST6_4, server).intact
    with lab.translator.entered():
        assert main(["rules", "unload", file]) == 0
    assert lab.translator.run(["nft", "list", "ruleset"]).stdout == ""


def test_the_kernel_refuses_a_lookup_at_output(bare_lab: Lab) -> None:
    """What the checker says of it."""
    chain = "table inet t { chain out { type filter hook output priority -450; %s; }; }"
    with bare_lab.translator.entered():
        with pytest.raises(OperatorError):
            nft.run(chain % 'fib daddr oifname "siit0" drop')
        nft.run(chain % 'oifname "siit0" drop')


@DEVICE_MODEL
def test_in_the_device_model_conntrack_sees_whole_flows(lab: Lab) -> None:
    firewall = """table inet fw {
        chain forward {
            type filter hook forward priority filter; policy drop;
            ct state established,related accept
            ct state invalid drop
            iifname "to-r4" ct state new accept
            iifname "siit0" oifname "to-r6" ct state new accept
        }
    }"""
    lab.translator.run(["nft", firewall])
    server4, server6 = (ServerProcess(host, 1 << 20) for host in (lab.host4, lab.host6))
    try:
        assert lab.host4.call(download, HOST6_4, server6.ready()).intact
        with pytest.raises(OSError, match="timed out"):
            lab.host6.call(download, HOST4_6, server4.ready(), HOST6, timeout=1.0)
    finally:
        server4.close()
        server6.close()


@DEVICE_MODEL
def test_what_the_device_has_no_room_for_is_counted(
    lab: Lab, process: TranslatorProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    lab.translator.ip("link set siit0 txqueuelen 1")
    with lab.router4.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(4000):
            sender.sendto(PAYLOAD, (HOST6_EAM4, 9))
    wait_for(lambda: process.summary()["queues"]["siit0"]["full"] > 0, "a drop of the device")
    with lab.translator.entered():
        assert main(["top", "--interval", "0.1", "--count", "1"]) == 0
    assert "queue siit0: lost (full)" in capsys.readouterr().out
    process.stop()
    assert any(re.search(r"queue siit0: the kernel dropped \d+ \(full\)", line) for line in process.output())
