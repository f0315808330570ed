"""Base chains that see a packet before others do (linux/netfilter/nf_tables.h, linux/netfilter.h)."""

import struct
from typing import NamedTuple

from nfxlat.nft.kernel import nf_tables
from nfxlat.nft.kernel.nf_tables import NFPROTO, NFTA_CHAIN_HOOK, NFTA_CHAIN_NAME, NFTA_CHAIN_TABLE
from nfxlat.wire.netlink import chosen

_HOOKNUM, _PRIORITY = 1, 2  # NFTA_HOOK_*
_PREROUTING, _INET_INGRESS, _NETDEV_INGRESS = 0, 5, 0
_WANTED = frozenset((NFTA_CHAIN_TABLE, NFTA_CHAIN_NAME, NFTA_CHAIN_HOOK))
_NUMBERS = frozenset((_HOOKNUM, _PRIORITY))
_FAMILIES = {number: name for name, number in NFPROTO.items()}


class BaseChain(NamedTuple):
    """A chain at prerouting, or at the ingress of an interface."""

    family: str
    table: str
    name: str
    hook: str
    priority: int

    def __str__(self) -> str:
        return f"{self.family} {self.table} {self.name} ({self.hook}, priority {self.priority})"


def ahead_of(priority: int) -> list[BaseChain]:
    """Chains at ingress, whatever their priority, and those at prerouting of a lower one, in the order of their names.

    Raises OperatorError where the kernel refuses to list them.
    """
    found = (
        _read(family, data) for family, data in nf_tables.dump(nf_tables.NFT_MSG_GETCHAIN, nf_tables.NFPROTO_UNSPEC)
    )
    return sorted(one for one in found if one and (one.hook == "ingress" or one.priority < priority))


def _read(family: int, data: bytes) -> BaseChain | None:
    """None: another hook, or a chain without one."""
    read = chosen(data, _WANTED)
    numbers = chosen(read.get(NFTA_CHAIN_HOOK, b""), _NUMBERS)
    if len(numbers) < len(_NUMBERS):
        return None
    number, priority = (struct.unpack("!i", numbers[one])[0] for one in (_HOOKNUM, _PRIORITY))
    name = _FAMILIES.get(family, "")
    hook = {
        ("netdev", _NETDEV_INGRESS): "ingress",
        ("inet", _INET_INGRESS): "ingress",
        ("inet", _PREROUTING): "prerouting",
        ("ip", _PREROUTING): "prerouting",
        ("ip6", _PREROUTING): "prerouting",
    }.get((name, number))
    table, chain = (_text(read.get(one, b"")) for one in (NFTA_CHAIN_TABLE, NFTA_CHAIN_NAME))
    return BaseChain(name, table, chain, hook, priority) if hook else None


def _text(data: bytes) -> str:
    return data.rstrip(b"\0").decode(errors="replace")
