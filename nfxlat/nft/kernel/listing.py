"""What is loaded, read from the kernel itself: rules by table, chain and comment, and the queues that rules lead to.

libnftables lists a compat rule with an empty text where iptables' extensions are missing, and every element of every
set. Here a rule is what identifies it.
"""

import struct
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from nfxlat.nft.kernel import nf_tables
from nfxlat.nft.kernel.nf_tables import (
    FAMILY_NAMES,
    NFPROTO_UNSPEC,
    NFT_MSG_GETCHAIN,
    NFT_MSG_GETRULE,
    NFT_MSG_GETTABLE,
    NFT_TABLE_F_DORMANT,
    NFTA_CHAIN_HOOK,
    NFTA_CHAIN_NAME,
    NFTA_CHAIN_POLICY,
    NFTA_CHAIN_TABLE,
    NFTA_EXPR_DATA,
    NFTA_EXPR_NAME,
    NFTA_LIST_ELEM,
    NFTA_QUEUE_NUM,
    NFTA_QUEUE_TOTAL,
    NFTA_RULE_CHAIN,
    NFTA_RULE_EXPRESSIONS,
    NFTA_RULE_TABLE,
    NFTA_RULE_USERDATA,
    NFTA_TABLE_FLAGS,
    NFTA_TABLE_NAME,
    NFTA_TARGET_INFO,
    NFTA_TARGET_NAME,
    UDATA_COMMENT,
    text,
)
from nfxlat.wire.netlink import attributes, string

_STATEFUL = (b"counter\0", b"limit\0", b"quota\0", b"last\0", b"connlimit\0")

Identities = Counter[tuple[str, str, str, str]]  # how often each is there: several rules may have the same


@dataclass(frozen=True, slots=True)
class LoadedRule:
    """A rule as it is loaded. `queues`: of the queue statements in it; `code`: its expressions, less what counts."""

    family: str
    table: str
    chain: str
    comment: str
    queues: tuple[int, ...]
    code: bytes

    @property
    def identity(self) -> tuple[str, str, str, str]:
        return self.family, self.table, self.chain, self.comment


def rules(family: str | None = None, table: str | None = None) -> list[LoadedRule]:
    """All rules of a table, or of all tables of all families, in order."""
    number = NFPROTO_UNSPEC if family is None else nf_tables.NFPROTO[family]
    body = b"" if table is None else string(NFTA_RULE_TABLE, table)
    return [_rule(kind, data) for kind, data in nf_tables.dump(NFT_MSG_GETRULE, number, body)]


def identities(found: Iterable[LoadedRule]) -> Identities:
    return Counter(rule.identity for rule in found)


def fingerprint(tables: Iterable[tuple[str, str]]) -> int:
    """A number that stands for all base chains and rules of the tables, less what counts."""
    told: list[object] = []
    for family, table in tables:
        told += [(rule.identity, rule.code) for rule in rules(family, table)]
        chains = [_chain(data) for _, data in nf_tables.dump(NFT_MSG_GETCHAIN, nf_tables.NFPROTO[family])]
        told += sorted(chain for chain in chains if chain[0] == table.encode() + b"\0" and chain[2])
    return zlib.crc32(repr(told).encode())


def dormant() -> set[tuple[str, str]]:
    """(family, name) of tables whose chains see no packets (`flags dormant`)."""
    found = set()
    for family, data in nf_tables.dump(NFT_MSG_GETTABLE, NFPROTO_UNSPEC):
        values = dict(attributes(data))
        if int.from_bytes(values.get(NFTA_TABLE_FLAGS, b""), "big") & NFT_TABLE_F_DORMANT:
            found.add((FAMILY_NAMES.get(family, str(family)), text(values.get(NFTA_TABLE_NAME, b""))))
    return found


def _chain(data: bytes) -> list[bytes]:
    found = dict(attributes(data))
    return [found.get(kind, b"") for kind in (NFTA_CHAIN_TABLE, NFTA_CHAIN_NAME, NFTA_CHAIN_HOOK, NFTA_CHAIN_POLICY)]


def _rule(family: int, data: bytes) -> LoadedRule:
    table = chain = comment = ""
    queues: list[int] = []
    code = []
    for kind, value in attributes(data):
        if kind == NFTA_RULE_TABLE:
            table = text(value)
        elif kind == NFTA_RULE_CHAIN:
            chain = text(value)
        elif kind == NFTA_RULE_USERDATA:
            comment = _comment(value)
        elif kind == NFTA_RULE_EXPRESSIONS:
            for _, expression in (
                (kind, dict(attributes(e))) for kind, e in attributes(value) if kind == NFTA_LIST_ELEM
            ):
                name = expression.get(NFTA_EXPR_NAME, b"")
                details = expression.get(NFTA_EXPR_DATA, b"")
                queues += _queues(name, details)
                code += [name, b"" if name in _STATEFUL else details]
    return LoadedRule(FAMILY_NAMES.get(family, str(family)), table, chain, comment, tuple(queues), b"".join(code))


def _queues(name: bytes, details: bytes) -> Iterator[int]:
    found = dict(attributes(details)) if name in (b"queue\0", b"target\0") else {}
    first = total = None
    if name == b"queue\0" and NFTA_QUEUE_NUM in found:
        (first,) = struct.unpack(">H", found[NFTA_QUEUE_NUM][:2])
        (total,) = struct.unpack(">H", found.get(NFTA_QUEUE_TOTAL, b"\0\1")[:2])
    elif name == b"target\0" and found.get(NFTA_TARGET_NAME) == b"NFQUEUE\0":
        first, total = struct.unpack_from("=HH", found[NFTA_TARGET_INFO])
    if first is not None and total is not None:
        yield from range(first, first + max(total, 1))


def _comment(userdata: bytes) -> str:
    at = 0
    while at + 2 <= len(userdata):  # libnftnl's own attributes: type and length of one octet each
        kind, length = userdata[at], userdata[at + 1]
        if kind == UDATA_COMMENT:
            return text(userdata[at + 2 : at + 2 + length])
        at += 2 + length
    return ""
