"""Base chains that see packets of IP (linux/netfilter/nf_tables.h, linux/netfilter.h, linux/netfilter_netdev.h)."""

import struct
from collections.abc import Collection, Iterator
from typing import Final, NamedTuple

from nfxlat.nft.kernel import listing, nf_tables
from nfxlat.nft.kernel.nf_tables import (
    FAMILY_NAMES,
    NFTA_CHAIN_HOOK,
    NFTA_CHAIN_NAME,
    NFTA_CHAIN_TABLE,
    NFTA_HOOK_HOOKNUM,
    NFTA_HOOK_PRIORITY,
    text,
)
from nfxlat.nft.language.chains import MARK
from nfxlat.nft.language.source import TableKey
from nfxlat.wire.netlink import chosen

_WANTED: Final = frozenset((NFTA_CHAIN_TABLE, NFTA_CHAIN_NAME, NFTA_CHAIN_HOOK))
_NUMBERS: Final = frozenset((NFTA_HOOK_HOOKNUM, NFTA_HOOK_PRIORITY))
_HOOKS: Final = dict(enumerate(("prerouting", "input", "forward", "output", "postrouting")))
_OF_FAMILY: Final = {"ip": _HOOKS, "ip6": _HOOKS, "inet": _HOOKS | {5: "ingress"}, "netdev": {0: "ingress"}}


class BaseChain(NamedTuple):
    """A chain at a hook."""

    family: str
    table: str
    name: str
    hook: str
    priority: int

    def __str__(self) -> str:
        return f"{self.family} {self.table} {self.name} ({self.hook}, priority {self.priority})"

    @property
    def key(self) -> TableKey:
        return self.family, self.table


def base_chains() -> Iterator[BaseChain]:
    """All of them, less those of dormant tables. Raises OperatorError where the kernel refuses to list them."""
    return _listed()[0]


def ahead_of(priority: int) -> list[BaseChain]:
    """Chains at ingress, whatever their priority, and those at prerouting of a lower one, in the order of their names;
    of the same one those of tables that are not nfxlat's: what was made later comes first (nf_hook_entries_grow).

    Raises OperatorError.
    """
    found, own = _listed()
    return sorted(
        one
        for one in found
        if one.hook == "ingress" or (one.hook == "prerouting" and one.priority < priority + (one.key not in own))
    )


def _listed() -> tuple[Iterator[BaseChain], set[TableKey]]:
    """Base chains, and the tables that hold a mark of nfxlat."""
    asleep, own, found = listing.dormant(), set(), []
    for number, data in nf_tables.dump(nf_tables.NFT_MSG_GETCHAIN, nf_tables.NFPROTO_UNSPEC):
        read = chosen(data, _WANTED)
        family = FAMILY_NAMES.get(number, "")
        table, chain = (text(read.get(one, b"")) for one in (NFTA_CHAIN_TABLE, NFTA_CHAIN_NAME))
        if chain.startswith(MARK):
            own.add((family, table))
        numbers = chosen(read.get(NFTA_CHAIN_HOOK, b""), _NUMBERS)
        if len(numbers) < len(_NUMBERS):  # a chain without a hook
            continue
        at, priority = (struct.unpack("!i", numbers[one])[0] for one in (NFTA_HOOK_HOOKNUM, NFTA_HOOK_PRIORITY))
        hook = _OF_FAMILY.get(family, {}).get(at)
        if hook is not None and (family, table) not in asleep:
            found.append(BaseChain(family, table, chain, hook, priority))
    return iter(found), own


def hooked(hooks: Collection[str]) -> list[tuple[str, str]]:
    """(family, name) of the tables that have a chain at one of these hooks. Raises OperatorError."""
    return list(dict.fromkeys((one.family, one.table) for one in base_chains() if one.hook in hooks))
