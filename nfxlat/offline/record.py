"""One packet of a capture, and what both file formats check about it."""

from collections.abc import Callable
from typing import Final, NamedTuple

NANOSECONDS: Final = 10**9
MAX_LENGTH: Final = 262144  # libpcap's MAXIMUM_SNAPLEN: more is no packet but a broken file

DAMAGED: Final = "the file is damaged"
CUT_OFF: Final = "the capture was cut off while it was written"


class Fault(Exception):
    """What is wrong with a capture file, and what to do; the caller knows its name and the number of the packet."""

    def __init__(self, what: str, hint: str = "") -> None:
        self.what, self.hint = what, hint
        super().__init__(what)


class Record(NamedTuple):
    """One captured frame. `time`: nanoseconds since 1970."""

    link_type: int
    time: int
    data: bytes


def checked(read: Callable[[int], bytes], captured: int, length: int) -> bytes:
    """The `captured` octets of a frame of `length` octets. Raises Fault unless they are the whole frame."""
    if captured > MAX_LENGTH:
        raise Fault(f"a packet of {captured} octets", DAMAGED)
    data = read(captured)
    if len(data) < captured:
        raise Fault("the file ends inside a packet", CUT_OFF)
    if captured < length:
        raise Fault(f"only {captured} of {length} octets were captured", "capture whole packets (tcpdump -s 0)")
    return data
