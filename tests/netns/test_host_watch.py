"""What others take away of what --setup owns: noticed within a second, told by name, put back; traffic goes on.

host4 --- router4 --- translator --- router6 --- host6
"""

import os
import re
from collections.abc import Iterator

import pytest

from nfxlat.lab.netns import wait_for
from nfxlat.lab.probe import ping
from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.topology import HOST4_6, HOST6, HOST6_4, HOST6_EAM4, Lab
from nfxlat.service.repairs import REPAIRS

CLAT = ("--role", "host", "--prefix6", "2001:db8:64::/96", "--eam", "192.0.0.1=2001:db8:1::64")


def host_lines(process: TranslatorProcess) -> list[str]:
    return [line for line in process.output() if line.startswith("host: ")]


def state(lab: Lab) -> tuple[str, ...]:
    """Routes, addresses and sysctls, without the numbers of interfaces."""
    routes = [lab.translator.ip(f"{family} route show proto 118") for family in ("-4", "-6")]
    addresses = re.sub(r"(?m)^\d+: ", "", lab.translator.ip("-o -4 address show dev siit0"))
    keys = ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding", "net.ipv4.conf.siit0.forwarding")
    return (*("\n".join(sorted(text.splitlines())) for text in routes), addresses, *map(lab.translator.sysctl, keys))


def both_ways(lab: Lab) -> bool:
    return bool(lab.host4.call(ping, HOST6_EAM4, timeout=5).ok and lab.host6.call(ping, HOST4_6, HOST6, timeout=5).ok)


@pytest.mark.parametrize(
    ("command", "names"),
    [
        ("link del siit0", "device siit0 (missing)"),
        ("link set siit0 down", "device siit0 (down)"),
        ("link set siit0 address 02:00:00:00:00:77", "device siit0 (its MAC address, MTU or ARP was changed)"),
        ("link set siit0 mtu 1300", "device siit0 (its MAC address, MTU or ARP was changed)"),
        ("link set siit0 arp on", "device siit0 (its MAC address, MTU or ARP was changed)"),
        ("route flush proto 118", "unreachable 198.51.100.0/24"),
        ("-6 route flush proto 118", "2001:db8:64::/96 dev siit0"),
        ("route del unreachable 198.51.100.0/24 metric 4294967295", "route unreachable 198.51.100.0/24 metric"),
    ],
)
def test_what_is_taken_away_is_told_and_comes_back(
    lab: Lab, process: TranslatorProcess, command: str, names: str
) -> None:
    before = state(lab)
    lab.translator.ip(command)
    process.told("; repaired")
    (line,) = host_lines(process)
    assert names in line
    assert state(lab) == before
    assert both_ways(lab)
    assert process.summary()["host"] == {"lost": 1, "repaired": 1}


def test_a_route_in_the_place_of_ours_is_told_once_and_left_alone(lab: Lab, process: TranslatorProcess) -> None:
    before = state(lab)
    lab.translator.ip("route replace 198.51.100.0/24 via 192.0.2.17")
    process.told("cannot be repaired: ")
    process.told("cannot be repaired: ")
    assert "via 192.0.2.17" in lab.translator.ip("route show 198.51.100.0/24")
    assert process.summary()["host"] == {"lost": 1, "repaired": 0}
    lab.translator.ip("route del 198.51.100.0/24 via 192.0.2.17")
    process.told("; repaired")
    assert state(lab) == before
    assert len(host_lines(process)) == 2
    assert process.summary()["host"] == {"lost": 1, "repaired": 1}


@pytest.mark.parametrize("key", ["net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"])
def test_forwarding_that_another_tool_switches_off_is_switched_on_again(
    lab: Lab, process: TranslatorProcess, key: str
) -> None:
    lab.translator.sysctl(key, 0)
    process.told("; repaired")
    assert f"sysctl {key} 1 (it is 0)" in host_lines(process)[0]
    assert both_ways(lab)
    process.stop()
    assert lab.translator.sysctl(key) == "0"  # as it was before the first time


def test_a_device_that_is_put_into_a_bridge_is_taken_out_of_it(lab: Lab, process: TranslatorProcess) -> None:
    lab.translator.ip("link add br0 type bridge")  # which is down: nothing comes through
    lab.translator.ip("link set siit0 master br0")
    process.told("; repaired")
    assert host_lines(process)[0].startswith("host: device siit0 (in a VRF or a bridge)")
    # rules follow that there is a bridge now, and what waits in a queue meanwhile is lost
    wait_for(lambda: both_ways(lab), "packets to cross")


@pytest.mark.parametrize("run_arguments", [("--model", "route"), ("--model", "device"), ("--workers", "2")])
def test_a_device_that_is_deleted_is_made_anew_and_the_workers_use_it(lab: Lab, process: TranslatorProcess) -> None:
    def descriptors() -> int:
        return len(os.listdir(f"/proc/{process.pid}/fd"))

    assert both_ways(lab)
    before = descriptors()
    for round_ in (1, 2, 3):
        lab.translator.ip("link del siit0")
        process.told("; repaired", round_)
        assert both_ways(lab)
    wait_for(lambda: descriptors() <= before, f"no more than {before} descriptors")  # those into former devices go
    assert process.summary()["workers_restarted"] == 0


@pytest.mark.parametrize("run_arguments", [("--model", "device")])
def test_a_tun_that_goes_down_comes_up_while_it_is_in_use(lab: Lab, process: TranslatorProcess) -> None:
    before = state(lab)
    lab.translator.ip("link set siit0 down")
    process.told("; repaired")
    assert state(lab) == before
    assert both_ways(lab)


@pytest.fixture
def clat(bare_lab: Lab) -> Iterator[tuple[Lab, TranslatorProcess]]:
    bare_lab.router6.ip("route add 2001:db8:1::64/128 via 2001:db8:1::1")
    with TranslatorProcess(bare_lab.translator, bare_lab.directory, *CLAT) as process:
        yield bare_lab, process


@pytest.mark.parametrize("command", ["address flush dev siit0", "route flush proto 118", "link set siit0 down"])
def test_a_host_keeps_its_address_and_its_default_route(clat: tuple[Lab, TranslatorProcess], command: str) -> None:
    lab, process = clat
    before = state(lab)
    assert lab.translator.call(ping, HOST6_4, "192.0.0.1").ok
    lab.translator.ip(command)
    process.told("; repaired")
    assert state(lab) == before
    assert lab.translator.call(ping, HOST6_4, "192.0.0.1").ok


def test_two_tools_that_undo_each_other_do_not_go_on_for_ever(lab: Lab, process: TranslatorProcess) -> None:
    took = []
    for number in range(1, REPAIRS + 1):
        lab.translator.ip("route flush proto 118")
        took.append(process.told("; repaired", number))
    assert min(took) < 1  # a busy machine may be slower, but not five times in a row
    lab.translator.ip("route flush proto 118")
    process.told(f"for the {REPAIRS + 1}th time within a minute: not repaired")
    assert lab.translator.ip("route show proto 118") == ""
    assert process.summary()["host"] == {"lost": REPAIRS + 1, "repaired": REPAIRS}


def test_changes_of_others_are_not_ours(lab: Lab, process: TranslatorProcess) -> None:
    lab.translator.ip("route add 203.0.113.128/25 via 192.0.2.17")
    lab.translator.ip("route replace 203.0.113.128/25 via 192.0.2.17 mtu 1400")
    lab.translator.ip("route del 203.0.113.128/25")
    lab.translator.ip("link add other type veth peer name other2")
    lab.translator.ip("link del other")
    lab.translator.ip("route del unreachable 198.51.100.0/24 metric 4294967295")  # the end of what is to be waited for
    process.told("; repaired")
    assert process.summary()["host"] == {"lost": 1, "repaired": 1}
