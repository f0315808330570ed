"""What two domains on one node share: forwarding and the routes of ICMP error sources. The last one puts them back."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network
from typing import Any

import pytest
from setup_node import DOMAIN, entered_node, leave_nothing, snapshot

from nfxlat.errors import OperatorError
from nfxlat.host import shared, state, sysctl
from nfxlat.lab.netns import Namespace
from nfxlat.queues import Queues
from nfxlat.service import doctor
from nfxlat.service.setup import Setup
from nfxlat.xlat.domain import Domain

FIRST = DOMAIN
SECOND = Domain(
    name="siit1",
    prefix6=IPv6Network("2001:db8:65::/96"),
    pool4=(IPv4Network("192.0.2.0/24"),),
    rfc6791_v4=DOMAIN.rfc6791_v4,
)


@pytest.fixture
def node() -> Iterator[Namespace]:
    with entered_node() as node:
        yield node
        leave_nothing()


def set_up(domain: Domain, first_queue: int, lines: list[str] | None = None) -> Setup:
    setup = Setup(domain, queues=Queues(first_queue), report=(lines if lines is not None else []).append)
    setup.up()
    return setup


@pytest.mark.parametrize("first_to_go", [0, 1])
def test_the_first_to_stop_leaves_what_the_other_needs(node: Namespace, first_to_go: int) -> None:
    before = snapshot()
    lines: list[str] = []
    both = [set_up(FIRST, 7), set_up(SECOND, 17, lines)]
    assert shared.users()["net.ipv4.ip_forward"] == ["siit0", "siit1"]
    told = {found.what: found.found for found in doctor.examine()}
    assert told["net.ipv4.ip_forward"] == told["route 192.0.0.8/32"] == "shared by siit0, siit1"
    both.pop(first_to_go).down()
    (other,) = both
    assert other.stands is not None
    name = other.stands.name
    assert node.sysctl("net.ipv4.ip_forward") == node.sysctl("net.ipv6.conf.all.forwarding") == "1"
    assert node.sysctl("net.ipv4.conf.v4.forwarding") == "1"
    for network in ("192.0.0.8", "203.0.113.240/28"):
        found = node.ip(f"route show {network}")
        assert f"dev {name} " in found
        assert "unreachable" in found
    assert shared.users()["net.ipv4.ip_forward"] == [name]
    other.down()
    assert snapshot() == before


def test_a_killed_domain_stays_a_user_until_it_is_taken_over_and_down(node: Namespace) -> None:
    before = snapshot()
    killed = set_up(FIRST, 7)
    other = set_up(SECOND, 17)
    assert killed._standing.state is not None
    assert killed.stamp is not None
    killed.stamp.close()
    killed._standing.state.close(remove=False)  # the lock goes with its process, the record stays
    other.down()
    assert node.sysctl("net.ipv4.ip_forward") == "1"
    set_up(FIRST, 7).down()
    assert snapshot() == before


def test_a_user_whose_record_is_gone_is_none_any_more(node: Namespace) -> None:
    before = snapshot()["sysctls"]
    gone, other = set_up(FIRST, 7), set_up(SECOND, 17)
    state.path_of("siit0").unlink()
    other.down()
    assert node.sysctl("net.ipv4.ip_forward") == "0"
    gone.down()
    assert snapshot()["sysctls"] == before


def test_a_mapping_of_another_domain_is_refused_and_harms_nothing(node: Namespace) -> None:
    first = set_up(FIRST, 7)
    before = snapshot()
    with pytest.raises(OperatorError, match="domain siit0 has this route already") as caught:
        set_up(replace(SECOND, pool4=FIRST.pool4), 17)
    assert "198.51.100.0/24" in caught.value.where
    assert snapshot() == before
    first.down()


AROUND = replace(SECOND, prefix6=IPv6Network("2001:db8::/40"), pool4=())
PART = replace(SECOND, pool4=(IPv4Network("198.51.100.8/29"),))


@pytest.mark.parametrize("second", [AROUND, PART], ids=["around", "part"])
def test_a_prefix_inside_another_s_is_refused_where_rules_decide(node: Namespace, second: Domain) -> None:
    """Rules take all of a prefix: which of the two translated would depend on who began first."""
    first = set_up(FIRST, 7)
    before = snapshot()
    with pytest.raises(OperatorError, match=r"domain siit0 has route .* dev siit0 .*, which overlaps it") as caught:
        set_up(second, 17)
    assert caught.value.where.startswith("domain.siit1: route ")
    assert snapshot() == before
    first.down()


def test_of_routes_the_longest_counts(node: Namespace) -> None:
    both = [Setup(domain, queues=Queues(), model="device", report=lambda line: None) for domain in (FIRST, PART)]
    for setup in both:
        setup.up()
    for setup in both:
        setup.down()


@pytest.mark.parametrize("keeping", [0, 1])
def test_sysctls_are_kept_where_one_of_two_says_so(node: Namespace, keeping: int) -> None:
    """Whoever goes first: what is kept is not put back by the other."""
    both = [
        Setup(domain, queues=Queues(10 * number + 7), report=lambda line: None, keep_sysctls=number == keeping)
        for number, domain in enumerate((FIRST, SECOND))
    ]
    for setup in both:
        setup.up()
    for setup in both:
        setup.down()
    assert node.sysctl("net.ipv4.ip_forward") == node.sysctl("net.ipv6.conf.all.forwarding") == "1"
    assert snapshot()["states"] == []
    setup = set_up(FIRST, 7)
    setup.down()
    assert node.sysctl("net.ipv4.ip_forward") == "1", "it was so before"


def test_who_leaves_needs_no_room_in_run(node: Namespace, monkeypatch: pytest.MonkeyPatch) -> None:
    before = snapshot()
    both = [set_up(FIRST, 7), set_up(SECOND, 17)]

    def full(self: state.State, data: dict[str, Any]) -> None:
        raise OperatorError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(state.State, "save", full)
        for setup in both:
            setup.down()
    assert snapshot() == before


def test_what_cannot_be_put_back_hinders_nothing_else(node: Namespace, monkeypatch: pytest.MonkeyPatch) -> None:
    before = snapshot()["sysctls"]
    setup = set_up(FIRST, 7)
    write = sysctl.write

    def fail(key: str, value: str) -> None:
        if key in ("net/ipv4/conf/v4/forwarding", "net/ipv6/conf/v4/forwarding"):
            raise OperatorError("no", where=key)
        write(key, value)

    with monkeypatch.context() as patch:
        patch.setattr(sysctl, "write", fail)
        node.sysctl("net.ipv4.ip_forward", 0)
        node.sysctl("net.ipv6.conf.all.forwarding", 0)
        for family in ("ipv4", "ipv6"):
            node.sysctl(f"net.{family}.conf.v4.forwarding", 1)
        with pytest.raises(OperatorError, match="no"):
            setup.down()
    assert node.sysctl("net.ipv4.conf.default.forwarding") == node.sysctl("net.ipv6.conf.default.forwarding") == "0"
    set_up(FIRST, 7).down()
    assert snapshot()["sysctls"] == before


def test_what_is_right_already_is_nobody_s_to_put_back(node: Namespace) -> None:
    node.sysctl("net.ipv4.ip_forward", 1)
    node.sysctl("net.ipv6.conf.all.forwarding", 1)
    first, second = set_up(FIRST, 7), set_up(SECOND, 17)
    assert [name for name in shared.users() if not name.startswith("route")] == []
    first.down()
    second.down()
    assert node.sysctl("net.ipv4.ip_forward") == node.sysctl("net.ipv6.conf.all.forwarding") == "1"


def test_a_damaged_record_of_what_is_shared_is_refused_before_anything_is_made(node: Namespace) -> None:
    path = state.path_of(shared.NAME)
    path.parent.mkdir(exist_ok=True)
    path.write_text("{")
    before = snapshot()
    with pytest.raises(OperatorError, match="damaged"):
        set_up(FIRST, 7)
    path.unlink()
    after = {**snapshot(), "states": []}
    assert after == {**before, "states": []}


def test_an_unknown_version_of_what_is_shared_is_not_deleted(node: Namespace) -> None:
    kept = state.State(shared.NAME)
    kept.save({"version": 2, "things": {"net/ipv4/ip_forward": "0"}})
    kept.close(remove=False)
    before = snapshot(), kept.path.read_text()
    with pytest.raises(OperatorError, match="its version is 2"):
        set_up(FIRST, 7)
    assert (snapshot(), kept.path.read_text()) == before


@pytest.mark.parametrize("text", ['{"version": 1, "settings": {"x": {}}, "routes": {}}', '{"version": 1}'])
def test_a_damaged_value_is_one_line(node: Namespace, text: str) -> None:
    kept = state.State(shared.NAME)
    kept.save(json.loads(text))
    kept.close(remove=False)
    with pytest.raises(OperatorError, match="it is damaged"):
        shared.leave_sysctls("siit0", "x", print)
    assert kept.path.exists()


def test_a_domain_may_be_named_as_a_part_of_a_sysctl(node: Namespace) -> None:
    before = snapshot()
    set_up(replace(FIRST, name="ipv4"), 7).down()
    assert snapshot() == before


def test_an_heir_whose_device_is_down_is_no_obstacle(node: Namespace) -> None:
    first, second = set_up(FIRST, 7), set_up(SECOND, 17)
    node.ip("link set siit1 down")
    first.down()
    assert "siit0" not in node.ip("route show")
    second.repair()
    assert "dev siit1 " in node.ip("route show 192.0.0.8")
    second.down()


@pytest.mark.parametrize("shared_by", [0, 1])
def test_error_sources_of_one_are_not_the_addresses_of_another(node: Namespace, shared_by: int) -> None:
    pool = IPv4Network("203.0.113.240/28")
    one, other = replace(FIRST, rfc6791_v4=(pool,)), replace(SECOND, rfc6791_v4=(), pool4=(pool,))
    domains = [one, other] if shared_by == 0 else [other, one]
    setup = set_up(domains[0], 7)
    before = snapshot()
    with pytest.raises(OperatorError, match="has this route already"):
        set_up(domains[1], 17)
    assert snapshot() == before
    setup.down()


def test_what_becomes_shared_in_a_change_has_its_user(node: Namespace) -> None:
    pool = IPv4Network("203.0.113.240/28")
    setup = set_up(replace(FIRST, rfc6791_v4=(), pool4=(pool,)), 7)
    setup.apply(setup.planned(replace(FIRST, rfc6791_v4=(pool,), pool4=())))
    other = set_up(SECOND, 17)
    assert shared.users()[f"route {pool}"] == ["siit0", "siit1"]
    setup.down()
    assert f"{pool} dev siit1" in node.ip("route show")
    other.down()


def test_two_that_begin_at_once_see_each_other(node: Namespace, monkeypatch: pytest.MonkeyPatch) -> None:
    """One's look at the others and its own record are one step for all others."""
    real, locked = state.others, []

    def others(name: str) -> dict[str, dict[str, Any]]:
        script = "import fcntl, sys; fcntl.lockf(open(sys.argv[1], 'r+'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
        tried = subprocess.run([sys.executable, "-c", script, state.path_of(shared.NAME)], capture_output=True)
        locked.append(b"BlockingIOError" in tried.stderr)
        return real(name)

    monkeypatch.setattr(state, "others", others)
    set_up(FIRST, 7).down()
    assert locked == [True]


def test_interfaces_noted_by_a_second_change_come_back_behind_what_rewrites_them(node: Namespace) -> None:
    setup = set_up(FIRST, 7)
    node.sysctl("net.ipv4.ip_forward", 0)
    node.ip("link add late type veth peer name late2")
    node.sysctl("net.ipv4.conf.late.forwarding", 1)
    setup.repair()
    setup.down()
    assert (node.sysctl("net.ipv4.ip_forward"), node.sysctl("net.ipv4.conf.late.forwarding")) == ("0", "1")
