"""What the watch of the host hears and what it does about it, by itself: a set-up without workers.

v4 host 10.9.4.2 --- v4  [ node: Setup of siit0, HostWatch ]  v6 --- (nobody) 2001:db8:9::/64
"""

import errno
import json
import os
import select
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network
from typing import Any

import pytest
from clock import Clock
from pyroute2.netlink.exceptions import NetlinkError
from setup_node import DOMAIN, entered_node, output

from nfxlat.errors import OperatorError
from nfxlat.host import device, found, netns, routes, tun
from nfxlat.lab.netns import Namespace, wait_for
from nfxlat.plan.compare import Found, Wanted
from nfxlat.plan.routes import Route
from nfxlat.queues import Queues
from nfxlat.service import own_rules, owned
from nfxlat.service.host_watch import HostWatch
from nfxlat.service.setup import Setup
from nfxlat.terms import Model
from nfxlat.xlat.domain import Domain
from nfxlat.xlat.eamt import Eamt

EAM_ONLY = Domain(eamt=Eamt([(IPv4Network("203.0.113.2"), IPv6Network("2001:db8:2::2"))]))


def operstate(name: str) -> str:
    """RFC 2863."""
    (link,) = json.loads(output("ip", "-j", "link", "show", name))
    return str(link["operstate"])


class Scene:
    """A set-up that stands, and its watch, whose timers are run by hand."""

    def __init__(self, domain: Domain = DOMAIN, model: Model = "hook") -> None:
        self.lines: list[str] = []
        self.timers: list[Callable[[], None]] = []
        self.served: list[int] = []
        self.remade_fails = False
        self.setup = Setup(domain, queues=Queues(), model=model, report=lambda line: None, superframes=False)
        self.setup.up()
        self.watch = HostWatch(
            self.setup, self.lines.append, lambda _, call: self.timers.append(call), self.remade, Clock()
        )
        carrier = "DOWN" if model == "device" else "UP"  # a TUN without queues loses it a moment later
        wait_for(lambda: operstate("siit0") == carrier, f"a carrier that is {carrier}")
        while self.timers or self.hears():  # what has been told of that
            self.run_timers()
        assert self.lines == []

    def remade(self) -> None:
        if self.remade_fails:
            raise OperatorError("the new worker did not become ready", where="worker 0")
        self.served.append(self.setup.index)

    def hears(self) -> bool:
        """Whether something that has happened has it look."""
        while select.select([self.watch], [], [], 0)[0]:
            self.watch.changed()
        return bool(self.timers)

    def run_timers(self) -> None:
        due, self.timers = self.timers, []
        for call in due:
            call()

    def repaired(self) -> str:
        assert self.hears()
        self.run_timers()
        return self.lines.pop()


@pytest.fixture
def node() -> Iterator[Namespace]:
    with entered_node() as namespace:
        yield namespace


@pytest.fixture
def scene(node: Namespace) -> Iterator[Scene]:
    scene = Scene()
    yield scene
    scene.watch.close()
    scene.setup.down()


def test_a_device_that_is_deleted_is_heard_of_without_any_ipv6_route(node: Namespace) -> None:
    scene = Scene(EAM_ONLY)
    node.ip("link del siit0")
    assert scene.repaired().endswith("; repaired")
    assert scene.served == [scene.setup.index]
    scene.watch.close()
    scene.setup.down()


def test_a_device_that_goes_while_it_is_looked_at_is_missing(
    scene: Scene, node: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = found.look

    def goes(wanted: Wanted) -> Found:
        monkeypatch.setattr(found, "look", look)
        there = look(wanted)
        node.ip("link del siit0")
        return there

    monkeypatch.setattr(found, "look", goes)
    node.ip("link set siit0 txqueuelen 2000")
    assert scene.hears()
    scene.run_timers()
    assert scene.hears()
    scene.run_timers()
    assert "device siit0 (missing)" in scene.lines.pop()
    assert scene.lines == []


def test_a_device_that_somebody_has_made_anew_is_served(scene: Scene) -> None:
    device.remove_named("siit0")
    device.create_or_adopt("siit0", report=lambda line: None)
    assert "device siit0 (made anew)" in scene.repaired()
    assert scene.served == [scene.setup.index]
    scene.run_timers()
    assert scene.hears() is False or scene.lines == []


def test_a_repair_of_something_else_that_makes_the_device_anew_serves_it(scene: Scene, node: Namespace) -> None:
    far, former = device.far_namespace("siit0"), scene.setup.index
    with device.in_namespace(far):
        held = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)  # as a worker's, which keeps it alive
    with held:
        netns.unpin(far)
        node.ip("route flush proto 118")
        assert "device" not in scene.repaired().replace("dev siit0", "")
    assert scene.setup.index != former
    assert scene.served == [scene.setup.index]


def test_workers_that_cannot_have_the_new_device_are_tried_again(scene: Scene, node: Namespace) -> None:
    scene.remade_fails = True
    node.ip("link del siit0")
    assert "cannot be repaired: worker 0: the new worker" in scene.repaired()
    scene.remade_fails = False
    scene.run_timers()
    assert scene.lines == ["host: device siit0 (made anew); repaired"]
    assert scene.served == [scene.setup.index]


def test_what_a_change_left_unfinished_is_tried_again(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as lacking:

        def refuse(_: object) -> list[Route]:
            raise OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS))

        lacking.setattr(routes, "delete", refuse)
        with pytest.raises(OSError):
            scene.setup.apply(scene.setup.planned(EAM_ONLY))
        assert bool(scene.setup.unfinished)
        assert "198.51.100.0/24 dev siit0" in output("ip", "route")
        scene.watch.reloaded()
        scene.run_timers()
        assert "what a reload left unfinished cannot be done failed: OSError" in scene.lines.pop()
        assert owned.missing("siit0", {}) == []
    scene.run_timers()
    assert scene.lines == ["host: what a reload left unfinished is done"]
    assert not scene.setup.unfinished
    assert "198.51.100.0/24" not in output("ip", "route")
    assert "203.0.113.2 dev siit0" in output("ip", "route")
    scene.run_timers()
    assert len(scene.lines) == 1


def test_what_could_not_be_selected_is_by_the_next_try(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def selected() -> str:
        return output("nft", "list", "set", "ip", "nfxlat_siit0", "siit0_to")

    more = replace(DOMAIN, eamt=Eamt([*DOMAIN.eamt, (IPv4Network("203.0.113.9"), IPv6Network("2001:db8:9::9"))]))
    change = own_rules.change
    with monkeypatch.context() as lacking:

        def refuse(*_: object) -> None:
            raise OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS))

        def refuse_the_second(*contents: Any) -> None:
            lacking.setattr(own_rules, "change", refuse)
            change(*contents)

        lacking.setattr(own_rules, "change", refuse_the_second)
        lacking.setattr(scene.setup.rules, "load", refuse)
        scene.setup.apply(scene.setup.planned(more))
        assert "203.0.113.9" not in selected()
        assert scene.setup.unfinished
    scene.watch.reloaded()
    scene.run_timers()
    assert scene.lines == ["host: what a reload left unfinished is done"]
    assert "203.0.113.9" in selected()


def test_a_foreign_device_in_the_place_of_a_tun_is_left_alone(node: Namespace) -> None:
    scene = Scene(model="device")
    assert tun.remove_named("siit0")
    node.ip("link add siit0 type veth peer name other")
    before = output("ip", "-d", "link", "show", "siit0")
    assert "cannot be repaired: siit0: a device of this name already exists" in scene.repaired()
    assert output("ip", "-d", "link", "show", "siit0") == before
    node.ip("link del siit0")
    scene.watch.close()
    scene.setup.down()


def test_what_others_replace_and_make_is_not_looked_at(scene: Scene, node: Namespace) -> None:
    node.ip("route add 172.16.0.0/24 dev v4")
    node.ip("route replace 172.16.0.0/24 dev v4 mtu 1400")
    node.ip("-6 route replace 2001:db8:77::/48 dev v6")
    node.ip("link add other type veth peer name other2")
    node.sysctl("net.ipv4.conf.v4.forwarding", 0)
    node.ip("link del other")
    assert scene.hears() is False
    node.ip("route replace 198.51.100.0/24 dev v4")
    assert scene.hears() is True


@pytest.mark.parametrize(
    "key", ["net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding", "net.ipv4.conf.siit0.forwarding"]
)
def test_forwarding_is_heard_of(scene: Scene, node: Namespace, key: str) -> None:
    node.sysctl(key, 0)
    assert scene.repaired().endswith("; repaired")
    assert node.sysctl(key) == "1"


def test_a_device_that_goes_while_it_is_repaired_is_no_end(
    scene: Scene, node: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object, **__: object) -> None:
        raise NetlinkError(errno.ENODEV)

    node.ip("route flush proto 118")
    with monkeypatch.context() as patch:
        patch.setattr(device, "create_or_adopt", gone)
        assert "cannot be repaired: device siit0: " in scene.repaired()
    scene.run_timers()
    assert scene.lines[-1].endswith("; repaired")
