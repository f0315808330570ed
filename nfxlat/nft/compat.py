"""Insert a queue rule as xtables' NFQUEUE target, for kernels that have xt_NFQUEUE but not nft's own `queue`.

libnftables can list such a rule but not load it, so it goes over nfnetlink: one batch with one NFT_MSG_NEWRULE.

    nlmsghdr  nfgenmsg (family, version 0, res_id)  attributes (linux/netfilter/nf_tables.h), nested ones marked *
                NFTA_RULE_TABLE        name, zero-terminated
                NFTA_RULE_CHAIN        name
                NFTA_RULE_EXPRESSIONS* NFTA_LIST_ELEM* { NFTA_EXPR_NAME "target",
                                         NFTA_EXPR_DATA* { NFTA_TARGET_NAME "NFQUEUE", _REV, _INFO } }
                NFTA_RULE_USERDATA     nft's comment: type, length, text

NFTA_TARGET_INFO is struct xt_NFQ_info_v3 (linux/netfilter/xt_NFQUEUE.h), padded to 8 octets:

    0          2              4       6
    | queuenum | queues_total | flags | padding
      u16 host   u16 host       u16 host: 1 bypass, 2 by processor
"""

import os
import socket
import struct

from nfxlat.errors import OperatorError

NETLINK_NETFILTER = 12
NFNL_SUBSYS_NFTABLES = 10
NFNL_MSG_BATCH_BEGIN, NFNL_MSG_BATCH_END = 0x10, 0x11
NFT_MSG_NEWRULE, NFT_MSG_GETRULE = 6, 7
NLMSG_ERROR, NLMSG_DONE = 2, 3
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP, NLM_F_CREATE = (
    0x1,
    0x4,
    0x300,
    0x400,
)  # without NLM_F_APPEND: in front of the chain
NLA_F_NESTED = 0x8000

NFTA_RULE_TABLE, NFTA_RULE_CHAIN, NFTA_RULE_EXPRESSIONS, NFTA_RULE_USERDATA = 1, 2, 4, 7
NFTA_LIST_ELEM = 1
NFTA_EXPR_NAME, NFTA_EXPR_DATA = 1, 2
NFTA_TARGET_NAME, NFTA_TARGET_REV, NFTA_TARGET_INFO = 1, 2, 3
UDATA_COMMENT = 0  # libnftnl/udata.h

FAMILIES = {"inet": 1, "ip": 2, "ip6": 10}  # NFPROTO_INET, NFPROTO_IPV4, NFPROTO_IPV6
REVISION = 3  # of the NFQUEUE target

_HEADER = struct.Struct("=IHHII")


def _attribute(kind: int, data: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


def _string(kind: int, text: str) -> bytes:
    return _attribute(kind, text.encode() + b"\0")


def _nested(kind: int, *attributes: bytes) -> bytes:
    return _attribute(kind | NLA_F_NESTED, b"".join(attributes))


def _message(kind: int, flags: int, sequence: int, family: int, resource: int, attributes: bytes = b"") -> bytes:
    body = struct.pack(">BBH", family, 0, resource) + attributes
    return _HEADER.pack(_HEADER.size + len(body), kind, flags, sequence, 0) + body


def queue_rule(family: str, table: str, chain: str, queue: int, comment: str) -> bytes:
    """The batch that puts `queue num QUEUE` (no bypass) in front of `chain`; it is answered by one acknowledgement."""
    info = struct.pack("=HHHxx", queue, 1, 0)
    target = (
        _string(NFTA_TARGET_NAME, "NFQUEUE"),
        _attribute(NFTA_TARGET_REV, struct.pack(">I", REVISION)),
        _attribute(NFTA_TARGET_INFO, info),
    )
    expression = _nested(NFTA_LIST_ELEM, _string(NFTA_EXPR_NAME, "target"), _nested(NFTA_EXPR_DATA, *target))
    text = comment.encode() + b"\0"
    rule = (
        _string(NFTA_RULE_TABLE, table)
        + _string(NFTA_RULE_CHAIN, chain)
        + _nested(NFTA_RULE_EXPRESSIONS, expression)
        + _attribute(NFTA_RULE_USERDATA, bytes((UDATA_COMMENT, len(text))) + text)
    )
    flags = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_ACK
    return (
        _message(NFNL_MSG_BATCH_BEGIN, NLM_F_REQUEST, 0, 0, NFNL_SUBSYS_NFTABLES)
        + _message(NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWRULE, flags, 1, FAMILIES[family], 0, rule)
        + _message(NFNL_MSG_BATCH_END, NLM_F_REQUEST, 2, 0, NFNL_SUBSYS_NFTABLES)
    )


def insert_queue_rule(family: str, table: str, chain: str, queue: int, comment: str) -> None:
    """Put the rule in front of the chain. Raises OperatorError where there is no such chain, or no NFQUEUE target."""
    with _open() as netlink:
        netlink.send(queue_rule(family, table, chain, queue, comment))
        errno = _answer(netlink.recv(65536))
    if errno:
        raise OperatorError(
            f"the kernel refused the NFQUEUE target: {os.strerror(errno)}",
            where=f"rules {family} {table} {chain}",
            hint="it needs nft_queue, or nft_compat and xt_NFQUEUE (CONFIG_NETFILTER_XT_TARGET_NFQUEUE)",
        )


def queues(family: str, table: str, chain: str) -> list[int]:
    """The queues of the chain's NFQUEUE targets, in order; none where there is no such chain.

    libnftables lists such a rule only where iptables' extensions are installed, and with an empty text elsewhere.
    """
    body = _string(NFTA_RULE_TABLE, table) + _string(NFTA_RULE_CHAIN, chain)
    kind = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETRULE
    found: list[int] = []
    with _open() as netlink:
        netlink.send(_message(kind, NLM_F_REQUEST | NLM_F_DUMP, 1, FAMILIES[family], 0, body))
        while True:
            answer = netlink.recv(1 << 17)
            at = 0
            while at < len(answer):
                length, kind, *_ = _HEADER.unpack_from(answer, at)
                if kind in (NLMSG_DONE, NLMSG_ERROR):
                    return found
                info = answer.find(_string(NFTA_TARGET_NAME, "NFQUEUE"), at, at + length)
                if info >= 0:  # behind the name: the revision, then the target's own structure
                    found.append(int(struct.unpack_from("=H", answer, info + 12 + 8 + 4)[0]))
                at += (length + 3) & ~3


def _open() -> socket.socket:
    netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_NETFILTER)
    netlink.bind((0, 0))
    return netlink


def _answer(answer: bytes) -> int:
    """The errno of the first NLMSG_ERROR in `answer`, positive; 0 for the acknowledgement."""
    _, kind, *_ = _HEADER.unpack_from(answer)
    if kind != NLMSG_ERROR:
        raise RuntimeError(f"nfnetlink answered with message type {kind}")
    return -int(struct.unpack_from("=i", answer, _HEADER.size)[0])
