"""nfxlat on a stock Debian kernel with nft's own `queue` (nft_queue), booted once for all tests of this file.

The guest works beside the other tests: it is booted ahead of them, and judged where it should have come to its end.
"""

import json
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest
from virtual_machine import Boot, Booted, Guest

from nfxlat.lab.matrix import table

pytestmark = pytest.mark.timeout(2460)
SECONDS = 2400  # from power on to power off: five minutes on a machine of its own, more beside other tests
RECORDS = Path(__file__).parents[1] / "matrix"
CELL = "router-device"
MIB = 8
LINES = [
    "ping (prefix6)",
    "ping (EAM)",
    "UDP small",
    "UDP in fragments",
    "traceroute",
    "path MTU discovery",
    "closed UDP port",
    "unreachable host",
    "HTTP download, SHA-256",
    "TCP bulk",
]
PASSES = [  # in the guest, too; few, since each builds a lab, ten seconds there
    "test_failing_closed.py::test_after_kill_nothing_leaves_untranslated_and_the_next_start_takes_over[hook]",
    "test_input_checks.py::test_plaintext_that_an_ipsec_policy_refuses_is_not_translated[hook]",
    "test_superframes.py::test_segments_of_tcp_have_the_size_that_their_sender_gave_them",
]


LINK_TYPES = "test_link_types.py::test_all_crosses_a_link_of_type"
VRF = "test_vrf.py::test_packet_too_big_of_the_translator_s_own_link_reaches_the_sender"
TENANTS = "test_xlat_tenants.py::test_an_address_of_this_node_in_one_vrf_is_a_host_s_in_the_other"
PASSES += [f"{VRF}[ip]", f"{TENANTS}[vrf]"]
PASSES += [f"{LINK_TYPES}[{kind}]" for kind in ("qinq", "esp")]  # others run everywhere
# a kernel unpacked before may lack them
UNPACKED_LATER = [f"{LINK_TYPES}[{kind}]" for kind in ("bond", "wireguard", "pppoe_session")]
FALLBACK = {"gre0", "gretap0", "erspan0", "bond0"}  # devices that modules make by themselves


@pytest.fixture(scope="session")
def at_work(booted: Boot) -> Booted:
    """The demo, small, then a cell of the semantics matrix and tests of this suite, in the guest."""
    python = [sys.executable, "-m"]
    demo = [*python, "nfxlat", "demo", "--json", "--size", str(MIB), "--seconds", "0.3", "--rounds", "1"]
    # everything takes ten times as long there
    tests = [*python, "pytest", "-q", "-p", "no:cacheprovider", "--timeout=600", "--junitxml=/run/results/tests.xml"]
    tests += [f"tests/netns/{name}" for name in (*PASSES, *UNPACKED_LATER)]
    matrix = [*python, "nfxlat.lab.matrix", "--json", CELL]
    return booted({"demo": (demo, 700), "matrix": (matrix, 700), "tests": (tests, 1800)}, SECONDS)


@pytest.fixture(scope="session")
def guest(at_work: Booted) -> Guest:
    """The guest, at its end."""
    return at_work.guest()


@pytest.fixture(scope="session")
def demo(guest: Guest) -> dict[str, Any]:
    """What the demo says in JSON."""
    try:
        result: dict[str, Any] = json.loads(guest.output("demo"))
    except ValueError:
        pytest.fail(guest.tail("demo"), pytrace=False)
    return result


@pytest.mark.first
def test_is_booted(at_work: Booted) -> None:
    assert at_work.process.poll() is None


@pytest.mark.parametrize("direction", ["4to6", "6to4"])
@pytest.mark.parametrize("what", LINES)
def test_line_of_the_demo_holds(demo: dict[str, Any], what: str, direction: str) -> None:
    lines = [line for line in demo["lines"] if line["what"] == what and (":" in line["from"]) == (direction == "6to4")]
    assert len(lines) == 1
    assert lines[0]["ok"], lines[0]["figure"]


def test_rules_queue_natively(guest: Guest, demo: dict[str, Any]) -> None:
    assert demo["rule_path"] == "native"
    assert "nft_queue" in guest.results["modules"]
    assert "nft_compat" not in guest.results["modules"]


def test_tcp_superframes_are_stamped_at_ingress(guest: Guest, demo: dict[str, Any]) -> None:
    version = tuple(int(number) for number in guest.results["kernel"].split(".")[:2])
    how = "tcx" if version >= (6, 6) else "cls_bpf"
    assert any(line.startswith(f"stamp of gso_size by {how}") for line in demo["setup"]), demo["setup"]


def test_downloads_both_ways_are_whole(demo: dict[str, Any]) -> None:
    downloads = [line["values"] for line in demo["lines"] if line["what"].startswith("HTTP download")]
    assert [(values["octets"], values["intact"]) for values in downloads] == [(MIB << 20, True)] * 2


def test_matrix_cell_is_the_recorded_one(guest: Guest) -> None:
    assert guest.results["steps"]["matrix"]["status"] == 0, guest.tail("matrix")
    found = json.loads(guest.output("matrix"))
    assert found["rule_path"] == "native"
    assert found["cells"][CELL] == table.read(RECORDS, table.name_of(found))[CELL]


def test_demo_exits_0(guest: Guest) -> None:
    assert guest.results["steps"]["demo"]["status"] == 0, guest.tail("demo")


@pytest.mark.parametrize("name", PASSES)
def test_passes_in_the_guest(guest: Guest, name: str) -> None:
    # a case that failed, broke or was skipped has a child that says so
    assert said_of(guest, name) == [], guest.tail("tests")


@pytest.mark.parametrize("name", UNPACKED_LATER)
def test_passes_in_the_guest_where_its_kernel_has_the_module(guest: Guest, name: str) -> None:
    assert set(said_of(guest, name)) <= {"skipped"}, guest.tail("tests")


def said_of(guest: Guest, name: str) -> list[str]:
    """What the guest's report says of a test's cases."""
    report = guest.folder / "tests.xml"
    assert report.exists(), guest.tail("tests")
    function = name.partition("::")[2]
    cases = [case for case in ElementTree.parse(report).iter("testcase") if case.get("name", "").startswith(function)]
    assert cases, guest.tail("tests")
    return [child.tag for case in cases for child in case]


def test_nothing_is_left_in_the_guest(guest: Guest) -> None:
    left = dict(guest.results["left"])
    assert {name.partition("@")[0] for name in left.pop("devices")} - FALLBACK == {"lo"}
    assert left == {"namespaces": [], "rules": [], "files": []}


def test_guest_ran_the_downloaded_kernel(guest: Guest, demo: dict[str, Any]) -> None:
    assert demo["kernel"] == guest.results["kernel"]
    assert guest.results["kernel"].endswith("-amd64")
