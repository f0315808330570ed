"""A pcapng file of raw IP packets with comments, for Wireshark (draft-ietf-opsawg-pcapng), by dpkt's blocks."""

from collections.abc import Sequence
from struct import Struct
from typing import BinaryIO, Final

from dpkt import pcapng

from nfxlat.offline.link import RAW

_LENGTH, _LENGTH_AT = Struct("<I"), 24  # original packet length, in an Enhanced Packet Block
_IF_NAME: Final = 2
_NANOSECONDS: Final = b"\x09"  # if_tsresol


class Writer:
    """`interfaces`: their names, numbered from 0. A packet is in the file when `write` returns."""

    def __init__(self, file: BinaryIO, interfaces: Sequence[str]) -> None:
        self._file = file
        file.write(bytes(pcapng.SectionHeaderBlockLE()))
        for name in interfaces:
            options = [
                pcapng.PcapngOptionLE(code=_IF_NAME, data=name.encode()),
                pcapng.PcapngOptionLE(code=pcapng.PCAPNG_OPT_IF_TSRESOL, data=_NANOSECONDS),
                pcapng.PcapngOptionLE(code=pcapng.PCAPNG_OPT_ENDOFOPT),
            ]
            block = pcapng.InterfaceDescriptionBlockLE(snaplen=0, linktype=RAW, opts=options)
            file.write(bytes(block))
        file.flush()

    def write(self, interface: int, nanoseconds: int, packet: bytes, length: int, comment: str = "") -> None:
        """`length`: of the packet as it was."""
        options = [
            pcapng.PcapngOptionLE(code=pcapng.PCAPNG_OPT_COMMENT, data=comment.encode()),
            pcapng.PcapngOptionLE(code=pcapng.PCAPNG_OPT_ENDOFOPT),
        ]
        block = pcapng.EnhancedPacketBlockLE(
            iface_id=interface,
            ts_high=nanoseconds >> 32,
            ts_low=nanoseconds & 0xFFFFFFFF,
            pkt_data=packet,
            opts=options if comment else [],
        )
        octets = bytearray(bytes(block))
        _LENGTH.pack_into(octets, _LENGTH_AT, length)  # dpkt writes the captured one
        self._file.write(octets)
        self._file.flush()
