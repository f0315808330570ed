"""The facts of the calling thread's network namespace that plans depend on (nfxlat.plan.facts)."""

import re
import socket

from nfxlat.host import interfaces, neighbours, registry, rtnetlink, shared, sysctl, vrfs
from nfxlat.host.addresses import local_addresses
from nfxlat.host.links import index_of
from nfxlat.host.mtu import egress_interface, egress_mtu
from nfxlat.plan.facts import Facts
from nfxlat.plan.routes import LARGEST_MTU, Ends, looked_up
from nfxlat.plan.sysctls import FORWARD6
from nfxlat.terms import Role
from nfxlat.xlat.domain import Domain

RTPROT_RA = 9  # linux/rtnetlink.h
ACCEPT_RA = re.compile(r"net/ipv6/conf/([^/]+)/accept_ra")


def facts(domain: Domain, role: Role, ends: Ends) -> Facts:
    """What a plan of `domain` as `role`, whose routes are `ends`, has to know about this host."""
    kept = registry.text(domain.name) is not None
    vrf = domain.vrf
    table = vrfs.table_of(vrf)
    links = tuple(neighbours.links(vrf))
    mtus = _mtus(domain, role, ends)
    return Facts(mtus, tuple(_advertised()), kept, links, local_addresses(vrf), _widest(vrf), table)


def _mtus(domain: Domain, role: Role, ends: Ends) -> dict[bytes, int]:
    own = index_of(domain.name)
    found = {}
    for address in looked_up(domain, role, ends):
        # into our own device: the host behind has no route of its own (yet)
        mtu = egress_mtu(address, domain.vrf)
        if mtu is not None and mtu > LARGEST_MTU:  # perhaps a VRF's own interface, which is no link
            through = vrfs.name_of(egress_interface(address, domain.vrf))
            mtu = egress_mtu(address, through) if through else mtu
        if mtu is None:
            continue
        if not (own and egress_interface(address, domain.vrf) == own):
            found[address] = mtu
    return found


def _widest(vrf: str | None) -> int:
    """The largest MTU of the interfaces in the VRF, or in none, that are up, but for lo, devices of domains and VRFs,
    which take all."""
    up = (one for one in vrfs.inside(vrf).values() if one.up and not one.flags & interfaces.IFF_LOOPBACK)
    return max((one.mtu for one in up if one.mtu <= LARGEST_MTU), default=0)


def _advertised() -> list[str]:
    """Interfaces that would forget their default router, which came by router advertisement, once IPv6 is forwarded;
    while it is, those of which a set-up has noted that they would have."""
    changed = (ACCEPT_RA.fullmatch(key) for key, value in shared.originals().items() if value == "1")
    noted = {match[1] for match in changed if match and sysctl.read(match[0]) is not None}
    if sysctl.read(FORWARD6) != "0":
        return sorted(noted)
    indexes = rtnetlink.default_interfaces(socket.AF_INET6, RTPROT_RA)
    names = {name for index, name in socket.if_nameindex() if index in indexes}
    # with 0 the route is networkd's or NetworkManager's, which the kernel does not forget, and 2 is right already
    return sorted(noted | {name for name in names if sysctl.read(f"net/ipv6/conf/{name}/accept_ra") == "1"})
