"""Routes by the thousand: messages packed by hand, many to a system call (linux/rtnetlink.h).

    nlmsghdr  rtmsg  RTA_DST, RTA_PRIORITY, RTA_OIF, RTA_PREFSRC, RTA_METRICS { RTAX_MTU }

One after the other through pyroute2, 100,000 prefixes with two routes each take two minutes.
"""

import socket
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26
NLMSG_ERROR, NLMSG_DONE = 2, 3
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 0x1, 0x4, 0x300
NLM_F_REPLACE, NLM_F_EXCL, NLM_F_CREATE = 0x100, 0x200, 0x400
RTA_DST, RTA_OIF, RTA_PRIORITY, RTA_PREFSRC, RTA_METRICS = 1, 4, 6, 7, 8
RTAX_MTU = 2
RTN_UNICAST, RTN_UNREACHABLE, RT_SCOPE_LINK, RT_SCOPE_UNIVERSE = 1, 7, 253, 0
RT_TABLE_MAIN = 254
SO_RCVBUFFORCE = 33
MESSAGES_A_CALL = 256  # each may be answered by an error, and there must be room for them all

_HEADER = struct.Struct("=IHHII")
_RTMSG = struct.Struct("=BBBBBBBBI")
_ATTRIBUTE = struct.Struct("=HH")
_U32 = struct.Struct("=I")


@dataclass(frozen=True, slots=True)
class Request:
    """A route as a message has it: `interface` 0 stands for unreachable, `mtu` 0 for the device's own."""

    family: int
    destination: bytes
    length: int
    metric: int
    protocol: int
    interface: int = 0
    mtu: int = 0
    source: bytes = b""

    def message(self, kind: int, flags: int, sequence: int) -> bytes:
        route, scope = (RTN_UNICAST, RT_SCOPE_LINK) if self.interface else (RTN_UNREACHABLE, RT_SCOPE_UNIVERSE)
        body = _RTMSG.pack(self.family, self.length, 0, 0, RT_TABLE_MAIN, self.protocol, scope, route, 0)
        if self.length:
            body += _attribute(RTA_DST, self.destination)
        body += _attribute(RTA_PRIORITY, _U32.pack(self.metric))
        if self.interface:
            body += _attribute(RTA_OIF, _U32.pack(self.interface))
        if self.source:
            body += _attribute(RTA_PREFSRC, self.source)
        if self.mtu:
            body += _attribute(RTA_METRICS, _attribute(RTAX_MTU, _U32.pack(self.mtu)))
        return _HEADER.pack(_HEADER.size + len(body), kind, NLM_F_REQUEST | flags, sequence, 0) + body


def _attribute(kind: int, data: bytes) -> bytes:
    return _ATTRIBUTE.pack(4 + len(data), kind) + data  # all of ours are multiples of 4


def apply(kind: int, requests: Sequence[tuple[Request, int]]) -> Iterator[tuple[int, int]]:
    """Do them in order, each with its flags; (index, errno) of those that the kernel refuses, while it goes on.

    Whoever stops reading stops the rest, but for what is in the same call.
    """
    with _opened() as netlink:
        for first in range(0, len(requests), MESSAGES_A_CALL):
            some = requests[first : first + MESSAGES_A_CALL]
            last = first + len(some) - 1
            netlink.send(
                b"".join(
                    request.message(kind, flags | (NLM_F_ACK if number == last else 0), number)
                    for number, (request, flags) in enumerate(some, first)
                )
            )
            answered = first - 1
            while answered < last:
                for number, errno in _errors(netlink.recv(1 << 17)):
                    answered = number
                    if errno:
                        yield number, errno


def _errors(data: bytes) -> Iterator[tuple[int, int]]:
    at = 0
    while at < len(data):
        length, kind, _, sequence, _ = _HEADER.unpack_from(data, at)
        if kind == NLMSG_ERROR:
            yield sequence, -int(struct.unpack_from("=i", data, at + _HEADER.size)[0])
        at += (length + 3) & ~3


def routes(family: int, protocol: int) -> Iterator[tuple[bytes, int, int]]:
    """(destination, length, metric) of the main table's routes of a protocol; b"" for the default route's."""
    body = _RTMSG.pack(family, 0, 0, 0, 0, 0, 0, 0, 0)
    with _opened() as netlink:
        netlink.send(_HEADER.pack(_HEADER.size + len(body), RTM_GETROUTE, NLM_F_REQUEST | NLM_F_DUMP, 1, 0) + body)
        while True:
            data = netlink.recv(1 << 17)
            at = 0
            while at < len(data):
                length, kind, *_ = _HEADER.unpack_from(data, at)
                if kind in (NLMSG_DONE, NLMSG_ERROR):
                    return
                _, bits, _, _, table, found, *_ = _RTMSG.unpack_from(data, at + _HEADER.size)
                if found == protocol and table == RT_TABLE_MAIN:
                    destination, metric = b"", 0
                    place, end = at + _HEADER.size + _RTMSG.size, at + length
                    while place < end:
                        size, attribute = _ATTRIBUTE.unpack_from(data, place)
                        if attribute == RTA_DST:
                            destination = data[place + 4 : place + size]
                        elif attribute == RTA_PRIORITY:
                            (metric,) = _U32.unpack_from(data, place + 4)
                        place += (size + 3) & ~3
                    yield destination, bits, metric
                at += (length + 3) & ~3


def _opened() -> socket.socket:
    netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
    netlink.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
    netlink.bind((0, 0))
    return netlink
