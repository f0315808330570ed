"""A domain in a VRF: all of the demo's lines cross it, and nothing of other VRFs; what is taken away comes back.

host4 --- router4 --- translator: to-r4 and to-r6 in VRF red --- router6 --- host6
      ----- aside, in no VRF ----|

In the virtual machine (tests/vm); here the kernel may lack VRFs.
"""

import subprocess
import sys
from collections.abc import Iterator

import pytest
from carried import addresses, routes
from vrfs import join, make

from nfxlat.lab.checks import Checks, Load
from nfxlat.lab.datagram import path_mtu
from nfxlat.lab.netns import Namespace, links, wait_for
from nfxlat.lab.probe import ping
from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.topology import DOMAIN, HOST4_NARROW_6, HOST6, HOST6_4, Lab

TABLE = 10
LOAD = Load(octets=1 << 16)
BULK = "TCP bulk"  # it forwards plain IPv4 beside, by routes in no VRF
MODELS = {
    "device": (),
    "ip": ("--inject", "ip"),
    "device-model": ("--model", "device"),
    "route-model": ("--model", "route"),
}


@pytest.fixture(scope="module")
def vrf_lab(shared_bare_lab: Lab) -> Lab:
    node = shared_bare_lab.translator
    make(node, "red", TABLE)
    for device in ("to-r4", "to-r6"):
        join(node, device, "red")
    links([(shared_bare_lab.host4, "aside", node, "aside", 1500)])
    shared_bare_lab.host4.ip("address add 172.16.0.2/30 dev aside")
    node.ip("address add 172.16.0.1/30 dev aside")
    node.wait_ready()
    (shared_bare_lab.directory / "red.toml").write_text(f'{DOMAIN}vrf = "red"\n')
    return shared_bare_lab


def crosses(lab: Lab) -> bool:
    return lab.host4.call(ping, HOST6_4, count=1).ok


@pytest.fixture(scope="module")
def vrf_process(vrf_lab: Lab, run_arguments: tuple[str, ...]) -> Iterator[TranslatorProcess]:
    config = ("--config", str(vrf_lab.directory / "red.toml"))
    with TranslatorProcess(vrf_lab.translator, vrf_lab.directory, *config, *run_arguments) as process:
        wait_for(lambda: crosses(vrf_lab), "the first ping", 20)
        yield process


in_each_model = pytest.mark.parametrize("run_arguments", MODELS.values(), ids=MODELS, scope="module")


def test_a_vrf_that_is_made_anew_is_joined_anew(vrf_lab: Lab) -> None:
    node = vrf_lab.translator
    config = ("--config", str(vrf_lab.directory / "red.toml"))
    with TranslatorProcess(node, vrf_lab.directory, *config, "--inject", "ip") as process:
        wait_for(lambda: crosses(vrf_lab), "a ping", 20)
        paths = {device: routes(node, device, "red") for device in ("to-r4", "to-r6")}
        own = {device: addresses(node, device) for device in paths}
        node.ip("link del red")
        process.told("there is no VRF of this name")
        make(node, "red", TABLE)
        for device in paths:
            node.ip(f"link set {device} master red")
            for address in own[device]:
                if ":" in address:
                    node.ip(f"address add {address} dev {device} nodad")
            for path in paths[device]:
                node.ip(f"{path} dev {device} vrf red")
        wait_for(lambda: crosses(vrf_lab), "a ping", 60)


def nfxlat(node: Namespace, *arguments: str) -> tuple[int, str]:
    with node.entered():
        done = subprocess.run(
            [sys.executable, "-m", "nfxlat", *arguments], capture_output=True, text=True, timeout=100, check=False
        )
    return done.returncode, done.stdout + done.stderr


def test_it_is_all_gone_in_the_end_and_judged_by_the_vrf_s_table(vrf_lab: Lab) -> None:
    node, config = vrf_lab.translator, str(vrf_lab.directory / "red.toml")
    with TranslatorProcess(node, vrf_lab.directory, "--config", config):
        assert "198.51.100.0/24 dev siit0" in node.ip("route show vrf red")
        assert node.ip("route show proto 118") == ""
        rules = vrf_lab.directory / "rules.nft"
        rules.write_text(
            "table ip t {\n chain p {\n  type filter hook prerouting priority -450;\n"
            '  iifname "to-r4" ip daddr 198.51.100.0/24 xlat to siit0\n }\n}\n'
        )
        _, judged = nfxlat(node, "rules", "check", "--live", "--config", config, str(rules))
        assert "terminal-route" not in judged, judged
        assert "VRF red" in nfxlat(node, "doctor", "--config", config)[1]
        status, missing = nfxlat(node, "stats", "--check")
        assert status == 0, missing
    assert node.ip("route show vrf red proto 118") == ""
    assert node.ip("-6 route show vrf red proto 118") == ""
    assert "siit0" not in node.ip("-o link")


def test_a_vrf_that_is_not_there_is_one_line(vrf_lab: Lab) -> None:
    status, said = nfxlat(vrf_lab.translator, "run", "--setup", "--prefix6", "2001:db8:64::/96", "--vrf", "blue")
    assert status == 2
    assert "there is no VRF of this name" in said
    assert len([line for line in said.splitlines() if line.startswith("nfxlat:")]) == 1


@in_each_model
def test_all_crosses_and_no_error_is_lost(
    vrf_lab: Lab, vrf_process: TranslatorProcess, run_arguments: tuple[str, ...]
) -> None:
    out = {BULK} | ({"traceroute"} if "device" in run_arguments else set())  # that model is two hops
    with Checks(vrf_lab, vrf_process, LOAD, superframes=False) as checks:
        found = {(line.what, line.source): line.finding() for line in checks.lines() if line.what not in out}
    assert {line: one.figure for line, one in found.items() if not one.ok} == {}


@in_each_model
def test_packet_too_big_of_the_translator_s_own_link_reaches_the_sender(
    vrf_lab: Lab, vrf_process: TranslatorProcess
) -> None:
    node, host6 = vrf_lab.translator, vrf_lab.host6
    node.ip("link set to-r4 mtu 1390")
    try:
        host6.ip("-6 route flush cache")
        wait_for(lambda: 1410 in host6.call(path_mtu, HOST4_NARROW_6, 9, HOST6).steps, "its MTU and 20", 20)
    finally:
        node.ip("link set to-r4 mtu 1500")


@in_each_model
def test_what_comes_in_on_an_interface_of_no_vrf_is_left_alone(
    vrf_lab: Lab, vrf_process: TranslatorProcess, run_arguments: tuple[str, ...]
) -> None:
    host4 = vrf_lab.host4
    before = vrf_process.summary()["totals"]["packets"]
    host4.ip(f"route add {HOST6_4}/32 via 172.16.0.1")
    try:
        assert not crosses(vrf_lab)
    finally:
        host4.ip(f"route del {HOST6_4}/32 via 172.16.0.1")
    assert vrf_process.summary()["totals"]["packets"] == before
    assert crosses(vrf_lab)


@in_each_model
def test_what_is_taken_away_comes_back(vrf_lab: Lab, vrf_process: TranslatorProcess) -> None:
    node = vrf_lab.translator
    lost = vrf_process.summary()["host"]["repaired"]
    node.ip("link set siit0 nomaster")
    wait_for(lambda: vrf_process.summary()["host"]["repaired"] > lost, "a repair", 20)
    assert "siit0" in node.ip("-o link show master red")
    wait_for(lambda: crosses(vrf_lab), "a ping", 20)
    node.ip("route flush vrf red proto 118")
    wait_for(lambda: crosses(vrf_lab), "a ping", 20)
