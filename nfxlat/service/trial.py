"""`--setup` tried whole where it changes nothing: in a network namespace and a /run that are thrown away afterwards.

In a user namespace (rootless containers) and under a security policy much is refused that root can do elsewhere, and
what that is cannot be looked up.
"""

import socket
from ipaddress import IPv4Network
from pathlib import Path

from nfxlat import ipaddresses
from nfxlat.host.scratch import in_scratch
from nfxlat.netlink.connection import Connection
from nfxlat.queues import Queues
from nfxlat.service.fence import described
from nfxlat.service.setup import Setup
from nfxlat.wire.netlink import NETLINK_NETFILTER
from nfxlat.xlat.domain import Domain
from nfxlat.xlat.eamt import Eamt

FIRST = ["0", "0", "4294967295"]  # the uid_map of the machine's first user namespace (user_namespaces(7))
DOMAIN = Domain(
    "probe",
    prefix6=ipaddresses.network6("2001:db8:64::/96"),
    eamt=Eamt([(IPv4Network("192.0.2.1/32"), ipaddresses.network6("2001:db8::1/128"))]),
)


def refusal() -> str:
    """Why a set-up fails here; "" where it works. It is a host's, which leaves forwarding as it is."""
    try:
        in_scratch(_up_and_down, own_run=True)
    except Exception as error:
        return described("", error).removeprefix(": ")
    return ""


def _up_and_down() -> None:
    setup = Setup(DOMAIN, queues=Queues(), role="host", report=lambda line: None)
    try:
        setup.up()
    finally:
        setup.down()


def in_user_namespace() -> bool:
    """Whether this process is in another user namespace than the machine's first."""
    return Path("/proc/self/uid_map").read_text().split() != FIRST


def receive_buffer(wanted: int) -> int:
    """How large the receive buffer of a queue (octets) becomes here, where `wanted` is asked for."""
    with Connection(NETLINK_NETFILTER) as connection:
        connection.grow(wanted)
        return connection.socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
