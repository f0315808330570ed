"""The records of a classic capture file (libpcap), of either byte order and resolution.

dpkt's headers, read in a loop of our own: dpkt's Reader does not tell the length on the wire, takes a file that ends
inside a record for a short packet, and gives time as a float. Of a record's header only dpkt's format is used: an
object for each costs as much as a translation.
"""

from collections.abc import Iterator
from struct import Struct
from typing import BinaryIO, Final

from dpkt.pcap import (
    MAGIC_TO_PKT_HDR,
    PACPDOM_MAGIC,
    PMUDPCT_MAGIC,
    PMUDPCT_MAGIC_NANO,
    TCPDUMP_MAGIC_NANO,
    FileHdr,
    LEFileHdr,
)

from nfxlat.offline.record import CUT_OFF, NANOSECONDS, Fault, Record, captured_octets

MAGIC_LENGTH: Final = 4
_LITTLE_ENDIAN: Final = (PMUDPCT_MAGIC, PMUDPCT_MAGIC_NANO, PACPDOM_MAGIC)
_NANO: Final = (TCPDUMP_MAGIC_NANO, PMUDPCT_MAGIC_NANO)
_LINK_TYPE: Final = 0xFFFF  # the upper bits of the field tell about frame check sequences


def is_pcap(magic: bytes) -> bool:
    """Whether a file that begins with `magic` (4 octets) is a classic capture."""
    return int.from_bytes(magic, "big") in MAGIC_TO_PKT_HDR


class Reader:
    """A classic capture; `magic` has been read from `file` already. Raises Fault."""

    def __init__(self, file: BinaryIO, magic: bytes) -> None:
        number = int.from_bytes(magic, "big")
        octets = magic + file.read(FileHdr.__hdr_len__ - len(magic))
        if len(octets) < FileHdr.__hdr_len__:
            raise Fault("the file ends inside its header", CUT_OFF)
        header = (LEFileHdr if number in _LITTLE_ENDIAN else FileHdr)(octets)
        self.link_type: int = header.linktype & _LINK_TYPE
        self.nanoseconds = number in _NANO
        self._file = file
        self._record = Struct(MAGIC_TO_PKT_HDR[number].__hdr_fmt__)  # seconds, fraction, captured, length, others

    def __iter__(self) -> Iterator[Record]:
        read, unpack, size = self._file.read, self._record.unpack, self._record.size
        unit = 1 if self.nanoseconds else 1000
        while octets := read(size):
            if len(octets) < size:
                raise Fault("the file ends inside a packet header", CUT_OFF)
            seconds, fraction, captured, length = unpack(octets)[:4]
            data = captured_octets(read, captured)
            yield Record(self.link_type, seconds * NANOSECONDS + fraction * unit, data, max(0, length - captured))
