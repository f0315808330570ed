"""What a packet source is: the intercepting half of a translation point.

A source hands over a batch of packets in one buffer, with room in front of each for a longer header, and takes one
verdict for the batch: everything is dropped, because what goes on is the translated copy, but for those named.

A checksum may be unfinished (SKB_CSUMNOTREADY): the packet's own transport checksum then holds the folded sum of its
pseudo-header, or the unfinished one is in an inner header of a tunnel, at an octet that only the kernel knows. The
latter goes to a queue where the kernel finishes it.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

HEADROOM = 128  # octets in front of a packet at least: an injector's frame, IPv6 header less IPv4 header 20

SLOTS = 64  # packets that one receive brings at most
TAILROOM = 1500  # octets behind a superframe at least: its last segment with an injector's frame may be put there


DROP, ACCEPT, AGAIN = range(3)  # verdicts; AGAIN: to the source's queue `plain`


class Kind(NamedTuple):
    """What a queue says of a packet, and of many others alike (nfnetlink_queue attributes)."""

    hook: int  # wire.nfqueue.PREROUTING ...
    indev: int  # interface index, 0 if none
    skb_info: int = 0  # SKB_CSUMNOTREADY | SKB_GSO | ...
    whole: bool = True  # False: the queue handed over only a part
    reassembled: bool = False  # if it is no fragment: it was put together of fragments, and a rule says so


Record = tuple[int, int, int, Kind]
"""One packet of a batch: the octet of the source's buffer where it starts, its length, skb->priority (the place of the
gso_size stamp), its kind. A plain tuple, since one is made for every packet."""


class Source(Protocol):
    """A queue. `buffer` and `base` (its address) stay the same for the life of the source."""

    queue: int
    buffer: bytearray
    base: int
    plain: int | None  # the queue that has checksums finished; None: those that come unfinished are the packet's own

    def fileno(self) -> int: ...

    def receive(self) -> Sequence[Record]:
        """The packets that wait, at most one batch (SLOTS), without blocking. The descriptor tells of the others."""

    def conclude(self, accepted: Sequence[int], again: Sequence[int] = ()) -> None:
        """The verdict for the batch received last: ACCEPT for the indices in `accepted`, the queue `plain` for those in
        `again` (both ascending), DROP for the rest."""

    def close(self) -> None: ...
