"""IPsec policies as NETLINK_XFRM lists them (linux/xfrm.h), as far as they say what may come in as plaintext.

    0              56        120       152        156     160   161      162     163     168
    | selector     | limits  | usage   | priority | index | way | action | flags | share | attributes
    0            16            32              36              40       42       43      44      48      52
    | dst        | src         | dport, mask   | sport, mask   | family | dlen   | slen  | proto | index | user |

XFRMA_TMPL is a row of templates of 64 octets, what a packet must have come out of; octet 50 says that one is optional.
"""

import struct
import sys
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import Literal

from nfxlat.ipaddresses import network6
from nfxlat.wire.netlink import chosen

MSG_GETPOLICY, MSG_NEWPOLICY, MSG_DELPOLICY = 0x15, 0x13, 0x14
GRP_POLICY = 4  # XFRMNLGRP_POLICY: told of each change
GET_ALL = bytes(64)  # struct xfrm_userpolicy_id
XFRMA_TMPL, XFRMA_MARK, XFRMA_IF_ID = 5, 21, 31
AF_INET, AF_INET6 = 2, 10
WAYS = ("in", "out", "fwd")  # XFRM_POLICY_IN, OUT, FWD
BLOCK = 1  # XFRM_POLICY_BLOCK
_SELECTOR = struct.Struct("=16s16s2s2s2s2sHBBB")
_PRIORITY, _WAY, _ATTRIBUTES = 152, 160, 168
_TEMPLATE_SIZE, _OPTIONAL = 64, 50
_MARK = struct.Struct("=II")
_KINDS = frozenset((XFRMA_TMPL, XFRMA_MARK, XFRMA_IF_ID))

Port = tuple[int, int]  # number and mask; a mask of 0 matches all


@dataclass(frozen=True, slots=True)
class InPolicy:
    """A policy: `verdict` is what it has for plaintext ("ipsec": it has to come out of a security association).

    The lowest `priority` decides. `protocol` 0 is any; a mask of 0 matches all.
    """

    way: str
    priority: int
    source: IPv4Network | IPv6Network
    destination: IPv4Network | IPv6Network
    verdict: Literal["pass", "ipsec", "drop"]
    protocol: int = 0
    source_port: Port = (0, 0)
    destination_port: Port = (0, 0)
    mark: int = 0
    mark_mask: int = 0


def policy(body: bytes) -> InPolicy | None:
    """The policy of a message's body; None where it is no direction's, of neither family, or of an xfrm interface,
    which packets from others do not meet. Raises Malformed.
    """
    if len(body) < _ATTRIBUTES:
        return None
    destination, source, dport, dmask, sport, smask, family, dlength, slength, protocol = _SELECTOR.unpack_from(body)
    way, action = body[_WAY], body[_WAY + 1]
    values = chosen(body, _KINDS, _ATTRIBUTES)
    if way >= len(WAYS) or family not in (AF_INET, AF_INET6) or any(values.get(XFRMA_IF_ID, b"")):
        return None
    optional = values.get(XFRMA_TMPL, b"")[_OPTIONAL::_TEMPLATE_SIZE]
    mark, mask = _MARK.unpack_from(values.get(XFRMA_MARK, bytes(_MARK.size)))
    return InPolicy(
        WAYS[way],
        int.from_bytes(body[_PRIORITY : _PRIORITY + 4], sys.byteorder),
        _network(family, source, slength),
        _network(family, destination, dlength),
        "drop" if action == BLOCK else "pass" if all(optional) else "ipsec",
        protocol,
        (int.from_bytes(sport, "big"), int.from_bytes(smask, "big")),
        (int.from_bytes(dport, "big"), int.from_bytes(dmask, "big")),
        mark,
        mask,
    )


def _network(family: int, address: bytes, length: int) -> IPv4Network | IPv6Network:
    """A selector's prefix; the kernel does not ask for zeros behind its length."""
    if family == AF_INET:
        return IPv4Network((address[:4], min(length, 32)), strict=False)
    return network6((address, min(length, 128)), strict=False)
