"""What a packet source is: the intercepting half of a translation point.

A source hands over a batch of packets in one buffer, with room in front of each for a longer header, and takes one
verdict for the batch: everything is dropped, because what goes on is the translated copy, but for those named.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

HEADROOM = 128  # octets in front of a packet at least: an injector's frame, IPv6 header less IPv4 header 20

TAILROOM = 1500  # octets behind a superframe at least: its last segment with an injector's frame may be put there


class Kind(NamedTuple):
    """What a queue says of a packet, and of many others alike (nfnetlink_queue attributes)."""

    hook: int  # wire.nfqueue.PREROUTING ...
    indev: int  # interface index, 0 if none
    skb_info: int = 0  # SKB_CSUMNOTREADY | SKB_GSO | ...
    whole: bool = True  # False: the queue handed over only a part


Record = tuple[int, int, int, Kind]
"""One packet of a batch: the octet of the source's buffer where it starts, its length, skb->priority (the place of the
gso_size stamp), its kind. A plain tuple, since one is made for every packet."""


class Source(Protocol):
    """A queue. `buffer` and `base` (its address) stay the same for the life of the source."""

    queue: int
    buffer: bytearray
    base: int

    def fileno(self) -> int: ...

    def receive(self) -> Sequence[Record]:
        """The packets that wait, at most one batch, without blocking."""

    def pending(self) -> bool:
        """Whether more packets wait of which the descriptor does not tell."""

    def conclude(self, accepted: Sequence[int]) -> None:
        """The verdict for the batch received last: ACCEPT for the indices in `accepted` (ascending), DROP for the
        rest."""

    def close(self) -> None: ...
