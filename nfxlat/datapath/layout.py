"""Shapes of queue messages: which attributes a message has, how long they are, and in which order.

The kernel writes the messages of one kind of traffic all alike (net/netfilter/nfnetlink_queue.c,
nfqnl_build_packet_message): they differ in values and in the payload. So a shape is learnt from one message, attribute
by attribute, and messages of a known shape are read by two calls.
"""

import struct
from collections.abc import Callable
from typing import NamedTuple

from nfxlat.wire import nfnetlink as nl

_SECOND_ATTRIBUTE = nl.HEADER_SIZE + 12  # behind NFQA_PACKET_HDR, 4 + 7 octets, padded
_VALUES = (nl.NFQA_IFINDEX_INDEV, nl.NFQA_SKB_INFO, nl.NFQA_PRIORITY)
_word = struct.Struct("=I").unpack_from
_attribute = struct.Struct("=HH").unpack_from

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
    whole: bool  # False: NFQA_CAP_LEN is there, so the payload is a part of the packet


def learn(buffer: bytearray, start: int) -> Layout:
    """The shape of the packet message at `start`, as far as its payload, or its end if it has none."""
    (length,) = _word(buffer, start)
    at, end = _SECOND_ATTRIBUTE, length - 4
    shape, words = f"=IH{at - 6}x", [nl.TYPE_PACKET]
    values, found, count, whole = f"!{nl.HEADER_SIZE + 4}xI2xBx", dict[int, int](), 2, True
    while at <= end:
        size, kind = _attribute(buffer, start + at)
        room = max(0, (size + 3 & ~3) - 4)  # octets behind the attribute's header, padded
        if kind == nl.NFQA_PAYLOAD or at + room > end:
            break
        shape += f"I{room}x"
        words += _word(buffer, start + at)
        values += "4x"
        if kind in _VALUES and room == 4:
            values += "I"
            found[kind], count = count, count + 1
        else:
            values += f"{room}x"
        whole = whole and kind != nl.NFQA_CAP_LEN
        at += 4 + room
    indev, skb_info, priority = (found.get(kind, count) for kind in _VALUES)
    shape_of, values_of = struct.Struct(shape + "HH").unpack_from, struct.Struct(values).unpack_from
    return Layout(shape_of, tuple(words), values_of, indev, skb_info, priority, at, whole)
