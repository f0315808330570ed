"""The largest superframes that an interface sends and makes."""

import socket
import struct

from nfxlat.lab.netns import Namespace
from nfxlat.netlink.connection import Connection
from nfxlat.wire.netlink import NETLINK_ROUTE, NLM_F_ACK, NLM_F_REQUEST, message, u32

RTM_NEWLINK = 16
# IFLA_GSO_MAX_SIZE, IFLA_GRO_MAX_SIZE, IFLA_GSO_IPV4_MAX_SIZE, IFLA_GRO_IPV4_MAX_SIZE (linux/if_link.h)
LIMITS = (41, 58, 63, 64)


def allow(namespace: Namespace, interface: str, size: int) -> bool:
    """Let superframes of `size` octets through an interface; whether the kernel knows all the limits (Linux 6.3)."""
    with namespace.entered(), Connection(NETLINK_ROUTE) as connection:
        head = struct.pack("=BxHiII", 0, 0, socket.if_nametoindex(interface), 0, 0)
        return all(
            connection.request(message(RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK, 1, head + u32(limit, size))) == 0
            for limit in LIMITS
        )
