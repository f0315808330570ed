"""Two NAT64s (PLATs) on the IPv6 side of the lab, as far as the translator can tell, and many IPv4 clients.

host4 --- router4 --- translator --- router6 --- host6

host6 is all that is behind either: the server 198.51.100.2 by the prefix6 of one and of the other, and 198.51.100.34 on
its narrow link. host4 is a hundred clients besides itself; each PLAT knows them by addresses of its own.
"""

import contextlib
import ipaddress
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from nfxlat import config
from nfxlat.lab.capture import Capture
from nfxlat.lab.datagram import UdpEcho, exchange, icmp_error, path_mtu
from nfxlat.lab.probe import ping, traceroute
from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.rules import example, in_lab
from nfxlat.lab.topology import HOST4, HOST6, HOST6_4, HOST6_NARROW_4, NARROW_MTU, ROUTER4, ROUTER6, Lab
from nfxlat.nft.language.program import Program, program
from nfxlat.nft.shipped import RULES

CLIENTS = [f"192.0.2.{n}" for n in range(128, 228)]
ADDRESSES = {"192.168.0.0/24": "192.0.2.0/24"}  # of rules/xlat, in the lab
NARROW6 = "2001:db8:3::2"  # host6's, on its narrow link


@dataclass(frozen=True, slots=True)
class Plat:
    """A PLAT by its name in rules/xlat: where servers and clients are in IPv6."""

    name: str
    number: int

    def server(self, address4: str) -> str:
        """A server behind it, as the translator sees it."""
        return _inside(f"2001:db8:64:{self.number}::", address4)

    def client(self, address4: str) -> str:
        """A client, as the PLAT sees it."""
        return str(ipaddress.IPv6Address(f"2001:db8:c:{self.number}::") + int(address4.rpartition(".")[2]))


PLATS = (Plat("plat1", 1), Plat("plat2", 2))


def _inside(prefix: str, address4: str) -> str:
    return str(ipaddress.IPv6Address(prefix) + int(ipaddress.IPv4Address(address4)))


def build(lab: Lab) -> None:
    """Addresses and routes, in a lab of nfxlat.lab.topology."""
    lab.host4.ip_batch([f"address add {client}/32 dev lo" for client in CLIENTS])
    lab.router4.ip("route add 192.0.2.128/25 via 192.0.2.2")
    lab.translator.ip(f"route add 192.0.2.128/25 via {ROUTER4[1]}")
    lab.translator.sysctl("net.ipv4.ip_forward", 1)
    for plat in PLATS:
        wide, narrow = plat.server(HOST6_4), plat.server(HOST6_NARROW_4)
        lab.host6.ip_batch([f"address add {wide}/128 dev to-r6", f"address add {narrow}/128 dev narrow"])
        prefix = f"2001:db8:64:{plat.number}::/96"
        lab.translator.ip(f"route add {prefix} via {ROUTER6[0]}")
        lab.router6.ip_batch([f"route add {prefix} via {HOST6}", f"route add {narrow}/128 via {NARROW6}"])


def rules(name: str, *changes: str) -> Program:
    """A file of rules/xlat that knows these PLATs, with its configuration, in the lab. `changes`: what becomes what."""
    text, toml = (in_lab(RULES / "xlat" / f"{name}.{end}", ADDRESSES) for end in ("nft", "toml"))
    for was, becomes in zip(changes[::2], changes[1::2], strict=True):
        assert was in text
        text = text.replace(was, becomes)
    return program(text, f"/lab/{name}.nft", config.parse(toml, f"{name}.toml").domains)


@contextlib.contextmanager
def running(name: str, servers: Sequence[str] = ()) -> Iterator[tuple[Lab, Mapping[str, TranslatorProcess]]]:
    """A lab with the rules of rules/xlat/`name` at work, without a finding. `servers`: more of host6's addresses."""
    with Lab() as lab:
        build(lab)
        lab.host6.ip_batch([f"address add {plat.server(one)}/128 dev to-r6" for plat in PLATS for one in servers])
        with example(lab, name, ADDRESSES) as processes:
            yield lab, processes


def ways(lab: Lab, clients: Sequence[str], target: str = HOST6_4) -> dict[str, str]:
    """By which PLAT, by name, a datagram of each client goes to the target."""
    found: dict[str, str] = {}
    with Capture(lab.host6, "to-r6") as capture, lab.host4.entered():
        for client in clients:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
                udp.bind((client, 0))
                found[client] = way(capture, udp, target)
    return found


def way(capture: Capture, udp: socket.socket, target: str = HOST6_4) -> str:
    """By which PLAT, by name, the next datagram of a socket goes; `capture` is on host6."""
    question = b"by which way? " + os.urandom(8)
    udp.sendto(question, (target, 4001))
    arrived = capture.wait(lambda seen: question in seen and seen[6] == socket.IPPROTO_UDP)
    source, destination = (socket.inet_ntop(socket.AF_INET6, arrived[at : at + 16]) for at in (8, 24))
    plat = next(plat for plat in PLATS if plat.server(target) == destination)
    assert source == plat.client(udp.getsockname()[0])
    return plat.name


def crosses(lab: Lab, plat: Plat, server4: str = HOST6_4, client: str = HOST4) -> None:
    """Assert that all kinds of traffic between the client and a server behind the PLAT cross, both ways."""
    server = plat.server(server4)
    assert lab.host4.call(ping, server4, client).ok
    assert lab.host6.call(ping, plat.client(client), server).ok
    with UdpEcho(lab.host6, server) as echo:
        assert lab.host4.call(exchange, server4, echo.port, 100, client).ok
        assert lab.host4.call(exchange, server4, echo.port, 3000, client).ok
    with UdpEcho(lab.host4, client) as echo:
        assert lab.host6.call(exchange, plat.client(client), echo.port, 3000, server).ok
    assert lab.host4.call(icmp_error, server4, 9, client) == "ECONNREFUSED"
    assert lab.host6.call(icmp_error, plat.client(client), 9, server) == "ECONNREFUSED"
    hops = [hop.address for hop in lab.host4.call(traceroute, server4, client)]
    assert None not in hops
    assert hops[-1] == server4


def narrows(lab: Lab, plat: Plat, client: str = HOST4) -> None:
    """Assert that a client learns the MTU of a link behind a router that no prefix has: its ICMPv6 error is taken."""
    lab.host4.ip("route flush cache")
    with UdpEcho(lab.host6, plat.server(HOST6_NARROW_4)) as echo:
        assert lab.host4.call(path_mtu, HOST6_NARROW_4, echo.port, client).mtu == NARROW_MTU - 20
