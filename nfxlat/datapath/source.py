"""What a packet source is: the intercepting half of a translation point.

A source hands over a batch of packets in one buffer, with room in front of each for a longer header, and takes one
verdict for the batch: everything is dropped, because what goes on is the translated copy, but for those named.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

HEADROOM = 128  # octets in front of a packet at least: vnet header 10, Ethernet 14, IPv6 header less IPv4 header 20


class Record(NamedTuple):
    """One packet of a batch: where it is, and what the queue says of it (nfnetlink_queue attributes)."""

    start: int  # octet in the source's buffer
    length: int
    packet_id: int
    hook: int  # wire.nfnetlink.PREROUTING ...
    indev: int  # interface index, 0 if none
    skb_info: int  # SKB_CSUMNOTREADY | SKB_GSO | ...
    priority: int  # skb->priority: place of the gso_size stamp
    whole: bool  # False: the queue handed over only a part


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
