"""nf_tables as the kernel speaks it (linux/netfilter/nf_tables.h): what a transaction does, and what is there.

For what libnftables cannot do, or cannot do without reading every set first. Names are the kernel's; the body
of an object is an nfgenmsg with its family, and attributes.
"""

import errno
import os
from collections.abc import Sequence

from nfxlat.errors import OperatorError
from nfxlat.netlink.connection import Connection
from nfxlat.wire.netlink import NETLINK_NETFILTER, NFGENMSG_SIZE, NFNL_SUBSYS_NFTABLES, Request, batch, chosen, nfgenmsg

NFPROTO = {"inet": 1, "ip": 2, "arp": 3, "netdev": 5, "bridge": 7, "ip6": 10}  # linux/netfilter.h
FAMILY_NAMES = {number: name for name, number in NFPROTO.items()}
NFPROTO_UNSPEC = 0

NFT_MSG_GETTABLE = 1
NFT_MSG_GETCHAIN = 4
NFT_MSG_NEWRULE, NFT_MSG_GETRULE = 6, 7
NFT_MSG_GETSET = 10
NFT_MSG_NEWSETELEM, NFT_MSG_GETSETELEM, NFT_MSG_DELSETELEM = 12, 13, 14
NOTHING = -1  # in the place of NFT_MSG_*: a message of another subsystem
NFT_MSG_NEWTABLE, NFT_MSG_DELRULE = 0, 8  # between them: tables, chains, rules
NFTA_TABLE = 1  # name of the table: NFTA_TABLE_NAME, NFTA_CHAIN_TABLE, NFTA_RULE_TABLE, NFTA_SET_ELEM_LIST_TABLE ...

NFTA_LIST_ELEM = 1
NFTA_TABLE_NAME, NFTA_TABLE_FLAGS, NFT_TABLE_F_DORMANT = 1, 2, 1
NFTA_CHAIN_TABLE, NFTA_CHAIN_NAME, NFTA_CHAIN_HOOK, NFTA_CHAIN_POLICY = 1, 3, 4, 5
NFTA_HOOK_HOOKNUM, NFTA_HOOK_PRIORITY = 1, 2
NFTA_RULE_TABLE, NFTA_RULE_CHAIN, NFTA_RULE_EXPRESSIONS, NFTA_RULE_USERDATA = 1, 2, 4, 7
NFTA_EXPR_NAME, NFTA_EXPR_DATA = 1, 2
NFTA_QUEUE_NUM, NFTA_QUEUE_TOTAL = 1, 2
NFTA_TARGET_NAME, NFTA_TARGET_REV, NFTA_TARGET_INFO = 1, 2, 3
NFTA_SET_TABLE, NFTA_SET_NAME = 1, 2
NFTA_SET_ELEM_LIST_TABLE, NFTA_SET_ELEM_LIST_SET, NFTA_SET_ELEM_LIST_ELEMENTS = 1, 2, 3
NFTA_SET_ELEM_KEY, NFTA_SET_ELEM_FLAGS = 1, 3
NFTA_DATA_VALUE = 1
NFT_SET_ELEM_INTERVAL_END = 1

UDATA_COMMENT = 0  # in a rule's userdata (libnftnl/udata.h)

_NAME = frozenset((NFTA_TABLE,))
_NOTHING_THERE = (errno.ENOENT, errno.EINVAL, errno.EOPNOTSUPP)  # no such table; no nf_tables at all


def request(kind: int, flags: int, family: str, attributes: bytes) -> Request:
    """A part of a transaction."""
    return kind, flags, nfgenmsg(NFPROTO[family]) + attributes


def commit(requests: Sequence[Request]) -> int:
    """Have the kernel do all of them or none; the errno of its refusal, 0 for none."""
    with Connection(NETLINK_NETFILTER) as connection:
        return connection.request(batch(NFNL_SUBSYS_NFTABLES, requests))


def dump(kind: int, family: int, attributes: bytes = b"") -> list[tuple[int, bytes]]:
    """(family, attributes) of every object of a NFT_MSG_GET*; none where there is no such table.

    Raises OperatorError where the kernel refuses to tell.
    """
    try:
        with Connection(NETLINK_NETFILTER) as connection:
            body = nfgenmsg(family) + attributes
            return connection.dump(NFNL_SUBSYS_NFTABLES << 8 | kind, body, _object)
    except OSError as error:
        if error.errno in _NOTHING_THERE:
            return []
        raise OperatorError(f"cannot be listed: {os.strerror(error.errno or 0)}", where="rules") from None


def change(kind: int, body: bytes) -> tuple[int, int, str]:
    """What a message of the kernel's about a change tells: NFT_MSG_*, family, table ("" where it is about none)."""
    if kind >> 8 != NFNL_SUBSYS_NFTABLES or len(body) < NFGENMSG_SIZE:
        return NOTHING, 0, ""
    name = chosen(body, _NAME, NFGENMSG_SIZE).get(NFTA_TABLE, b"")
    return kind & 0xFF, body[0], text(name)


def text(data: bytes) -> str:
    """A name, or a comment."""
    return data.rstrip(b"\0").decode(errors="replace")


def _object(body: bytes) -> tuple[int, bytes]:
    return body[0], body[NFGENMSG_SIZE:]
