"""nfnetlink_queue messages (linux/netfilter/nfnetlink_queue.h): the octets that configure a queue and judge packets.

Every message is netlink's header, an nfgenmsg whose resource is the queue, and attributes with numbers in network order
(`netlink`). Only requests are built here; packets are taken apart where they are received (`datapath.nfqueue`), in
place.
"""

import struct

from nfxlat.wire import netlink
from nfxlat.wire.netlink import (
    NFGENMSG_SIZE,
    NFNL_SUBSYS_QUEUE,
    NLM_F_ACK,
    NLM_F_REQUEST,
    attribute,
    be32,
    message,
    nfgenmsg,
)

MSG_PACKET, MSG_VERDICT, MSG_CONFIG, MSG_VERDICT_BATCH = 0, 1, 2, 3
TYPE_PACKET, TYPE_VERDICT, TYPE_CONFIG, TYPE_VERDICT_BATCH = (
    NFNL_SUBSYS_QUEUE << 8 | kind for kind in (MSG_PACKET, MSG_VERDICT, MSG_CONFIG, MSG_VERDICT_BATCH)
)
HEADER_SIZE = netlink.HEADER_SIZE + NFGENMSG_SIZE

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
SKB_CSUMNOTREADY = 1  # a checksum is unfinished; where it starts (an inner header, in a tunnel) is not told
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
COPY_RANGE = 65531  # octets of payload: the most that a 16-bit attribute length allows
F_FAIL_OPEN, F_CONNTRACK, F_GSO, F_UID_GID = 1, 2, 4, 8

# netfilter verdicts and hooks (linux/netfilter.h)
NF_DROP, NF_ACCEPT, NF_QUEUE = 0, 1, 3
QUEUE_NUMBER_SHIFT = 16  # NF_QUEUE_NR: the queue's number is the high half of the verdict
PREROUTING, LOCAL_IN, FORWARD, LOCAL_OUT, POSTROUTING = range(5)

NFQA_VERDICT_HDR = 2
VERDICT_ID_AT = HEADER_SIZE + 8  # in a verdict message: behind the attribute's header and the verdict

_VERDICT = struct.Struct("!II")
_VERDICT_HEAD = attribute(NFQA_VERDICT_HDR, bytes(_VERDICT.size))[: -_VERDICT.size]


def config(queue: int, *attributes: bytes) -> bytes:
    """A configuration request that is answered (NLM_F_ACK)."""
    return message(TYPE_CONFIG, NLM_F_REQUEST | NLM_F_ACK, 0, nfgenmsg(0, queue) + b"".join(attributes))


def config_command(command: int) -> bytes:
    """struct nfqnl_msg_config_cmd: command, padding, protocol family (unused since 3.8)."""
    return attribute(NFQA_CFG_CMD, struct.pack("!BBH", command, 0, 0))


def config_copy(copy_range: int) -> bytes:
    """struct nfqnl_msg_config_params: whole packets up to `copy_range` octets (65531 at most)."""
    return attribute(NFQA_CFG_PARAMS, struct.pack("!IB", copy_range, COPY_PACKET))


def config_maxlen(packets: int) -> bytes:
    """How many packets may wait for their verdict."""
    return be32(NFQA_CFG_QUEUE_MAXLEN, packets)


def config_flags(flags: int, mask: int) -> bytes:
    """Set the flags in `mask` to `flags`."""
    return be32(NFQA_CFG_FLAGS, flags) + be32(NFQA_CFG_MASK, mask)


def verdict(queue: int, verdict_: int, packet_id: int, *, batch: bool) -> bytes:
    """The verdict for one packet, or (batch) for all packets with an id up to `packet_id`."""
    body = nfgenmsg(0, queue) + _VERDICT_HEAD + _VERDICT.pack(verdict_, packet_id)
    return message(TYPE_VERDICT_BATCH if batch else TYPE_VERDICT, NLM_F_REQUEST, 0, body)
