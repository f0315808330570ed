"""What this host has set that decides whether it forwards a packet, by interface and IPsec policy: what rules have to
repeat where they take packets before the kernel looks (nfxlat.nft.language.inputs)."""

import socket
import sys
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network
from typing import NamedTuple

from nfxlat import ipaddresses
from nfxlat.host import addresses, interfaces, sysctl, vrfs
from nfxlat.host.rtnetlink import (
    NETCONFA_FORWARDING,
    NETCONFA_IFINDEX,
    NETCONFA_IFINDEX_ALL,
    NETCONFA_IFINDEX_DEFAULT,
    NETCONFA_RP_FILTER,
    RTM_GETNETCONF,
)
from nfxlat.netlink.connection import Connection
from nfxlat.nft.language.inputs import Inputs, Mode, Policy
from nfxlat.terms import Role
from nfxlat.wire import xfrm
from nfxlat.wire.netlink import NETLINK_ROUTE, NETLINK_XFRM, chosen
from nfxlat.xlat import prefixes
from nfxlat.xlat.domain import Domain
from nfxlat.xlat.prefixes import Span

MODES: Mapping[int, Mode] = {1: "strict", 2: "loose"}  # rp_filter, Documentation/networking/ip-sysctl.rst
WAYS = ("fwd", "in")
BRIDGED = "rules of --setup leave that alone; rules of your own take what is for another gateway, and it is translated"
LEAVE_BRIDGED = (
    'iifname != "BRIDGE" in those rules, or ether daddr of the bridge; or '
    "sysctl -w net.bridge.bridge-nf-call-iptables=0 net.bridge.bridge-nf-call-ip6tables=0"
)
_NETCONF = frozenset((NETCONFA_IFINDEX, NETCONFA_FORWARDING, NETCONFA_RP_FILTER))
_LOOPBACK = "lo"


class _Settings(NamedTuple):
    """Those of the interface `number`, or NETCONFA_IFINDEX_ALL or _DEFAULT."""

    number: int
    forwarding: int
    rp_filter: int


def found(domain: Domain, role: Role) -> Inputs:
    """What is set now in the calling thread's network namespace. Raises OSError where the kernel does not tell."""
    links = interfaces.listed()
    settings = _as_applied({one.number: one for one in _netconf()}, links)
    names = {one.index: one.name for one in links.values() if one.name not in (_LOOPBACK, domain.name)}
    common, default = settings.get(NETCONFA_IFINDEX_ALL), settings.get(NETCONFA_IFINDEX_DEFAULT)
    least = common.rp_filter if common else 0

    def mode(one: _Settings) -> Mode:
        return MODES.get(max(least, one.rp_filter), "off")

    if domain.vrf:
        return _in_vrf(domain, role, closed_by=settings if common is not None and common.forwarding else {})
    usual = mode(default) if default else "off"
    unlike = [(names[index], mode(one)) for index, one in settings.items() if index in names and mode(one) != usual]
    closed = [names[index] for index, one in settings.items() if index in names and not one.forwarding]
    forwards = role != "host" and common is not None and common.forwarding
    return Inputs(
        usual,
        tuple(sorted(unlike)),
        tuple(sorted(closed)) if forwards else (),
        tuple(sorted((one.name, one.address) for one in links.values() if one.kind == "bridge")),
        tuple(_policies(domain, role)),
    )


def _in_vrf(domain: Domain, role: Role, closed_by: Mapping[int, _Settings]) -> Inputs:
    """Of members of the domain's VRF. The reverse path is not checked as the kernel does it there, by any route of the
    VRF: without `iif` the fib expression of many kernels looks in the main table, with it at the packet's own interface
    alone (nft_fib_ipv4.c)."""
    inside = vrfs.inside(domain.vrf)
    members = {one.index: one.name for one in inside.values() if one.kind != vrfs.KIND and one.name != domain.name}
    own = {ipaddresses.address(one.address) for one in addresses.within(domain.vrf)}
    return Inputs(
        closed4=tuple(sorted(members[one] for one in members if one in closed_by and not closed_by[one].forwarding)),
        bridges=tuple(sorted((one.name, one.address) for one in inside.values() if one.kind == "bridge")),
        policies=tuple(_policies(domain, role)),
        members=tuple(sorted(members.values())),
        own=tuple(str(one) for one in sorted(own, key=lambda one: (one.version, int(one))) if not one.is_link_local),
    )


def _as_applied(settings: dict[int, _Settings], links: Mapping[int, interfaces.Interface]) -> dict[int, _Settings]:
    """Of a member of a VRF those of the VRF's own interface count (net/ipv4/route.c, behind l3mdev_l3_rcv)."""
    found = dict(settings)
    for index in settings.keys() & links.keys():
        above = links[index].master
        if above in settings and above in links and links[above].kind == vrfs.KIND:
            found[index] = settings[above]._replace(number=index)
    return found


def outside(domain: str) -> list[str]:
    """The interfaces that packets may come in on from outside."""
    return [one.name for one in interfaces.listed().values() if one.name not in (_LOOPBACK, domain)]


def shown_by_bridges() -> list[str]:
    """Bridges of which rules see what they pass on to others (br_netfilter)."""
    if not any(sysctl.read(f"net/bridge/bridge-nf-call-{tables}") == "1" for tables in ("iptables", "ip6tables")):
        return []
    return sorted(one.name for one in interfaces.listed().values() if one.kind == "bridge")


def _netconf() -> list[_Settings]:
    with Connection(NETLINK_ROUTE) as connection:
        return connection.dump(RTM_GETNETCONF, bytes((socket.AF_INET, 0, 0, 0)), _settings)


def _settings(body: bytes) -> _Settings:
    values = chosen(body, _NETCONF, 4)
    return _Settings(
        *(
            int.from_bytes(values.get(kind, bytes(4)), sys.byteorder, signed=True)
            for kind in (NETCONFA_IFINDEX, NETCONFA_FORWARDING, NETCONFA_RP_FILTER)
        )
    )


def _policies(domain: Domain, role: Role) -> Iterator[tuple[str, tuple[Policy, ...]]]:
    """Those that concern what the domain translates."""
    try:
        connection = Connection(NETLINK_XFRM)
    except OSError:  # the kernel has no IPsec
        return
    with connection:
        policies = connection.dump(xfrm.MSG_GETPOLICY, xfrm.GET_ALL, xfrm.policy)
    if not policies:
        return
    own6 = prefixes.clat6_spans(domain) if role == "host" else prefixes.spans(prefixes.translated6(domain))
    taken = {4: prefixes.translated4_spans(domain), 6: own6}
    for way in WAYS:
        mine = [one for one in policies if one.way == way and _meets(one.destination, taken[one.destination.version])]
        if mine:
            mine.sort(key=lambda one: one.priority)
            yield way, tuple(Policy(one.source, one.destination, one.verdict, _upper(one)) for one in mine)


def _meets(network: IPv4Network | IPv6Network, spans: Sequence[Span]) -> bool:
    """Whether one of the spans, which are in order, has an address of the network."""
    at = bisect_right(spans, int(network.network_address), key=lambda span: span[0])
    before = at > 0 and spans[at - 1][1] >= int(network.network_address)
    return before or (at < len(spans) and spans[at][0] <= int(network.broadcast_address))


def _upper(policy: xfrm.InPolicy) -> str:
    """The match on all but addresses. ICMP types are not told from each other."""
    text = f" meta mark & {policy.mark_mask:#x} == {policy.mark:#x}" if policy.mark_mask else ""
    text += f" meta l4proto {policy.protocol}" if policy.protocol else ""
    if policy.protocol in (socket.IPPROTO_ICMP, socket.IPPROTO_ICMPV6):
        return text
    for side, (port, mask) in (("sport", policy.source_port), ("dport", policy.destination_port)):
        text += f" th {side} & {mask:#x} == {port & mask:#x}" if mask else ""
    return text
