"""Layouts of queue messages: which attributes a message has, how long they are, and in which order.

The kernel writes the messages of one kind of traffic all alike (net/netfilter/nfnetlink_queue.c,
nfqnl_build_packet_message): they differ in the packet, its id and its priority. So a layout is learnt from one message,
attribute by attribute, and of those that follow one call reads all. What tells that a message has this layout, the
heads of its attributes, also holds the values that a translator asks for, so it is looked up once for both.
"""

import struct
from collections.abc import Callable
from typing import Any, NamedTuple

from nfxlat.datapath.source import Kind
from nfxlat.wire import nfqueue as nl
from nfxlat.wire.netlink import ATTRIBUTE

_SECOND_ATTRIBUTE = nl.HEADER_SIZE + 12  # behind NFQA_PACKET_HDR, 4 + 7 octets, padded
_word = struct.Struct("=I").unpack_from
_attribute = ATTRIBUTE.unpack_from
_number = struct.Struct("!I").unpack_from

Key = tuple[bytes, ...]
Read = Callable[[bytearray, int], tuple[Any, ...]]


class Layout(NamedTuple):
    """One layout, and the kinds of packets that were seen in it."""

    read: Read
    """(buffer, start of the message) -> its length, its type, packet id (4 octets), *key, size and type of payload."""
    payload: int  # octet of the message where NFQA_PAYLOAD starts, its header included
    priority: int  # octet where the value of NFQA_PRIORITY starts, 0 if there is none
    kinds: dict[Key, Kind]
    form: str  # the format of `read`


def learn(buffer: bytearray, start: int) -> tuple[Layout, Kind]:
    """The layout of the packet message at `start`, as far as its payload, or its end if it has none; and its kind."""
    (length,) = _word(buffer, start)
    at, end = _SECOND_ATTRIBUTE, length - 4
    alike, gap, form = 4, 0, f"=IH{nl.HEADER_SIZE - 2}x4s"  # the key begins with protocol and hook
    found, whole = dict[int, int](), True
    while at <= end:
        size, kind = _attribute(buffer, start + at)
        room = max(0, (size + 3 & ~3) - 4)  # octets behind the attribute's header, padded
        if kind == nl.NFQA_PAYLOAD or at + room > end:
            break
        if gap:
            form += f"{alike}s{gap}x"
            alike = gap = 0
        alike += 4
        if room == 4 and kind in (nl.NFQA_IFINDEX_INDEV, nl.NFQA_SKB_INFO):
            alike += 4
        else:
            gap = room
        if room == 4:
            found[kind] = at + 4
        whole = whole and kind != nl.NFQA_CAP_LEN
        at += 4 + room
    form += f"{alike}s{gap}xHH"
    indev, skb_info = (
        _number(buffer, start + found[kind])[0] if kind in found else 0
        for kind in (nl.NFQA_IFINDEX_INDEV, nl.NFQA_SKB_INFO)
    )
    read = struct.Struct(form).unpack_from
    told = Kind(buffer[start + nl.HEADER_SIZE + 10], indev, skb_info, whole)
    layout = Layout(read, at, found.get(nl.NFQA_PRIORITY, 0), {read(buffer, start)[3:-2]: told}, form)
    return layout, told
