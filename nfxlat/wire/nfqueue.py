"""nfnetlink_queue messages (linux/netfilter/nfnetlink_queue.h): the octets that configure a queue and judge packets.

Every message is one netlink header, one nfgenmsg, and attributes of (length, type) in host order, padded to 4 octets:

    0        4     6     8         12       16       17       18         20
    | length | type | flags | sequence | port id | family | version | res_id | attributes ...
      host     host   host    host       host      u8       u8        network

Queue attributes hold numbers in network order. Only requests are built here; packets are taken apart where they are
received (`datapath.netlink`), in place.
"""

import struct
from collections.abc import Iterable, Iterator

NETLINK_NETFILTER = 12
SUBSYSTEM_QUEUE = 3
MSG_PACKET, MSG_VERDICT, MSG_CONFIG, MSG_VERDICT_BATCH = 0, 1, 2, 3
TYPE_PACKET = SUBSYSTEM_QUEUE << 8 | MSG_PACKET

NLMSG_ERROR = 2
NLM_F_REQUEST, NLM_F_ACK = 1, 4

HEADER_SIZE = 20  # netlink header and nfgenmsg

# packet attributes
NFQA_PACKET_HDR = 1  # id u32, hw_protocol u16, hook u8
NFQA_MARK = 3
NFQA_IFINDEX_INDEV = 5
NFQA_IFINDEX_OUTDEV = 6
NFQA_PAYLOAD = 10
NFQA_CAP_LEN = 13
NFQA_SKB_INFO = 14
NFQA_PRIORITY = 21

# NFQA_SKB_INFO
SKB_CSUMNOTREADY = 1  # the checksum field holds the folded pseudo-header sum
SKB_GSO = 2
SKB_CSUM_NOTVERIFIED = 4

# configuration attributes
NFQA_CFG_CMD = 1
NFQA_CFG_PARAMS = 2
NFQA_CFG_QUEUE_MAXLEN = 3
NFQA_CFG_MASK = 4
NFQA_CFG_FLAGS = 5
CMD_BIND, CMD_UNBIND = 1, 2
COPY_PACKET = 2
F_FAIL_OPEN, F_CONNTRACK, F_GSO, F_UID_GID = 1, 2, 4, 8

# netfilter verdicts and hooks (linux/netfilter.h)
NF_DROP, NF_ACCEPT = 0, 1
PREROUTING, LOCAL_IN, FORWARD, LOCAL_OUT, POSTROUTING = range(5)

NFQA_VERDICT_HDR = 2
VERDICT_ID_AT = HEADER_SIZE + 8  # in a verdict message: behind the attribute's header and the verdict

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")


def attribute(kind: int, data: bytes) -> bytes:
    """One attribute, padded to 4 octets."""
    return _ATTRIBUTE.pack(4 + len(data), kind) + data + bytes(-len(data) % 4)


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(type, value) of each attribute in `data`, flags taken off the type; ends in front of one that is cut off."""
    at = 0
    while at + 4 <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < 4 or at + length > len(data):
            return
        yield kind & 0x3FFF, data[at + 4 : at + length]
        at += (length + 3) & ~3


def request(
    message: int,
    resource: int,
    attributes: Iterable[bytes],
    flags: int = NLM_F_REQUEST,
    subsystem: int = SUBSYSTEM_QUEUE,
) -> bytes:
    """A whole nfnetlink request; to nfnetlink_queue `message` is one of MSG_*, and `resource` the queue."""
    body = struct.pack("!BBH", 0, 0, resource) + b"".join(attributes)
    return _HEADER.pack(16 + len(body), subsystem << 8 | message, flags, 0, 0) + body


def config(queue: int, *attributes: bytes) -> bytes:
    """A configuration request that is answered (NLM_F_ACK)."""
    return request(MSG_CONFIG, queue, attributes, NLM_F_REQUEST | NLM_F_ACK)


def config_command(command: int) -> bytes:
    """struct nfqnl_msg_config_cmd: command, padding, protocol family (unused since 3.8)."""
    return attribute(NFQA_CFG_CMD, struct.pack("!BBH", command, 0, 0))


def config_copy(copy_range: int) -> bytes:
    """struct nfqnl_msg_config_params: whole packets up to `copy_range` octets (65531 at most)."""
    return attribute(NFQA_CFG_PARAMS, struct.pack("!IB", copy_range, COPY_PACKET))


def config_maxlen(packets: int) -> bytes:
    """How many packets may wait for their verdict."""
    return attribute(NFQA_CFG_QUEUE_MAXLEN, struct.pack("!I", packets))


def config_flags(flags: int, mask: int) -> bytes:
    """Set the flags in `mask` to `flags`."""
    return attribute(NFQA_CFG_FLAGS, struct.pack("!I", flags)) + attribute(NFQA_CFG_MASK, struct.pack("!I", mask))


def verdict(queue: int, verdict_: int, packet_id: int, *, batch: bool) -> bytes:
    """The verdict for one packet, or (batch) for all packets with an id up to `packet_id`."""
    data = struct.pack("!II", verdict_, packet_id)
    return request(MSG_VERDICT_BATCH if batch else MSG_VERDICT, queue, [attribute(NFQA_VERDICT_HDR, data)])


def error(answer: bytes) -> int:
    """The errno (positive, 0 for an acknowledgement) in an NLMSG_ERROR answer; -1 if it is no such message."""
    if len(answer) < 20 or _HEADER.unpack_from(answer)[1] != NLMSG_ERROR:
        return -1
    code: int = struct.unpack_from("=i", answer, 16)[0]
    return -code
