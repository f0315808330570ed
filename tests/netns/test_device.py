"""The domain device: made, made anew, removed, and passed by what is injected; and what else is looked at on a host."""

import errno
import os
import resource
import select
import socket
from collections.abc import Iterator
from functools import partial
from ipaddress import IPv4Address, IPv6Network

import pytest
from packets import raw4, udp
from pyroute2 import IPRoute
from setup_node import entered_node, made

from nfxlat.host import addresses, device, netns, routes, tun
from nfxlat.host.addresses import local_addresses, watch_addresses
from nfxlat.host.links import delete_link, index_of, link_of, wait_until_up
from nfxlat.host.mtu import egress_mtu
from nfxlat.lab.netns import Namespace, wait_for
from nfxlat.plan.routes import Route

pytestmark = pytest.mark.netns


@pytest.fixture
def node() -> Iterator[Namespace]:
    with entered_node() as node:
        yield node


@pytest.fixture
def host(node: Namespace) -> Namespace:
    """The IPv4 host behind `node`."""
    found = Namespace("host")  # by name only: `node` made it and removes it
    assert os.path.exists(found.path)
    return found


def test_a_device_that_cannot_be_asked_for_is_not_taken_for_one_that_is_gone(
    node: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    former, _ = device.create_or_adopt("siit0", report=lambda line: None)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS))

    with monkeypatch.context() as lacking:
        lacking.setattr(IPRoute, "get_links", refuse, raising=False)
        for call in (device.remove_named, partial(device.create_or_adopt, report=lambda line: None)):
            with pytest.raises(OSError, match="No buffer space"):
                call("siit0")  # which would take it away, or make it anew
    assert socket.if_nametoindex("siit0") == former.ifindex
    assert netns.is_pinned(former.far_namespace)
    assert not device.create_or_adopt("siit0", report=lambda line: None)[1]


def test_a_tun_that_cannot_be_marked_as_ours_is_not_left(node: Namespace, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS))

    before = len(os.listdir("/proc/self/fd"))
    with monkeypatch.context() as lacking:
        lacking.setattr(IPRoute, "link", refuse, raising=False)
        with pytest.raises(OSError, match="No buffer space"):
            tun.create_or_adopt("siit0", report=lambda line: None)
    assert index_of("siit0") == 0
    assert len(os.listdir("/proc/self/fd")) == before
    assert tun.create_or_adopt("siit0", report=lambda line: None)
    assert tun.remove_named("siit0")


def test_an_index_that_cannot_be_asked_for_is_not_0(node: Namespace) -> None:
    assert [index_of(name) for name in ("lo", "siit0", "a-name-that-is-too-long")] == [1, 0, 0]
    child = os.fork()
    if not child:
        code = 1
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
            index_of("lo")
        except OSError as error:
            code = 0 if error.errno == errno.EMFILE else 2
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0


def test_half_made_device_is_made_anew(node: Namespace) -> None:
    first, created = device.create_or_adopt("siit0", report=lambda line: None)
    assert created
    netns.unpin(first.far_namespace)
    second, created = device.create_or_adopt("siit0", report=lambda line: None)
    assert created
    with device.in_namespace(second.far_namespace):
        assert socket.if_nametoindex(second.far_interface)
    device.remove(second)


def test_near_end_that_the_dying_far_namespace_takes_along_is_no_failure(
    node: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel tears an unpinned namespace down some time later: here between nfxlat's look and its own deletion."""
    first, _ = device.create_or_adopt("siit0", report=lambda line: None)
    netns.unpin(first.far_namespace)
    judge = device._is_whole

    def slow(*arguments: object) -> bool:
        found = judge(*arguments)  # type: ignore[arg-type]
        wait_for(lambda: all(name != "siit0" for _, name in socket.if_nameindex()), "the namespace to be torn down")
        return found

    monkeypatch.setattr(device, "_is_whole", slow)
    second, created = device.create_or_adopt("siit0", report=lambda line: None)
    assert created
    device.remove(second)


def test_link_that_somebody_else_deletes_first_is_no_failure(node: Namespace, monkeypatch: pytest.MonkeyPatch) -> None:
    node.ip("link add goes type veth peer name gone")
    index = socket.if_nametoindex("goes")
    with IPRoute() as ipr:
        there = link_of(ipr, "goes")
        assert there is not None
        assert there["index"] == index
        delete_link(ipr, there)
        delete_link(ipr, there)
        assert link_of(ipr, "goes") is None
        monkeypatch.setattr(socket, "if_nametoindex", lambda name: index)  # known a moment ago
        assert link_of(ipr, "goes") is None
    addresses.remove_address("goes", "192.0.2.1")
    assert routes.delete([Route("198.51.100.0/24", "goes", 0)]) == []


def test_device_says_nothing_of_its_own_and_counts_what_dies_in_it(node: Namespace) -> None:
    node.sysctl("net.ipv6.conf.all.forwarding", 1)
    found, _ = device.create_or_adopt("siit0", report=lambda line: None)
    try:
        node.ip("route add 198.51.100.0/24 dev siit0")
        node.ip("-6 route add 2001:db8:64::/96 dev siit0")
        assert found.ended_packets() == 0
        for family, address in ((socket.AF_INET, "198.51.100.1"), (socket.AF_INET6, "2001:db8:64::1")):
            with socket.socket(family, socket.SOCK_DGRAM) as sender:
                sender.sendto(b"x", (address, 9))
        wait_for(lambda: found.ended_packets() == 2, "both to be counted")
    finally:
        device.remove(found)


@pytest.mark.parametrize("rp_filter", [0, 1, 2])
@pytest.mark.parametrize("source", ["198.51.100.7", "203.0.113.2", "203.0.113.241", "192.0.0.8"])
def test_injected_packets_pass_every_rp_filter(node: Namespace, host: Namespace, rp_filter: int, source: str) -> None:
    node.sysctl("net.ipv4.conf.all.rp_filter", rp_filter)
    setup = made()
    setup.up()
    with host.entered():
        receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        receiver.bind(("10.9.4.2", 9))
    try:
        assert setup.device is not None
        with device.in_namespace(setup.device.far_namespace):
            far = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            far.bind((setup.device.far_interface, 0))
        with far:
            packet = raw4(source, "10.9.4.2", socket.IPPROTO_UDP, udp(b"crossed", 7, 9))
            frame = setup.device.near_mac + setup.device.far_mac + b"\x08\0" + packet

            def arrives() -> bool:  # what rp_filter drops never does; the first may be lost while ARP asks
                far.send(frame)
                return bool(select.select([receiver], [], [], 1)[0])

            wait_for(arrives, "a datagram")
        assert receiver.recvfrom(100) == (b"crossed", (source, 7))
    finally:
        receiver.close()
        setup.down()
    assert node.sysctl("net.ipv4.conf.all.rp_filter") == str(rp_filter)


def test_egress_mtu_is_the_route_s(node: Namespace) -> None:
    node.ip("route add 192.0.2.0/24 dev v4 mtu 1300")
    node.ip("-6 route add 2001:db8:1::/64 dev v6 mtu 1350")
    assert egress_mtu(IPv4Address("192.0.2.1").packed) == 1300
    assert egress_mtu(IPv4Address("10.9.4.2").packed) == 1500
    assert egress_mtu(IPv6Network("2001:db8:1::1")[0].packed) == 1350
    assert egress_mtu(IPv4Address("192.0.3.1").packed) is None


def test_address_watch_wakes_when_an_address_comes(node: Namespace) -> None:
    with watch_addresses() as watch:
        assert not select.select([watch], [], [], 0)[0]
        node.ip("address add 10.9.5.1/24 dev v4")
        assert select.select([watch], [], [], 5)[0]
        watch.drain()
        assert not select.select([watch], [], [], 0)[0]
    assert IPv4Address("10.9.5.1").packed in local_addresses()


def test_what_is_routed_into_a_tun_that_has_just_got_its_queue_is_not_dropped(node: Namespace) -> None:
    """Without waiting it was for 5 to 39 of 150."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for number in range(30):
            tun.create_or_adopt("siit1", report=lambda line: None)
            node.ip("address replace 10.9.5.1/24 dev siit1")
            descriptor, _ = tun.open_queue("siit1")
            try:
                assert wait_until_up("siit1")
                sender.sendto(b"routed %d" % number, ("10.9.5.2", 9))
                seen = b""
                while not seen.endswith(b"routed %d" % number):
                    assert select.select([descriptor], [], [], 5)[0]
                    seen = os.read(descriptor, 2000)
            finally:
                os.close(descriptor)
                tun.remove_named("siit1")


def test_what_does_not_come_up_is_not_waited_for_for_ever(node: Namespace) -> None:
    node.ip("link add left type veth peer name right")
    assert not wait_until_up("left")  # nobody has set it up
    node.ip("link set left up")
    assert not wait_until_up("left", 0.05)
    node.ip("link set right up")
    assert wait_until_up("left")
    assert not wait_until_up("nothing")
