"""The records of a pcapng file: several sections, several interfaces, both byte orders.

dpkt's blocks, read in a loop of our own: dpkt's Reader knows one interface and one section, and does not tell the
length on the wire. Blocks that hold no packet are skipped by their length.

    | block type | total length | body, padded to 4 octets | total length |
"""

from collections.abc import Iterator
from io import BytesIO
from struct import Struct, unpack_from
from struct import error as StructError
from typing import Any, BinaryIO, Final, NamedTuple

import dpkt
from dpkt import pcapng

from nfxlat.offline.record import CUT_OFF, DAMAGED, MAX_LENGTH, NANOSECONDS, Fault, Record, captured_octets

MAGIC: Final = pcapng.PCAPNG_BT_SHB.to_bytes(4, "big")  # a palindrome: the same in both byte orders
_ORDERS: Final = {b"\x4d\x3c\x2b\x1a": True, b"\x1a\x2b\x3c\x4d": False}  # whether little-endian
_MAX_BLOCK: Final = 16 << 20  # libpcap's own limit
_HEAD: Final = 8  # block type and total length
_MIN_BLOCK: Final = 12
_SIMPLE_DATA: Final = 12  # of a Simple Packet Block, which dpkt does not know: type, total length, length on the wire
_DEFAULT_TICKS: Final = 10**6
_END_OF_TIME: Final = NANOSECONDS << 32  # what a classic capture can say


class _Interface(NamedTuple):
    link_type: int
    snap_length: int
    ticks: int = _DEFAULT_TICKS  # a second
    offset: int = 0  # seconds to add


class Reader:
    """A pcapng capture; `MAGIC` has been read from `file` already. Raises Fault."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._little = True
        self._interfaces: list[_Interface] = []
        self._section(MAGIC + file.read(4))

    @property
    def link_type(self) -> int | None:
        """Of the first interface described so far."""
        return self._interfaces[0].link_type if self._interfaces else None

    @property
    def nanoseconds(self) -> bool:
        """Whether an interface described so far counts finer than microseconds."""
        return any(interface.ticks > _DEFAULT_TICKS for interface in self._interfaces)

    def __iter__(self) -> Iterator[Record]:
        while head := self._file.read(_HEAD):
            if head[:4] == MAGIC:
                self._section(head)
                continue
            block = self._block(head)
            kind = self._number(head[:4])
            try:
                if kind == pcapng.PCAPNG_BT_IDB:
                    self._interfaces.append(self._interface(block))
                elif kind in (pcapng.PCAPNG_BT_EPB, pcapng.PCAPNG_BT_PB):
                    yield self._packet(kind, block)
                elif kind == pcapng.PCAPNG_BT_SPB:
                    yield self._simple_packet(block)
            except (dpkt.Error, StructError, ValueError) as error:  # what dpkt raises for a malformed block
                raise Fault(f"a malformed block of type {kind}", DAMAGED) from error

    def _section(self, head: bytes) -> None:
        order = self._file.read(4)
        if order not in _ORDERS:
            raise Fault("a section header without a byte order", DAMAGED)
        self._little = _ORDERS[order]
        self._interfaces = []
        self._block(head + order)

    def _block(self, head: bytes) -> bytes:
        """The whole block that begins with `head`."""
        length = self._number(head[4:8])
        if len(head) >= _HEAD and not _MIN_BLOCK <= length <= _MAX_BLOCK:
            raise Fault(f"a block of {length} octets", DAMAGED)
        block = head + self._file.read(max(0, length - len(head)))
        if len(head) < _HEAD or len(block) < length:
            raise Fault("the file ends inside a block", CUT_OFF)
        return block

    def _number(self, octets: bytes) -> int:
        return int.from_bytes(octets, "little" if self._little else "big")

    def _parsed(self, name: str) -> Any:
        return getattr(pcapng, name + "LE" if self._little else name)

    def _interface(self, block: bytes) -> _Interface:
        description = self._parsed("InterfaceDescriptionBlock")(block)
        ticks, offset = _DEFAULT_TICKS, 0
        for option in description.opts:
            if option.code == pcapng.PCAPNG_OPT_IF_TSRESOL and option.data:
                exponent = option.data[0] & 0x7F
                ticks = (2 if option.data[0] & 0x80 else 10) ** exponent
            elif option.code == pcapng.PCAPNG_OPT_IF_TSOFFSET:
                offset = Struct("<q" if self._little else ">q").unpack(option.data[:8])[0]
        return _Interface(description.linktype, description.snaplen, ticks, offset)

    def _packet(self, kind: int, block: bytes) -> Record:
        # As dpkt has them: type and length, interface, (of old blocks: drops,) ticks, captured, length, ..., length.
        # The options do not matter here.
        header = self._parsed("EnhancedPacketBlock" if kind == pcapng.PCAPNG_BT_EPB else "PacketBlock")
        number, *_, high, low, captured, length, _ = unpack_from(header.__hdr_fmt__, block)[2:]
        if number >= len(self._interfaces):
            raise Fault(f"no description of interface {number}", DAMAGED)
        interface = self._interfaces[number]
        body = block[header.__hdr_len__ - 4 : -4]
        data = captured_octets(BytesIO(body).read, captured)
        time = interface.offset * NANOSECONDS + (high << 32 | low) * NANOSECONDS // interface.ticks
        if not 0 <= time < _END_OF_TIME:
            raise Fault("a time before 1970 or after 2106", DAMAGED)
        return Record(interface.link_type, time, data, max(0, length - captured))

    def _simple_packet(self, block: bytes) -> Record:
        if not self._interfaces:
            raise Fault("no description of interface 0", DAMAGED)
        interface = self._interfaces[0]
        length = self._number(block[_HEAD:_SIMPLE_DATA])
        captured = min(length, interface.snap_length or MAX_LENGTH)
        data = captured_octets(BytesIO(block[_SIMPLE_DATA:-4]).read, captured)
        return Record(interface.link_type, 0, data, length - captured)
