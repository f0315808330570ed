"""Netlink messages and their attributes (linux/netlink.h), and how nfnetlink and rtnetlink frame them.

A datagram holds messages, a message a header and a body, a body mostly a fixed part and attributes:

    0        4      6       8          12        16
    | length | type | flags | sequence | port id | body, padded to 4 octets
    0        2      4
    | length | type | data, padded to 4 octets                 an attribute: its data, or more attributes (nested)

All numbers are in host order. Lengths count headers, but no padding. nfnetlink's fixed part is an nfgenmsg; it tells
its subsystems apart by the upper octet of the message type:

    0        1         2
    | family | version | resource (network order)

Rules: what is taken apart may be any octets. A length that cannot be is told by Malformed, and nothing else is raised:
a dump that is read halfway must not pass for a whole one.
"""

import struct
from collections.abc import Iterator, Sequence

NETLINK_ROUTE, NETLINK_XFRM, NETLINK_NETFILTER = 0, 6, 12

# message types
NLMSG_ERROR = 2  # int: 0 or a negative errno; then the request it answers
NLMSG_DONE = 3  # the end of a dump; int as above
NLMSG_OVERRUN = 4  # messages were lost

# flags: of all requests, of those that get something, of those that make something; of answers
NLM_F_REQUEST, NLM_F_ACK = 0x1, 0x4
NLM_F_DUMP = 0x300
NLM_F_REPLACE, NLM_F_EXCL, NLM_F_CREATE = 0x100, 0x200, 0x400
NLM_F_DUMP_INTR = 0x10  # something changed meanwhile

NLA_F_NESTED, NLA_TYPE_MASK = 0x8000, 0x3FFF

# nfnetlink (linux/netfilter/nfnetlink.h)
NFNL_SUBSYS_CTNETLINK, NFNL_SUBSYS_QUEUE, NFNL_SUBSYS_ULOG, NFNL_SUBSYS_NFTABLES = 1, 3, 4, 10
NFNL_MSG_BATCH_BEGIN, NFNL_MSG_BATCH_END = 0x10, 0x11

# groups that one may join
RTNLGRP_LINK, RTNLGRP_TC, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR = 1, 4, 5, 9  # linux/rtnetlink.h
RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE, RTNLGRP_IPV4_NETCONF, RTNLGRP_IPV6_NETCONF = 7, 11, 24, 25
NFNLGRP_NFTABLES = 7

HEADER = struct.Struct("=IHHII")
HEADER_SIZE = 16
ATTRIBUTE = struct.Struct("=HH")
NFGENMSG_SIZE = 4
_NFGENMSG = struct.Struct("!BBH")
_ATTRIBUTE_U32 = struct.Struct("=HHI")
_INT = struct.Struct("=i")

Message = tuple[int, int, int, bytes]
"""Type, flags, sequence and body of a message that was received."""
Request = tuple[int, int, bytes]
"""Type (in a batch: without the subsystem), flags beside NLM_F_REQUEST, and body of one that is to be sent."""


class Malformed(ValueError):
    """Octets that are no netlink message, or no row of attributes."""


def message(kind: int, flags: int, sequence: int, body: bytes) -> bytes:
    """One message. Bodies are made of attributes, and so need no padding."""
    return HEADER.pack(HEADER_SIZE + len(body), kind, flags, sequence, 0) + body


def messages(datagram: bytes) -> Iterator[Message]:
    """Each message of a datagram. Raises Malformed where one is cut off."""
    at, end, unpack = 0, len(datagram), HEADER.unpack_from
    while at + HEADER_SIZE <= end:
        length, kind, flags, sequence, _ = unpack(datagram, at)
        stop = at + length
        if length < HEADER_SIZE or stop > end:
            raise Malformed(f"message of {length} octets at {at} of {end}")
        yield kind, flags, sequence, datagram[at + HEADER_SIZE : stop]
        at = stop + 3 & ~3
    if at < end:
        raise Malformed(f"{end - at} octets at {at} are no message")


def errno_of(body: bytes) -> int:
    """The errno in the body of a NLMSG_ERROR or NLMSG_DONE, positive; 0 for an acknowledgement. Raises Malformed."""
    if len(body) < _INT.size:
        raise Malformed(f"answer of {len(body)} octets")
    return -int(_INT.unpack_from(body)[0])


def attribute(kind: int, data: bytes) -> bytes:
    """One attribute. Raises Malformed where `data` has more than the 65531 octets that one can hold."""
    length = 4 + len(data)
    if length > 0xFFFF:
        raise Malformed(f"attribute {kind} of {len(data)} octets")
    return ATTRIBUTE.pack(length, kind) + data + bytes(-length % 4)


def nested(kind: int, *attributes: bytes) -> bytes:
    """An attribute of attributes."""
    return attribute(kind | NLA_F_NESTED, b"".join(attributes))


def string(kind: int, text: str) -> bytes:
    """A zero-terminated string."""
    return attribute(kind, text.encode() + b"\0")


def u32(kind: int, value: int) -> bytes:
    """A number in host order, as rtnetlink has them."""
    return _ATTRIBUTE_U32.pack(8, kind, value)


def be32(kind: int, value: int) -> bytes:
    """A number in network order, as netfilter has them."""
    return ATTRIBUTE.pack(8, kind) + value.to_bytes(4, "big")


def attributes(data: bytes, at: int = 0) -> Iterator[tuple[int, bytes]]:
    """Type, without flags, and data of each attribute from octet `at` on. Raises Malformed where one is cut off."""
    end, unpack = len(data), ATTRIBUTE.unpack_from
    while at + 4 <= end:
        length, kind = unpack(data, at)
        if not 4 <= length <= end - at:
            raise Malformed(f"attribute of {length} octets at {at} of {end}")
        yield kind & NLA_TYPE_MASK, data[at + 4 : at + length]
        at += (length + 3) & ~3
    if at < end:
        raise Malformed(f"{end - at} octets at {at} are no attribute")


def chosen(data: bytes, kinds: frozenset[int], at: int = 0) -> dict[int, bytes]:
    """Data of the `attributes` whose type is in `kinds`, the first of each. Raises Malformed.

    It takes half their time, and looks at nothing behind the last that is wanted.
    """
    found, end, unpack, stop = dict[int, bytes](), len(data), ATTRIBUTE.unpack_from, at
    wanted = len(kinds)
    try:
        while at < end:
            length, kind = unpack(data, at)
            if length < 4:
                raise Malformed(f"attribute of {length} octets at {at}")
            stop = at + length
            kind &= NLA_TYPE_MASK
            if kind in kinds and kind not in found:
                found[kind] = data[at + 4 : stop]
                if len(found) == wanted:
                    break
            at = stop + 3 & ~3
    except struct.error:
        raise Malformed(f"{end - at} octets at {at} are no attribute") from None
    if stop > end:  # only the last one can be cut off
        raise Malformed(f"attributes of {stop} octets in {end}")
    return found


def nfgenmsg(family: int, resource: int = 0) -> bytes:
    """What nfnetlink's bodies begin with; what `resource` numbers depends on the subsystem."""
    return _NFGENMSG.pack(family, 0, resource)


def batch(subsystem: int, requests: Sequence[Request]) -> bytes:
    """One transaction of an nfnetlink subsystem, answered by the first error, or by one acknowledgement."""
    frame = nfgenmsg(0, subsystem)
    last = len(requests)
    parts = [message(NFNL_MSG_BATCH_BEGIN, NLM_F_REQUEST, 0, frame)]
    for number, (kind, flags, body) in enumerate(requests, 1):
        flags |= NLM_F_REQUEST | (NLM_F_ACK if number == last else 0)
        parts.append(message(subsystem << 8 | kind, flags, number, body))
    parts.append(message(NFNL_MSG_BATCH_END, NLM_F_REQUEST, last + 1, frame))
    return b"".join(parts)
