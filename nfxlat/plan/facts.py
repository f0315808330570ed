"""What a plan has to know about the host that it is made for. `nfxlat.host.facts` looks it up."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from typing import Final, NamedTuple

MAIN: Final = 254  # linux/rtnetlink.h RT_TABLE_MAIN


class OnLink(NamedTuple):
    """A prefix whose addresses the neighbours on an interface ask for, rather than a router."""

    network: IPv4Network | IPv6Network
    interface: str


@dataclass(frozen=True, slots=True)
class Facts:
    """The host as far as plans depend on it; an empty value stands for a host of which nothing is known.

    `mtu`: octets of the largest packet towards an address (packed) by the route that leads there now; addresses without
    a route, or whose route ends in the domain's own device, are left out. `advertised`: interfaces whose default router
    came by router advertisement, and which would forget it once IPv6 is forwarded (addrconf.c, accept_ra 1).
    `links`: prefixes that neighbours on an interface ask for. `local`: this node's own addresses, packed. `widest`: the
    largest MTU of its interfaces, 0: not known. `table`: where the domain's routes are, a VRF's or the main one.
    `kept`: the device was made by `nfxlat domain add`, and stays when the set-up goes.
    """

    mtu: Mapping[bytes, int] = field(default_factory=dict)
    advertised: tuple[str, ...] = ()
    kept: bool = False
    links: tuple[OnLink, ...] = ()
    local: frozenset[bytes] = frozenset()
    widest: int = 0
    table: int = MAIN


NOTHING_KNOWN = Facts()
