"""What connection tracking holds of the marked flow, asked over nfnetlink (ctnetlink), and what it says of packets.

nfgenmsg (family)  CTA_TUPLE_ORIG* { CTA_TUPLE_PROTO* { CTA_PROTO_NUM, _SRC_PORT, _DST_PORT } }, CTA_STATUS
"""

from __future__ import annotations

import os
import socket

from nfxlat.lab.matrix.packets import PORT
from nfxlat.lab.netns import Namespace
from nfxlat.netlink.connection import Connection
from nfxlat.wire.netlink import (
    NETLINK_NETFILTER,
    NFGENMSG_SIZE,
    NFNL_SUBSYS_CTNETLINK,
    NLM_F_ACK,
    NLM_F_REQUEST,
    attributes,
    message,
    nfgenmsg,
)
from nfxlat.wire.transport import UDP

_GET, _DELETE = (NFNL_SUBSYS_CTNETLINK << 8 | kind for kind in (1, 2))  # IPCTNL_MSG_CT_*
_TUPLE_ORIG, _STATUS = 1, 3
_TUPLE_PROTO, _PROTO_NUM, _DST_PORT = 2, 1, 3
_SEEN_REPLY = 2  # IPS_SEEN_REPLY


def flush(namespace: Namespace) -> None:
    """Forget everything."""
    with namespace.entered(), Connection(NETLINK_NETFILTER) as connection:
        if code := connection.request(message(_DELETE, NLM_F_REQUEST | NLM_F_ACK, 0, nfgenmsg(0))):
            raise OSError(code, os.strerror(code), "ctnetlink")


def entries(namespace: Namespace) -> list[str]:
    """The marked flow's entries, in order: "IPv4 replied", "IPv6 unreplied"."""
    with namespace.entered(), Connection(NETLINK_NETFILTER) as connection:
        return sorted(connection.dump(_GET, nfgenmsg(0), _entry))


def _entry(body: bytes) -> str | None:
    values = dict(attributes(body, NFGENMSG_SIZE))
    proto = dict(attributes(dict(attributes(values[_TUPLE_ORIG]))[_TUPLE_PROTO]))
    if proto[_PROTO_NUM][0] != UDP or int.from_bytes(proto[_DST_PORT], "big") != PORT:
        return None
    family = "IPv6" if body[0] == socket.AF_INET6 else "IPv4"
    replied = int.from_bytes(values[_STATUS], "big") & _SEEN_REPLY
    return f"{family} {'replied' if replied else 'unreplied'}"
