"""Routes by the thousand: messages packed by hand, many to a system call (linux/rtnetlink.h).

A body is an rtmsg and attributes: RTA_DST, RTA_PRIORITY, RTA_OIF, RTA_PREFSRC, RTA_METRICS { RTAX_MTU }.

    0        1            2            3     4       5          6       7      8
    | family | dst length | src length | tos | table | protocol | scope | type | flags u32

One after the other through pyroute2, 100,000 prefixes with two routes each take two minutes.
"""

import os
import socket
import struct
import sys
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from nfxlat.errors import OperatorError
from nfxlat.netlink.connection import Connection
from nfxlat.plan.facts import MAIN
from nfxlat.plan.routes import LARGEST_MTU
from nfxlat.wire.netlink import ATTRIBUTE, NETLINK_ROUTE, attribute, chosen, u32

RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26
RTM_DELADDR, RTM_NEWNETCONF, RTM_GETNETCONF = 21, 80, 82
RTA_DST, RTA_OIF, RTA_PRIORITY, RTA_PREFSRC, RTA_METRICS, RTA_MULTIPATH, RTA_TABLE = 1, 4, 6, 7, 8, 9, 15
RTAX_MTU = 2
RTN_UNICAST, RTN_UNREACHABLE, RT_SCOPE_LINK, RT_SCOPE_UNIVERSE = 1, 7, 253, 0
RT_TABLE_COMPAT = 252  # in an rtmsg, of tables whose number is larger than an octet
NETCONFA_IFINDEX, NETCONFA_FORWARDING, NETCONFA_RP_FILTER = 1, 2, 3  # linux/netconf.h
NETCONFA_IFINDEX_ALL, NETCONFA_IFINDEX_DEFAULT = -1, -2
KINDS = 256  # of routes that are remembered while they are listed

_RTMSG = struct.Struct("=BBBBBBBBI")
_LENGTH_AT, _TOS_AT, _TABLE_AT, _PROTOCOL_AT, _KIND_AT = 1, 3, 4, 5, 7
_PLACE = frozenset((RTA_DST, RTA_PRIORITY, RTA_TABLE))
_LEADS = frozenset((RTA_DST, RTA_PRIORITY, RTA_OIF, RTA_MULTIPATH))
_TABLE = frozenset((RTA_TABLE,))

Object = TypeVar("Object")
Destination = tuple[int, bytes, int]  # family, address packed (b"" for the default route), prefix length


@dataclass(frozen=True, slots=True)
class Request:
    """A route as a message has it: `interface` 0 stands for unreachable, `mtu` 0 for the device's own
    (a record of an older version may have one that is too large)."""

    family: int
    destination: bytes
    length: int
    metric: int
    protocol: int
    interface: int = 0
    mtu: int = 0
    source: bytes = b""
    table: int = MAIN

    def body(self) -> bytes:
        route, scope = (RTN_UNICAST, RT_SCOPE_LINK) if self.interface else (RTN_UNREACHABLE, RT_SCOPE_UNIVERSE)
        body = _RTMSG.pack(self.family, self.length, 0, 0, _octet(self.table), self.protocol, scope, route, 0)
        if self.length:
            body += attribute(RTA_DST, self.destination)
        body += u32(RTA_PRIORITY, self.metric)
        if self.interface:
            body += u32(RTA_OIF, self.interface)
        if self.source:
            body += attribute(RTA_PREFSRC, self.source)
        if self.table != MAIN:
            body += u32(RTA_TABLE, self.table)
        if self.mtu:
            body += attribute(RTA_METRICS, u32(RTAX_MTU, min(self.mtu, LARGEST_MTU)))
        return body


def apply(kind: int, requests: Iterable[tuple[Request, int]]) -> Generator[tuple[int, int], None, None]:
    """Do them in order, each with its flags; (index, errno) of those that the kernel refuses, while it goes on.

    Whoever stops reading stops the rest, but for what is in the same call.
    """
    with Connection(NETLINK_ROUTE) as connection:
        yield from connection.apply((kind, flags, request.body()) for request, flags in requests)


class TableRoute(NamedTuple):
    """A route of a table. `destination`: packed, b"" for the default route. `interfaces`: of all next hops."""

    destination: bytes
    length: int
    metric: int
    kind: int
    interfaces: tuple[int, ...]


def table(family: int, destinations: Collection[Destination], number: int = MAIN) -> list[TableRoute]:
    """Routes of a table to these destinations; others cost a comparison each. Raises OperatorError where the
    kernel refuses to list them. Most are alike but for their destination, and what lies around that is read once."""
    octets = 4 if family == socket.AF_INET else 16
    octet = _octet(number)
    head = u32(RTA_TABLE, number) + ATTRIBUTE.pack(4 + octets, RTA_DST)
    start = _RTMSG.size + len(head)
    end = start + octets

    alike: dict[bytes, TableRoute] = {}  # by all but the destination

    def read(body: bytes) -> TableRoute | None:
        if body[_TABLE_AT] != octet or body[0] != family or body[_TOS_AT]:  # for some packets alone
            return None
        if body[_RTMSG.size : start] != head:
            if octet == RT_TABLE_COMPAT and _number(chosen(body, _TABLE, _RTMSG.size), RTA_TABLE) != number:
                return None
            return _route(body)
        destination, length = body[start:end], body[_LENGTH_AT]
        if (family, destination, length) not in destinations:
            return None
        around = body[: _RTMSG.size] + body[end:]
        known = alike.get(around)
        if known is None:
            if len(alike) >= KINDS:
                alike.clear()
            known = alike[around] = _route(body)
        return TableRoute(destination, length, known.metric, known.kind, known.interfaces)

    return _listed(family, read)


def default_interfaces(family: int, protocol: int) -> set[int]:
    """Interfaces of the default routes that a protocol has made, in any table. Raises OperatorError where the kernel
    refuses to list them."""

    def read(body: bytes) -> set[int] | None:
        if body[_LENGTH_AT] or body[_PROTOCOL_AT] != protocol or body[0] != family:
            return None
        return set(_route(body).interfaces)

    return set().union(*_listed(family, read))


def in_tables(family: int, tables: Iterable[int]) -> list[tuple[int, TableRoute]]:
    """All routes of these tables; those of others cost a comparison each. Raises OperatorError where the kernel refuses
    to list them."""
    heads = {u32(RTA_TABLE, table): table for table in tables}
    start = _RTMSG.size + len(u32(RTA_TABLE, 0))

    def read(body: bytes) -> tuple[int, TableRoute] | None:
        table = heads.get(body[_RTMSG.size : start])
        return (table, _route(body)) if table is not None and body[0] == family else None

    return _listed(family, read)


def _route(body: bytes) -> TableRoute:
    found = chosen(body, _LEADS, _RTMSG.size)
    hops = [found[RTA_OIF]] if RTA_OIF in found else _next_hops(found.get(RTA_MULTIPATH, b""))
    interfaces = tuple(int.from_bytes(hop, sys.byteorder) for hop in hops)
    return TableRoute(found.get(RTA_DST, b""), body[_LENGTH_AT], _metric(found), body[_KIND_AT], interfaces)


def _next_hops(data: bytes) -> Iterator[bytes]:
    """The interface's index in each struct rtnexthop: length u16, flags u8, hops u8, index s32, attributes."""
    at = 0
    while at + 8 <= len(data) and (length := int.from_bytes(data[at : at + 2], sys.byteorder)) >= 8:
        yield data[at + 4 : at + 8]
        at += (length + 3) & ~3


def protocol_of(body: bytes) -> int:
    """Who made the route of a message's body; 0 where it is too short to tell."""
    return body[_PROTOCOL_AT] if len(body) > _PROTOCOL_AT else 0


def destination_of(body: bytes) -> Destination:
    """Where the route of a message's body leads; of family 0 where it is too short to tell."""
    if len(body) < _RTMSG.size:
        return 0, b"", 0
    return body[0], chosen(body, frozenset((RTA_DST,)), _RTMSG.size).get(RTA_DST, b""), body[_LENGTH_AT]


def routes(family: int, protocol: int, table: int = MAIN) -> list[tuple[bytes, int, int]]:
    """(destination, length, metric) of a table's routes of a protocol; b"" for the default route's.

    Raises OperatorError where the kernel refuses to list them.
    """
    return _listed(family, _reader(family, protocol, table))


def _listed(family: int, read: Callable[[bytes], Object | None]) -> list[Object]:
    try:
        with Connection(NETLINK_ROUTE) as connection:
            return connection.dump(RTM_GETROUTE, _RTMSG.pack(family, 0, 0, 0, 0, 0, 0, 0, 0), read)
    except OSError as error:
        raise OperatorError(f"cannot be listed: {os.strerror(error.errno or 0)}", where="routes") from None


def _reader(family: int, protocol: int, table: int = MAIN) -> Callable[[bytes], tuple[bytes, int, int] | None]:
    """Reads a route as `routes` tells it; None if it is another's. Most are alike but for their destination, which then
    has its place, and what lies behind it is read once."""
    octets = 4 if family == socket.AF_INET else 16
    octet = _octet(table)
    head = u32(RTA_TABLE, table) + ATTRIBUTE.pack(4 + octets, RTA_DST)
    start = _RTMSG.size + len(head)
    end = start + octets
    metrics: dict[bytes, int] = {}  # by what lies behind the destination

    def read(body: bytes) -> tuple[bytes, int, int] | None:
        if body[_PROTOCOL_AT] != protocol or body[_TABLE_AT] != octet or body[0] != family:
            return None
        if body[_RTMSG.size : start] != head:
            values = chosen(body, _PLACE, _RTMSG.size)
            if octet == RT_TABLE_COMPAT and _number(values, RTA_TABLE) != table:
                return None
            return values.get(RTA_DST, b""), body[_LENGTH_AT], _metric(values)
        rest = body[end:]
        metric = metrics.get(rest)
        if metric is None:
            if len(metrics) >= KINDS:
                metrics.clear()
            metric = metrics[rest] = _metric(chosen(rest, _PLACE))
        return body[start:end], body[_LENGTH_AT], metric

    return read


def _metric(values: Mapping[int, bytes]) -> int:
    return _number(values, RTA_PRIORITY)


def _number(values: Mapping[int, bytes], kind: int) -> int:
    return int.from_bytes(values.get(kind, b""), sys.byteorder)


def _octet(table: int) -> int:
    """What an rtmsg has of a table's number."""
    return table if table < 256 else RT_TABLE_COMPAT
