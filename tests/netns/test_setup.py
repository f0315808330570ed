"""`--setup`: what it makes, that it takes exactly that down, and what stands in its way."""

import errno
import os
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address
from typing import Any

import pytest
from setup_node import DOMAIN, OTHER, entered_node, made, snapshot

from nfxlat.errors import OperatorError
from nfxlat.host import clsact, routes, state
from nfxlat.host.addresses import local_addresses
from nfxlat.host.found import look
from nfxlat.lab.netns import Namespace
from nfxlat.nft.kernel import compat, load
from nfxlat.plan.compare import Wanted, lacks
from nfxlat.plan.routes import Route
from nfxlat.plan.sysctls import FORWARD6, Sysctl
from nfxlat.service import domains
from nfxlat.service import setup as setups
from nfxlat.terms import Role

pytestmark = pytest.mark.netns


@pytest.fixture
def node() -> Iterator[Namespace]:
    with entered_node() as node:
        yield node


@pytest.mark.parametrize("role", ["router", "host"])
def test_down_leaves_everything_as_it_was(node: Namespace, role: Role) -> None:
    node.sysctl("net.ipv4.conf.v6.forwarding", 1)  # set by hand on one interface, with ip_forward still 0
    before = snapshot()
    lines: list[str] = []
    setup = made(role, report=lines.append)
    setup.up()
    assert snapshot() != before
    setup.down()
    assert snapshot() == before
    assert "device siit0 removed" in lines
    setup.down()  # twice is harmless


def test_router_reports_each_step_and_does_it(node: Namespace) -> None:
    lines: list[str] = []
    setup = made(report=lines.append)
    setup.up()
    try:
        assert "route 198.51.100.0/24 dev siit0 mtu 1480" in lines
        assert "sysctl net.ipv4.ip_forward 0 -> 1" in lines
        assert setup.rules.path == ("native" if load.queue_expression_available() else "compat")
        assert node.sysctl("net.ipv4.ip_forward") == node.sysctl("net.ipv6.conf.all.forwarding") == "1"
        route = node.ip("route show 198.51.100.0/24")
        assert "dev siit0 proto 118" in route
        assert "mtu 1480" in route  # "mtu lock 1480" would clear DF on all local packets
        assert "unreachable" in route
        assert setup.device is not None
        assert setup.device.far_namespace in os.listdir("/run/netns")
    finally:
        setup.down()


def test_host_gets_its_address_and_a_default_route_and_does_not_forward(node: Namespace) -> None:
    setup = made("host")
    setup.up()
    try:
        assert IPv4Address("203.0.113.2").packed in local_addresses()
        assert "dev siit0" in node.ip("route get 192.0.2.1")
        assert "src 203.0.113.2" in node.ip("route get 192.0.2.1")
        assert node.sysctl("net.ipv4.ip_forward") == "0"
    finally:
        setup.down()


def test_an_address_that_the_operator_gave_an_added_device_stays(node: Namespace) -> None:
    domains.add(DOMAIN, "hook", lambda line: None)
    node.ip("address add 203.0.113.2/32 dev siit0")
    setup = made("host")
    setup.up()
    setup.apply(setup.planned(DOMAIN))
    setup.down()
    assert "203.0.113.2/32" in node.ip("address show dev siit0")
    node.ip("address del 203.0.113.2/32 dev siit0")
    setup = made("host")
    setup.up()
    setup.down()
    assert "203.0.113.2" not in node.ip("address show dev siit0")
    domains.delete("siit0", lambda line: None)


@pytest.mark.parametrize(
    "command",
    [
        "route prepend 203.0.113.2 dev v4",
        "route prepend blackhole 203.0.113.2",
        "-6 route append 2001:db8:64::/96 dev v6 metric 1024",
    ],
)
def test_another_route_at_our_place_is_missed(node: Namespace, command: str) -> None:
    setup = made()
    setup.up()
    assert setup.stands is not None
    wanted = Wanted.of_plan(setup.stands)
    assert lacks(wanted, look(wanted)) == []
    node.ip("route add 203.0.113.2 tos 0x10 dev v4")  # of some packets alone
    assert lacks(wanted, look(wanted)) == []
    node.ip(command)
    (lack,) = lacks(wanted, look(wanted))
    assert lack.kind == "route"
    node.ip(command.replace("prepend", "del").replace("append", "del"))
    node.ip("route del 203.0.113.2 tos 0x10 dev v4")
    setup.down()


def test_only_what_differs_is_changed(node: Namespace) -> None:
    node.sysctl("net.ipv4.ip_forward", 1)
    node.sysctl("net.ipv6.conf.all.forwarding", 1)
    lines: list[str] = []
    setup = made(report=lines.append)
    setup.up()
    setup.down()
    assert not [line for line in lines if line.startswith("sysctl")]
    assert node.sysctl("net.ipv4.ip_forward") == "1"


@pytest.mark.parametrize(("before", "meanwhile"), [(1, "2"), (0, "0")], ids=["the kernel learns", "a manager learns"])
def test_a_default_route_learnt_by_advertisement_survives_forwarding(
    node: Namespace, before: int, meanwhile: str
) -> None:
    """systemd-networkd and NetworkManager read advertisements themselves, and keep the kernel from it."""
    node.sysctl("net.ipv6.conf.v6.accept_ra", before)
    node.ip("-6 route add default via fe80::1 dev v6 proto ra metric 1024")
    setup = made()
    setup.up()
    assert node.sysctl("net.ipv6.conf.v6.accept_ra") == meanwhile
    assert "via fe80::1" in node.ip("-6 route show default")
    setup.down()
    assert node.sysctl("net.ipv6.conf.v6.accept_ra") == str(before)
    assert "via fe80::1" in node.ip("-6 route show default")


def test_accept_ra_is_looked_after_once_forwarding_is_on_too(node: Namespace) -> None:
    """A reload, and a run that takes over from a killed one, plan anew, and find IPv6 forwarded."""
    node.sysctl("net.ipv6.conf.v6.accept_ra", 1)
    node.ip("-6 route add default via fe80::1 dev v6 proto ra metric 1024")
    wanted = Sysctl("net/ipv6/conf/v6/accept_ra", "2", FORWARD6)
    setup = made()
    setup.up()
    try:
        setup.apply(setup.planned(OTHER))
        assert setup.stands is not None
        assert wanted in setup.stands.sysctls
        other = made(domain=replace(DOMAIN, name="siit1"))
        assert wanted in other.planned(replace(DOMAIN, name="siit1")).sysctls  # of a second domain
        node.ip("link del v6")
        assert wanted not in setup.planned(OTHER).sysctls
    finally:
        setup.down()


def test_a_route_of_the_largest_mtu_is_taken_down_again(node: Namespace) -> None:
    node.ip("link set lo up mtu 66000")
    node.ip("-6 route add 2001:db8:2::/64 dev lo")
    before = snapshot()
    lines: list[str] = []
    setup = made(report=lines.append, domain=replace(DOMAIN, mtu4=65535))
    setup.up()
    try:
        assert "route 203.0.113.2 dev siit0 mtu 65520" in lines
        assert "mtu 65520" in node.ip("-6 route show 2001:db8:64::/96 dev siit0")
        old = Route("192.0.2.77/32", "siit0", 0, 66000)  # as a record may have it
        routes.add([old])
        assert routes.delete([old]) == [old]
    finally:
        setup.down()
    assert snapshot() == before


def test_conflicting_route_is_named_and_the_earlier_steps_are_undone(node: Namespace) -> None:
    node.ip("route add 198.51.100.0/24 dev v4")
    before = snapshot()
    with pytest.raises(OperatorError, match="there already") as caught:
        made().up()
    assert caught.value.where == "route 198.51.100.0/24 dev siit0 mtu 1480"
    assert snapshot() == before


def test_device_of_somebody_else_is_left_alone(node: Namespace) -> None:
    node.ip("link add siit0 type veth peer name other")
    before = snapshot()
    with pytest.raises(OperatorError, match="not a domain device"):
        made().up()
    assert snapshot() == before
    node.ip("link del siit0")


@pytest.mark.parametrize("error", [OperatorError("no queue"), KeyboardInterrupt()])
def test_failure_at_the_last_step_undoes_all(
    node: Namespace, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    before = snapshot()

    def refuse(*arguments: object) -> None:
        assert "siit0" in snapshot()["links"]  # type: ignore[operator]
        raise error

    monkeypatch.setattr(load, "queue_expression_available", lambda: False)
    monkeypatch.setattr(compat, "insert_queue_rule", refuse)
    with pytest.raises(type(error)):
        made().up()
    assert snapshot() == before


def test_a_take_down_that_lacks_something_for_a_moment_is_whole(
    node: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = snapshot()
    lines: list[str] = []
    setup = made(report=lines.append)
    setup.up()
    for step in (clsact, load, routes):
        names = {clsact: "remove_empty", load: "unload", routes: "delete"}
        call = getattr(step, names[step])
        refused: list[object] = []

        def refuse_once(*words: Any, call: Any = call, refused: list[object] = refused) -> Any:
            if not refused:
                refused.append(words)
                raise OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS))
            return call(*words)

        monkeypatch.setattr(step, names[step], refuse_once)
    monkeypatch.setattr(setups, "END_AGAIN", (0.0,) * 3)
    setup.down()
    assert snapshot() == before
    assert not state.path_of("siit0").exists()


def test_routes_into_a_device_that_is_gone_are_refused_before_the_first_is_made(node: Namespace) -> None:
    before = snapshot()
    wanted = [Route("198.51.100.0/24", None, 0), Route("198.51.100.0/24", "gone", 7)]
    with pytest.raises(OperatorError, match="No such device") as caught:
        routes.add(wanted)
    assert caught.value.where == "route 198.51.100.0/24 dev gone metric 7"
    assert snapshot() == before
