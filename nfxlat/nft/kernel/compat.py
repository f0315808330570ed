"""Insert a queue rule as xtables' NFQUEUE target, for kernels that have xt_NFQUEUE but not nft's own `queue`.

libnftables can list such a rule but not load it, so it goes over nfnetlink: one batch with one NFT_MSG_NEWRULE.

    NFTA_RULE_TABLE        name, zero-terminated                                  nested ones are marked *
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
import struct

from nfxlat.errors import OperatorError
from nfxlat.nft.kernel import nf_tables
from nfxlat.nft.kernel.nf_tables import (
    NFT_MSG_GETRULE,
    NFT_MSG_NEWRULE,
    NFTA_EXPR_DATA,
    NFTA_EXPR_NAME,
    NFTA_LIST_ELEM,
    NFTA_RULE_CHAIN,
    NFTA_RULE_EXPRESSIONS,
    NFTA_RULE_TABLE,
    NFTA_RULE_USERDATA,
    NFTA_TARGET_INFO,
    NFTA_TARGET_NAME,
    NFTA_TARGET_REV,
    UDATA_COMMENT,
)
from nfxlat.wire.netlink import NLM_F_CREATE, Request, attribute, be32, nested, string

REVISION = 3  # of the NFQUEUE target


def queue_rule(family: str, table: str, chain: str, queue: int, comment: str) -> Request:
    """What puts `queue num QUEUE` (no bypass) in front of `chain`."""
    info = struct.pack("=HHHxx", queue, 1, 0)
    target = (
        string(NFTA_TARGET_NAME, "NFQUEUE"),
        be32(NFTA_TARGET_REV, REVISION),
        attribute(NFTA_TARGET_INFO, info),
    )
    expression = nested(NFTA_LIST_ELEM, string(NFTA_EXPR_NAME, "target"), nested(NFTA_EXPR_DATA, *target))
    text = comment.encode() + b"\0"
    rule = (
        string(NFTA_RULE_TABLE, table)
        + string(NFTA_RULE_CHAIN, chain)
        + nested(NFTA_RULE_EXPRESSIONS, expression)
        + attribute(NFTA_RULE_USERDATA, bytes((UDATA_COMMENT, len(text))) + text)
    )
    # without NLM_F_APPEND: in front of the chain
    return nf_tables.request(NFT_MSG_NEWRULE, NLM_F_CREATE, family, rule)


def insert_queue_rule(family: str, table: str, chain: str, queue: int, comment: str) -> None:
    """Put the rule in front of the chain. Raises OperatorError where there is no such chain, or no NFQUEUE target."""
    errno = nf_tables.commit([queue_rule(family, table, chain, queue, comment)])
    if errno:
        raise OperatorError(
            f"the kernel refused the NFQUEUE target: {os.strerror(errno)}",
            where=f"rules {family} {table} {chain}",
            hint="this needs nft_queue, or nft_compat and xt_NFQUEUE (CONFIG_NETFILTER_XT_TARGET_NFQUEUE)",
        )


def queues(family: str, table: str, chain: str) -> list[int]:
    """The queues of the chain's NFQUEUE targets, in order; none where there is no such chain.

    libnftables lists such a rule only where iptables' extensions are installed, and with an empty text elsewhere.
    """
    body = string(NFTA_RULE_TABLE, table) + string(NFTA_RULE_CHAIN, chain)
    found: list[int] = []
    for _, rule in nf_tables.dump(NFT_MSG_GETRULE, nf_tables.NFPROTO[family], body):
        info = rule.find(string(NFTA_TARGET_NAME, "NFQUEUE"))
        if info >= 0:  # behind the name: the revision, then the target's own structure
            found.append(int(struct.unpack_from("=H", rule, info + 12 + 8 + 4)[0]))
    return found
