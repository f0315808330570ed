"""What connection tracking holds of the marked flow, asked over nfnetlink (ctnetlink), and what it says of packets.

nfgenmsg (family)  CTA_TUPLE_ORIG* { CTA_TUPLE_PROTO* { CTA_PROTO_NUM, _SRC_PORT, _DST_PORT } }, CTA_STATUS
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator

from nfxlat.lab.matrix.packets import PORT
from nfxlat.lab.netns import Namespace
from nfxlat.wire import nfqueue as nl
from nfxlat.wire.transport import UDP

_SUBSYSTEM_CTNETLINK, _GET, _DELETE = 1, 1, 2
_NLM_F_DUMP = 0x300
_NLMSG_DONE = 3
_TUPLE_ORIG, _STATUS = 1, 3
_TUPLE_PROTO, _PROTO_NUM, _DST_PORT = 2, 1, 3
_SEEN_REPLY = 2  # IPS_SEEN_REPLY
_HEADER = struct.Struct("=IH")


def flush(namespace: Namespace) -> None:
    """Forget everything."""
    with _open(namespace) as netlink:
        netlink.send(nl.request(_DELETE, 0, (), nl.NLM_F_REQUEST | nl.NLM_F_ACK, subsystem=_SUBSYSTEM_CTNETLINK))
        if code := nl.error(netlink.recv(4096)):
            raise OSError(code, os.strerror(code), "ctnetlink")


def _open(namespace: Namespace) -> socket.socket:
    with namespace.entered():
        netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, nl.NETLINK_NETFILTER)
    netlink.bind((0, 0))
    netlink.settimeout(10.0)
    return netlink


def entries(namespace: Namespace) -> list[str]:
    """The marked flow's entries, in order: "IPv4 replied", "IPv6 unreplied"."""
    with _open(namespace) as netlink:
        netlink.send(nl.request(_GET, 0, (), nl.NLM_F_REQUEST | _NLM_F_DUMP, subsystem=_SUBSYSTEM_CTNETLINK))
        return sorted(_entries(netlink))


def _entries(netlink: socket.socket) -> Iterator[str]:
    while True:
        data = netlink.recv(1 << 17)
        at = 0
        while at < len(data):
            length, kind = _HEADER.unpack_from(data, at)
            if kind in (_NLMSG_DONE, nl.NLMSG_ERROR):
                return
            values = dict(nl.attributes(data[at + nl.HEADER_SIZE : at + length]))
            proto = dict(nl.attributes(dict(nl.attributes(values[_TUPLE_ORIG]))[_TUPLE_PROTO]))
            if proto[_PROTO_NUM][0] == UDP and int.from_bytes(proto[_DST_PORT], "big") == PORT:
                family = "IPv6" if data[at + 16] == socket.AF_INET6 else "IPv4"
                replied = int.from_bytes(values[_STATUS], "big") & _SEEN_REPLY
                yield f"{family} {'replied' if replied else 'unreplied'}"
            at += (length + 3) & ~3
