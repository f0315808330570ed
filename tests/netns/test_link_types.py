"""Links of other types towards a translator: what crosses a plain one crosses them, both ways, with their smaller MTUs.

host4 --- router4 === translator === router6 --- host6

A link (=) is made anew upon the one that was there, while the translator runs. In the virtual machine (tests/vm) the
kernel has all of these types; here some are left out. No program is needed for any but ip(8): WireGuard is told by
netlink, PPPoE by its sockets.
"""

import contextlib
import json
import os
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import NamedTuple

import pppoe
import pytest
from carried import addresses, routes
from pyroute2 import WireGuard

from nfxlat.errors import OperatorError
from nfxlat.lab.netns import Namespace, wait_for
from nfxlat.lab.probe import ping
from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.topology import HOST4_6, HOST6, HOST6_4, HOST6_EAM4, Lab
from nfxlat.lab.transfer import Server, ServerProcess, download

OCTETS = 1 << 18


class End(NamedTuple):
    """One end of a link: where it is, and the interface that was there. `side`: 4 or 6."""

    namespace: Namespace
    device: str
    side: int
    own: str  # addresses below a tunnel
    other: str

    @property
    def up(self) -> str:
        """The new interface."""
        return f"up{self.side}"

    def add(self, rest: str) -> None:
        """Make it."""
        self.namespace.ip(f"link add {self.up} {rest}")


Maker = Callable[[tuple[End, End]], ExitStack | None]
"""Makes a link; what it returns holds it."""


def vlan(ends: tuple[End, End]) -> None:
    for end in ends:
        end.add(f"link {end.device} type vlan id 7")


def qinq(ends: tuple[End, End]) -> None:
    for end in ends:
        end.namespace.ip(f"link add mid{end.side} link {end.device} type vlan protocol 802.1ad id 5")
        end.namespace.ip(f"link set mid{end.side} up")
        end.add(f"link mid{end.side} type vlan id 7")


def macvlan(ends: tuple[End, End]) -> None:
    for end in ends:
        end.add(f"link {end.device} type macvlan mode bridge")


def bond(ends: tuple[End, End]) -> None:
    for end in ends:
        end.add("type bond mode active-backup miimon 100")
        end.namespace.ip(f"link set {end.device} down")
        end.namespace.ip(f"link set {end.device} master {end.up}")


def bridge(ends: tuple[End, End]) -> None:
    for end in ends:
        end.add("type bridge")
        end.namespace.ip(f"link set {end.device} master {end.up}")


def gre(ends: tuple[End, End]) -> None:
    for end in ends:
        end.add(f"type gre local {end.own} remote {end.other} ttl 64")


def vxlan(ends: tuple[End, End]) -> None:
    for end in ends:
        end.add(f"type vxlan id {end.side} local {end.own} remote {end.other} dstport 4789")


def wireguard(ends: tuple[End, End]) -> None:
    keys = []
    for end in ends:
        end.add("type wireguard")
        keys.append(end.namespace.call(own_key, end.up, PORT + end.side))
    for end, key in zip(ends, reversed(keys), strict=True):
        peer = {"public_key": key, "endpoint_addr": end.other, "endpoint_port": PORT + end.side}
        end.namespace.call(meet, end.up, {**peer, "allowed_ips": ["0.0.0.0/0", "::/0"]})


def own_key(interface: str, port: int) -> str:
    """A port and a private key for the interface; its public one."""
    with WireGuard() as control:
        control.set(interface, private_key=b64encode(os.urandom(32)).decode(), listen_port=port)
        return str(control.info(interface)[0].get_attr("WGDEVICE_A_PUBLIC_KEY").decode())


def meet(interface: str, peer: dict[str, object]) -> None:
    with WireGuard() as control:
        control.set(interface, peer=peer)


def esp(ends: tuple[End, End]) -> None:
    """An IPsec tunnel that routes lead into: an xfrm interface, whose policies take all that it is given."""
    inner = {4: "0.0.0.0/0", 6: "::/0"}
    for end in ends:
        namespace, side = end.namespace, end.side
        end.add(f"mtu 1400 type xfrm dev {end.device} if_id {side}")
        for source, destination, ways in ((end.own, end.other, ["out"]), (end.other, end.own, ["in", "fwd"])):
            path = f"src {source} dst {destination} proto esp"
            spi = sum(map(int, source.split(".")))
            key = f"aead rfc4106(gcm(aes)) 0x{'5a' * 20} 128"
            namespace.ip(f"xfrm state add {path} spi {spi} mode tunnel if_id {side} flag af-unspec {key}")
            for way in ways:
                all_packets = f"src {inner[side]} dst {inner[side]} dir {way}"
                namespace.ip(f"xfrm policy add {all_packets} if_id {side} tmpl {path} mode tunnel")


def pppoe_session(ends: tuple[End, End]) -> ExitStack:
    with ExitStack() as stack:
        for end, other in zip(ends, reversed(ends), strict=True):
            link = json.loads(other.namespace.ip(f"-j link show {other.device}"))[0]
            made = end.namespace.call(pppoe.session, stack, end.device, link["address"], 7 + end.side)
            end.namespace.ip(f"link set {made} name {end.up} mtu {pppoe.MTU}")
        return stack.pop_all()


TYPES = (bridge, vlan, qinq, macvlan, bond, gre, vxlan, wireguard, esp, pppoe_session)
PORT, SIZE = 51820, 1300  # SIZE: of a ping; a tunnel's MTU has to hold it as IPv6


@contextlib.contextmanager
def linked(ends: tuple[End, End], make: Maker) -> Iterator[None]:
    """The link as another type, with the addresses and routes of the former; then the former again."""
    before = [(end, addresses(end.namespace, end.device), routes(end.namespace, end.device)) for end in ends]
    with ExitStack() as stack:
        stack.callback(_restore, before)
        for end, own, _ in before:
            for family in ("-4", "-6"):
                end.namespace.ip(f"{family} route flush dev {end.device} proto boot")
            for address in own:
                end.namespace.ip(f"address del {address} dev {end.device}")
            end.namespace.ip(f"address add {end.own}/30 dev {end.device}")
        if (held := make(ends)) is not None:
            stack.enter_context(held)
        for end, own, paths in before:
            end.namespace.ip(f"link set {end.up} up")
            for address in own:
                end.namespace.ip(f"address add {address} dev {end.up}{' nodad' if ':' in address else ''}")
            for path in paths:
                end.namespace.ip(f"{path} dev {end.up}")
        for end, *_ in before:
            end.namespace.wait_ready()
        yield


def _restore(before: list[tuple[End, list[str], list[str]]]) -> None:
    for end, own, paths in before:
        namespace, device = end.namespace, end.device
        for command in (f"link del {end.up}", f"link del mid{end.side}", "xfrm policy flush", "xfrm state flush"):
            with contextlib.suppress(OperatorError):  # was not made
                namespace.ip(command)
        namespace.ip(f"address flush dev {device}")
        namespace.ip(f"link set {device} nomaster")
        namespace.ip(f"link set {device} up")
        for address in own:
            namespace.ip(f"address add {address} dev {device}{' nodad' if ':' in address else ''}")
        for path in paths:
            namespace.ip(f"{path} dev {device}")
    for end, *_ in before:
        end.namespace.wait_ready()


@pytest.fixture(scope="module")
def servers(shared_bare_lab: Lab) -> Iterator[list[ServerProcess]]:
    """In host4 and host6."""
    found = [ServerProcess(namespace, OCTETS) for namespace in (shared_bare_lab.host4, shared_bare_lab.host6)]
    yield found
    for server in found:
        server.close()


@pytest.fixture(scope="module")
def served(servers: list[ServerProcess]) -> list[Server]:
    return [server.ready() for server in servers]


@pytest.mark.parametrize("make", TYPES, ids=lambda make: make.__name__)
def test_all_crosses_a_link_of_type(
    shared_bare_lab: Lab,
    shared_process: TranslatorProcess,
    served: list[Server],
    make: Maker,
) -> None:
    lab = shared_bare_lab
    with ExitStack() as stack:
        for router, side in ((lab.router4, 4), (lab.router6, 6)):
            under = f"10.77.{side}.1", f"10.77.{side}.2"  # addresses below a tunnel
            ends = End(lab.translator, f"to-r{side}", side, *under), End(router, "to-x", side, *reversed(under))
            try:
                stack.enter_context(linked(ends, make))
            except OperatorError as error:
                if "nknown device type" not in error.what and "not supported" not in error.what:
                    raise
                pytest.skip(f"this kernel: {error.what}")
        wait_for(lambda: lab.host4.call(ping, HOST6_EAM4, count=1).ok, "the first ping", 20)
        assert lab.host4.call(ping, HOST6_4, count=1).ok
        assert lab.host6.call(ping, HOST4_6, HOST6, count=1).ok
        assert lab.host4.call(ping, HOST6_EAM4, count=1, size=SIZE).ok
        down6, down4 = served
        for namespace, target, source, server in (
            (lab.host4, HOST6_EAM4, None, down4),
            (lab.host6, HOST4_6, HOST6, down6),
        ):
            assert namespace.call(download, target, server, source).intact
