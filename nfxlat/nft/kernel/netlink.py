"""nfnetlink as nf_tables speaks it: attributes, messages, one batch as one transaction, dumps.

For what libnftables cannot do, or cannot do without reading every set first (linux/netfilter/nf_tables.h, nfnetlink.h):

    nlmsghdr  nfgenmsg (family, version 0, res_id)  attributes: length, type, data padded to 4 octets
"""

import socket
import struct
from collections.abc import Iterator, Sequence

NETLINK_NETFILTER = 12
NFNL_SUBSYS_NFTABLES = 10
NFNL_MSG_BATCH_BEGIN, NFNL_MSG_BATCH_END = 0x10, 0x11
NLMSG_ERROR, NLMSG_DONE = 2, 3
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP, NLM_F_CREATE = 0x1, 0x4, 0x300, 0x400
NLM_F_DUMP_INTR = 0x10
NLA_F_NESTED, NLA_TYPE_MASK = 0x8000, 0x3FFF
SO_SNDBUFFORCE, SO_RCVBUFFORCE = 32, 33

FAMILIES = {"inet": 1, "ip": 2, "arp": 3, "netdev": 5, "bridge": 7, "ip6": 10}  # NFPROTO_*

HEADER = struct.Struct("=IHHII")
BODY = HEADER.size + 4  # the attributes begin behind nfgenmsg
_ATTRIBUTE = struct.Struct("=HH")

Message = tuple[int, int, int, bytes]  # kind (without the subsystem), flags, family, attributes


def attribute(kind: int, data: bytes) -> bytes:
    return _ATTRIBUTE.pack(4 + len(data), kind) + data + bytes(-len(data) % 4)


def string(kind: int, text: str) -> bytes:
    return attribute(kind, text.encode() + b"\0")


def nested(kind: int, *attributes: bytes) -> bytes:
    return attribute(kind | NLA_F_NESTED, b"".join(attributes))


def message(kind: int, flags: int, sequence: int, family: int, resource: int, attributes: bytes = b"") -> bytes:
    body = struct.pack(">BBH", family, 0, resource) + attributes
    return HEADER.pack(HEADER.size + len(body), kind, flags, sequence, 0) + body


def batch(messages: Sequence[Message]) -> bytes:
    """One transaction, answered by the first error, or by one acknowledgement."""
    parts = [message(NFNL_MSG_BATCH_BEGIN, NLM_F_REQUEST, 0, 0, NFNL_SUBSYS_NFTABLES)]
    for number, (kind, flags, family, attributes) in enumerate(messages, 1):
        flags |= NLM_F_REQUEST | (NLM_F_ACK if number == len(messages) else 0)
        parts.append(message(NFNL_SUBSYS_NFTABLES << 8 | kind, flags, number, family, 0, attributes))
    parts.append(message(NFNL_MSG_BATCH_END, NLM_F_REQUEST, len(messages) + 1, 0, NFNL_SUBSYS_NFTABLES))
    return b"".join(parts)


def commit(data: bytes) -> int:
    """Have the kernel do a `batch`; the errno of its refusal, 0 for none."""
    with opened() as netlink:
        if len(data) > 100_000:  # the whole batch is one message to the socket
            netlink.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, 2 * len(data))
        netlink.send(data)
        return answer(netlink.recv(65536))


def dump(kind: int, family: int, attributes: bytes = b"") -> list[tuple[int, bytes]]:
    """(family, attributes) of every object of a NFT_MSG_GET* dump; none where there is no such table.

    A dump that a transaction interrupts is neither the state before nor the one after it, and is made again.
    """
    while True:
        found, whole = _dump(kind, family, attributes)
        if whole:
            return found


def _dump(kind: int, family: int, attributes: bytes) -> tuple[list[tuple[int, bytes]], bool]:
    found: list[tuple[int, bytes]] = []
    whole = True
    with opened() as netlink:
        netlink.send(message(NFNL_SUBSYS_NFTABLES << 8 | kind, NLM_F_REQUEST | NLM_F_DUMP, 1, family, 0, attributes))
        while True:
            data = netlink.recv(1 << 17)
            at = 0
            while at < len(data):
                length, answered, flags, *_ = HEADER.unpack_from(data, at)
                whole = whole and not flags & NLM_F_DUMP_INTR
                if answered in (NLMSG_DONE, NLMSG_ERROR):
                    return found, whole
                found.append((data[at + HEADER.size], data[at + BODY : at + length]))
                at += (length + 3) & ~3


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(type, data) of each attribute."""
    at = 0
    while at + 4 <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < 4:
            return
        yield kind & NLA_TYPE_MASK, data[at + 4 : at + length]
        at += (length + 3) & ~3


def opened() -> socket.socket:
    netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_NETFILTER)
    netlink.bind((0, 0))
    return netlink


def answer(data: bytes) -> int:
    """The errno of the first NLMSG_ERROR in `data`, positive; 0 for the acknowledgement."""
    _, kind, *_ = HEADER.unpack_from(data)
    if kind != NLMSG_ERROR:
        raise RuntimeError(f"nfnetlink answered with message type {kind}")
    return -int(struct.unpack_from("=i", data, HEADER.size)[0])
