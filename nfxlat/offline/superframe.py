"""Superframes in captures: packets that no link has carried as they are.

What a sender leaves to its device to cut (TSO, USO), and what a receiver has put together (GRO), is captured in one
piece, longer than the link's MTU, or with a length of 0 in its header. Live its segments are judged; so they are here.
A capture does not tell their size, so they are cut as nfxlat run cuts without a stamp: such that every path takes them.
"""

from typing import NamedTuple

from nfxlat.datapath.superframe import cutting, safe_gso_size, segments, transport
from nfxlat.outcome import NOT_OURS, Action, Outcome, Reason, dropped
from nfxlat.wire import ipv4, ipv6, stamp
from nfxlat.wire.checksum import is_valid
from nfxlat.wire.transport import HEADER_LENGTH, TCP, UDP
from nfxlat.xlat.domain import Domain
from nfxlat.xlat.translator import Translator


class Superframe(NamedTuple):
    """One of them. `first`: its first segment, `outcome`: what became of that; `segments`: how many there are, of
    `gso_size` octets behind their headers; `no_length`: its header says 0."""

    first: bytes
    outcome: Outcome
    segments: int
    gso_size: int
    no_length: bool

    def text(self) -> str:
        """`superframe of 24 segments`"""
        what = "superframe without a length (TSO)" if self.no_length else "superframe"
        return f"{what} of {self.segments} segment{'s' if self.segments > 1 else ''}"


def judge(translator: Translator, packet: bytes, hops: int) -> tuple[Outcome, Superframe | None]:
    """What becomes of a packet, in segments where it is a superframe: the packets of all that met the fate of the
    first. Of ICMP errors there is one, the first; live there may be one a segment."""
    whole = _with_length(packet)
    length = len(packet) if whole is not None else _longer_than_its_link(packet, translator.domain)
    if not length:
        return translator.translate(packet, hops), None
    if not translator.is_ours(packet):
        return NOT_OURS, None
    octets = (packet if whole is None else whole)[:length]
    protocol, offset = transport(octets)
    header = (octets[offset + 12] >> 4) * 4 if protocol == TCP and offset + 12 < len(octets) else HEADER_LENGTH[UDP]
    priority = stamp.MAGIC | (stamp.UDP if protocol == UDP else 0) | safe_gso_size(header)
    how = cutting(octets, priority)
    if isinstance(how, Reason):
        return dropped(how), None
    if how is None:
        return translator.translate(packet, hops), None
    first, outcomes = b"", []
    for segment in segments(octets, priority):
        first = first or segment
        outcomes.append(translator.translate(segment, hops))
    action, reason, made = outcomes[0]
    if action is Action.TRANSLATED:
        made = tuple(result for outcome in outcomes if outcome.action is action for result in outcome.packets)
    found = Superframe(first, outcomes[0], len(outcomes), how.gso_size, whole is not None)
    return Outcome(action, reason, made), found


def _with_length(packet: bytes) -> bytes | None:
    """A packet of TCP or UDP whose header says 0, with its length as far as the header can hold it; None for others."""
    version = packet[0] >> 4 if packet else 0
    if version == 4 and len(packet) > ipv4.HEADER_LENGTH and not any(packet[2:4]):
        at, length = ipv4.TOTAL_LENGTH, min(len(packet), ipv4.MAX_LENGTH)
    elif version == 6 and len(packet) > ipv6.HEADER_LENGTH and not any(packet[4:6]):
        at, length = 4, min(len(packet) - ipv6.HEADER_LENGTH, 0xFFFF)
    else:
        return None
    if transport(packet)[0] not in (TCP, UDP):
        return None
    return packet[:at] + length.to_bytes(2, "big") + packet[at + 2 :]


def _longer_than_its_link(packet: bytes, domain: Domain) -> int:
    """The length of a whole datagram of TCP or UDP, sound as far as its IP header goes, that the MTU of its own side
    forbids; 0 for all others."""
    version = packet[0] >> 4 if packet else 0
    if version == 4 and len(packet) >= ipv4.HEADER_LENGTH:
        length = int.from_bytes(packet[2:4], "big")
        fragmented = int.from_bytes(packet[6:8], "big") & ipv4.FRAGMENTED
        mtu, sound = domain.mtu4, not fragmented and is_valid(packet[: (packet[0] & 15) * 4])
    elif version == 6 and len(packet) >= ipv6.HEADER_LENGTH:
        length, mtu, sound = int.from_bytes(packet[4:6], "big") + ipv6.HEADER_LENGTH, domain.mtu6, True
    else:
        return 0
    longer = mtu is not None and sound and mtu < length <= len(packet) and transport(packet)[0] in (TCP, UDP)
    return length if longer else 0
