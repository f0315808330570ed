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
    missing: int = 0  # octets at its end that were not captured (snap length)


def captured_octets(read: Callable[[int], bytes], captured: int) -> bytes:
    """The `captured` octets of a frame. Raises Fault unless they are there."""
    if captured > MAX_LENGTH:
        raise Fault(f"a packet of {captured} octets", DAMAGED)
    data = read(captured)
    if len(data) < captured:
        raise Fault("the file ends inside a packet", CUT_OFF)
    return data
