"""Shapes of queue messages: which attributes a message has, how long they are, and in which order.

The kernel writes the messages of one kind of traffic all alike (net/netfilter/nfnetlink_queue.c,
nfqnl_build_packet_message): they differ in values and in the payload. So a shape is learnt from one message, taken
apart attribute by attribute, and the next are taken apart by two calls.
"""

import struct
from collections.abc import Callable, Sequence
from typing import NamedTuple

from nfxlat.wire import nfnetlink as nl

FIRST_ATTRIBUTE = nl.HEADER_SIZE
SECOND_ATTRIBUTE = nl.HEADER_SIZE + 12  # NFQA_PACKET_HDR is 4 + 7, padded
_VALUES = (nl.NFQA_IFINDEX_INDEV, nl.NFQA_SKB_INFO, nl.NFQA_PRIORITY)
_ATTRIBUTE = struct.Struct("=HH")
_WORD = struct.Struct("=I")

Unpack = Callable[[bytearray, int], tuple[int, ...]]


class Layout(NamedTuple):
    """One shape. `shape` and `values` take (buffer, where the message starts)."""

    shape: Unpack  # length of the message, its type, the words that head its attributes, size and type of the payload's
    known: tuple[int, ...]  # what `shape` gives without the first and the last two
    values: Unpack  # packet id, hook, then those of _VALUES that the message has
    indev: int  # where in `values` with a 0 behind it ...
    skb_info: int
    priority: int
    payload: int  # octet of the message where NFQA_PAYLOAD starts, its header included


def padded(size: int) -> int:
    """Octets that an attribute of `size` octets takes up; never 0, so that nobody stands still at it."""
    return (size + 3) & ~3 or 4


def learn(attributes: Sequence[tuple[int, int]]) -> Layout | None:
    """The shape of messages whose `attributes`, between NFQA_PACKET_HDR and NFQA_PAYLOAD, are these (size, type);

    None: one of them has not the size that its type asks for.
    """
    shape, values = f"=IH{SECOND_ATTRIBUTE - 6}x", f"!{FIRST_ATTRIBUTE + 4}xI2xBx"
    words: list[int] = []
    found: dict[int, int] = {}
    at, count = SECOND_ATTRIBUTE, 2
    for size, kind in attributes:
        room = padded(size) - 4
        shape += f"I{room}x"
        words += _WORD.unpack(_ATTRIBUTE.pack(size, kind))
        values += "4x"
        if kind in _VALUES:
            if size != 8:
                return None
            values += "I"
            found[kind] = count
            count += 1
        else:
            values += f"{room}x"
        at += 4 + room
    known = (nl.TYPE_PACKET, *words)
    indev, skb_info, priority = (found.get(kind, count) for kind in _VALUES)
    shape_of, values_of = struct.Struct(shape + "HH").unpack_from, struct.Struct(values).unpack_from
    return Layout(shape_of, known, values_of, indev, skb_info, priority, at)
