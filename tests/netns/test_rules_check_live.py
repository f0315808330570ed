"""`nfxlat rules check --live`: a host that is prepared has no finding, and each thing that is wrong with it has one.

node: siit0 (a veth, its far end in the namespace too), routes and sysctls as `compile` says them in its comments
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from nfxlat import config
from nfxlat.errors import OperatorError
from nfxlat.host import managers
from nfxlat.host.device import create_or_adopt, remove
from nfxlat.judgement import Finding, Severity
from nfxlat.lab.netns import Namespace
from nfxlat.lab.rules import prepare
from nfxlat.nft.kernel import load, ruleset
from nfxlat.nft.language.compile import compile_rules
from nfxlat.nft.language.program import Program, program
from nfxlat.nft.shipped import RULES
from nfxlat.service.doctor import examine
from nfxlat.service.live_check import check_live

pytestmark = pytest.mark.netns

STATEFUL = (
    "table inet fw { chain f { type filter hook forward priority 0; policy drop; ct state established accept; }; }"
)
FLOWTABLE = "table inet fw { flowtable f { hook ingress priority 0; devices = { lo }; }; }"
SETTINGS = ("ipv4.conf.all.rp_filter", "ipv4.conf.all.accept_local", "ipv4.fwmark_reflect", "ipv6.fwmark_reflect")


def program_of(name: str) -> Program:
    file = RULES / "xlat" / f"{name}.nft"
    return program(file.read_text(), str(file), config.load(file.with_suffix(".toml")).domains)


def prepared(namespace: Namespace, name: str) -> Program:
    found = program_of(name)
    for setting in SETTINGS:  # a new namespace may take over the machine's
        namespace.sysctl(f"net.{setting}", 0)
    for domain in found.domains:
        namespace.ip(f"link add {domain} type veth peer name {domain}p")
        namespace.ip(f"link set {domain} up")
        namespace.ip(f"link set {domain}p up")
        namespace.sysctl(f"net.ipv4.conf.{domain}.rp_filter", 0)
    prepare(namespace, found)
    return found


@pytest.fixture
def node() -> Iterator[Namespace]:
    with Namespace("live") as namespace, namespace.entered():
        yield namespace


@pytest.mark.parametrize("name", ["router", "clat", "domains"])
def test_a_host_prepared_as_compile_says_has_no_finding(node: Namespace, name: str) -> None:
    assert check_live(prepared(node, name)) == []


@pytest.mark.parametrize("name", ["router", "clat"])
def test_a_bare_host_lacks_device_and_routes(node: Namespace, name: str) -> None:
    found = check_live(program_of(name))
    assert {"device", "terminal-route", "fail-closed"} <= {finding.code for finding in found}
    severities = [list(Severity).index(finding.severity) for finding in found]
    assert severities == sorted(severities)
    assert len(set(severities)) > 1


def places(found: list[Finding]) -> set[tuple[str, str]]:
    return {(finding.code, finding.where) for finding in found}


@pytest.mark.parametrize(
    ("command", "code", "where"),
    [
        ("ip route del 198.51.100.0/24 dev siit0", "terminal-route", "route 198.51.100.0/24"),
        ("ip -6 route del 2001:db8:64::/96 dev siit0", "terminal-route", "route 2001:db8:64::/96"),
        ("ip route del 192.0.0.8 dev siit0", "terminal-route", "route 192.0.0.8"),
        ("ip route replace 203.0.113.2 dev lo", "terminal-route", "route 203.0.113.2"),
        ("ip route del unreachable 198.51.100.0/24", "fail-closed", "route 198.51.100.0/24"),
        ("sysctl -w net.ipv4.ip_forward=0", "forwarding", "net.ipv4.ip_forward"),
        ("sysctl -w net.ipv6.conf.all.forwarding=0", "forwarding", "net.ipv6.conf.all.forwarding"),
        ("sysctl -w net.ipv4.conf.siit0.forwarding=0", "forwarding", "net.ipv4.conf.siit0.forwarding"),
        ("sysctl -w net.ipv4.conf.all.rp_filter=1", "rp-filter", "net.ipv4.conf.siit0.rp_filter"),
        ("sysctl -w net.ipv4.conf.siit0.accept_local=1", "accept-local", "net.ipv4.conf.siit0.accept_local"),
        ("sysctl -w net.ipv4.fwmark_reflect=1", "fwmark-reflect", "net.ipv4.fwmark_reflect"),
        ("sysctl -w net.ipv6.fwmark_reflect=1", "fwmark-reflect", "net.ipv6.fwmark_reflect"),
        ("ip address add 198.51.100.7/32 dev lo", "local-address", "address 198.51.100.7"),
        ("ip address add 2001:db8:2::2/128 dev lo", "local-address", "address 2001:db8:2::2"),
        ("ip address add 2001:db8:64::1/128 dev lo", "local-address", "address 2001:db8:64::1"),
    ],
)
def test_what_is_wrong_with_a_host_is_named(node: Namespace, command: str, code: str, where: str) -> None:
    found = prepared(node, "router")
    node.run(command.split())
    assert (code, where) in places(check_live(found))


@pytest.mark.parametrize(
    "command", ["ip address add 2001:db8:64::c633:6407/128 dev lo", "ip address add 192.0.2.1 dev lo"]
)
def test_addresses_that_a_node_may_have_are_no_finding(node: Namespace, command: str) -> None:
    found = prepared(node, "router")
    node.run(command.split())
    assert check_live(found) == []


def test_a_stateful_ruleset_that_drops_what_is_translated_is_named(node: Namespace) -> None:
    found = prepared(node, "router")
    load.run(STATEFUL)
    [finding] = check_live(found)
    assert (finding.code, finding.where.split(":")[0]) == ("stateful", "ruleset")
    load.run('insert rule inet fw f iifname "siit0" accept')
    assert check_live(found) == []


def test_a_table_that_is_dormant_drops_nothing(node: Namespace) -> None:
    found = prepared(node, "router")
    load.run(STATEFUL.replace("{ chain", "{ flags dormant; chain"))
    assert check_live(found) == []
    load.run("add table inet fw")  # without the flag: it wakes
    assert [one.code for one in check_live(found)] == ["stateful"]


def test_of_the_same_priority_what_was_loaded_later_comes_first_and_is_named(node: Namespace) -> None:
    found = prepared(node, "offload")
    early = "table inet %s { chain pre { type filter hook prerouting priority %d; counter; }; }"
    for name, priority in (("sooner", -451), ("same", -450), ("later", -449)):
        load.run(early % (name, priority))
    rule = "packets before the rules of siit0, which say offload"
    assert [one.what for one in check_live(found)] == [
        f"inet same pre (prerouting, priority -450) may see {rule}",
        f"inet sooner pre (prerouting, priority -451) sees {rule}",
    ]


def test_a_table_that_the_file_had_under_another_name_is_its_own(node: Namespace) -> None:
    found = prepared(node, "offload")
    former = found.source.text.replace(" fast {", " former {").replace("-450", "-460")
    before = program(former, found.source.name, tuple(found.domains.values()))
    name = found.source.name
    ruleset.install(compile_rules(before, native=ruleset.native(), owner=ruleset.owner_of(name)), name)
    assert check_live(found) == []


def test_flow_offload_in_the_ruleset_is_named(node: Namespace, monkeypatch: pytest.MonkeyPatch) -> None:
    found = prepared(node, "router")
    monkeypatch.setattr(load, "run", lambda commands: FLOWTABLE)  # not every kernel has it
    assert [finding.code for finding in check_live(found)] == ["flowtable"]


def test_a_ruleset_that_cannot_be_read_is_no_clean_bill(node: Namespace, monkeypatch: pytest.MonkeyPatch) -> None:
    found = prepared(node, "router")

    def refuse(commands: str) -> str:
        raise OperatorError("no nftables bindings")

    monkeypatch.setattr(load, "run", refuse)
    [finding] = check_live(found)
    assert (finding.code, finding.what) == ("ruleset", "cannot be read: no nftables bindings")


def test_a_manager_that_is_not_kept_off_the_device_is_noted(
    node: Namespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = prepared(node, "router")
    (tmp_path / "run/systemd/netif/state").mkdir(parents=True)
    monkeypatch.setattr(managers, "ROOT", tmp_path)
    assert check_live(found) == []  # it runs in the machine's own namespace, and this is another
    monkeypatch.setattr(managers, "_first_namespace", lambda: True)
    assert [(finding.code, finding.severity) for finding in check_live(found)] == [("manager", Severity.NOTE)]
    assert "systemd-networkd" in {finding.what for finding in examine()}


def test_udev_leaves_the_addresses_of_a_domain_device_alone(node: Namespace) -> None:
    """NET_ADDR_SET (linux/netdevice.h): MACAddressPolicy changes only what the kernel has made up (systemd.link(5))."""
    made, _ = create_or_adopt("siit0", report=print)
    try:
        for name, end in ((node.name, "siit0"), (made.far_namespace, made.far_interface)):
            assert (
                node.run(["ip", "netns", "exec", name, "cat", f"/sys/class/net/{end}/addr_assign_type"]).stdout == "3\n"
            )
    finally:
        remove(made)
