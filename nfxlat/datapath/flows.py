"""What the fast path has learnt of pairs of addresses.

Kept in two generations: when the younger is full it becomes the elder, and what is still in use moves on. So memory is
bounded, and a flood of new addresses does not displace a pair that is in use.
"""

from collections.abc import Collection
from typing import NamedTuple

from nfxlat.xlat.translator import Translator


class Flow(NamedTuple):
    """A learnt pair: the template, and what this node has to do with its addresses."""

    addresses: bytes  # source and destination of the result
    delta: int  # to be added to the complement of a checksum
    pseudo: int  # folded sum of the result's addresses
    traffic_class: bytes  # what each octet becomes
    local_source: bool  # the source is an address of this node
    extra_hop: int  # 1: the result is for this node, so that no forwarding will decrement
    destination: bytes


def flow_of(translator: Translator, local: Collection[bytes], pair: bytes) -> Flow | None:
    """What the core teaches of a pair, where `local` are this node's addresses; None: it has to see every packet."""
    template = translator.template(pair)
    if template is None:
        return None
    if (own := pair[len(pair) // 2 :]) in local and translator.keeps(own):
        return None  # not ours
    half = len(template.addresses) // 2
    source, destination = template.addresses[:half], template.addresses[half:]
    if source in local:
        return None  # such a result leaves by the raw socket (accept_local, rp_filter)
    return Flow(
        template.addresses,
        template.delta,
        template.pseudo,
        template.traffic_class,
        pair[: len(pair) // 2] in local,
        int(destination in local),
        destination,
    )


class Flows:
    """`translator` teaches; `local` is the set of this node's addresses (packed); `generation`: pairs in one."""

    def __init__(self, translator: Translator, local: Collection[bytes], generation: int) -> None:
        self._translator, self._local = translator, local
        self._generation = generation
        self.young: dict[bytes, Flow | None] = {}  # the fast path looks here itself, and calls `find` where nothing is
        self._old: dict[bytes, Flow | None] = {}

    def __len__(self) -> int:
        return len(self.young) + len(self._old)

    def find(self, pair: bytes) -> Flow | None:
        """What is known of the pair, else what the core teaches of it; None: the core has to see every packet.

        `young` may be another dictionary afterwards.
        """
        if pair in self.young:
            return None
        flow = self._old[pair] if pair in self._old else flow_of(self._translator, self._local, pair)
        if len(self.young) >= self._generation:
            self._old, self.young = self.young, {}
        self.young[pair] = flow
        return flow
