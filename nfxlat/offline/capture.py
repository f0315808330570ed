"""Captures, read record by record and written whole or not at all: pcap, pcapng, hex dumps, each packed by gzip or not.

What is wrong with a file is an `OperatorError` whose `where` is the file and the number of the packet, counted from 1.
"""

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import BinaryIO, Final

from dpkt.pcap import Writer as PcapWriter

from nfxlat.errors import OperatorError
from nfxlat.offline import link, packed, pcap, pcapng, text
from nfxlat.offline.record import MAX_LENGTH, NANOSECONDS, Fault, Record

STDIN: Final = "-"
_NANO: Final = Decimal(1) / NANOSECONDS


class Capture:
    """An open capture: an iterable of `Record`s, to be walked once."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        """Raises OperatorError if `file` is no capture."""
        self._file, self._name = file, name
        try:
            magic = file.read(pcap.MAGIC_LENGTH)
            if packed.is_packed(magic):
                file = packed.unpacked(file, magic)
                magic = file.read(pcap.MAGIC_LENGTH)
            if not magic:
                raise Fault("the file is empty", "even a capture without packets has a header")
            self._reader: pcap.Reader | pcapng.Reader | text.Reader
            if pcap.is_pcap(magic):
                self._reader = pcap.Reader(file, magic)
            elif magic == pcapng.MAGIC:
                self._reader = pcapng.Reader(file)
            else:
                self._reader = text.Reader(file, magic)
        except Fault as fault:
            raise OperatorError(fault.what, where=name, hint=fault.hint) from None
        if isinstance(self._reader, pcap.Reader):
            self._check_link(self._reader.link_type, name)

    @property
    def link_type(self) -> int:
        """Of the packets; raw IP where the file does not say (a pcapng file without packets)."""
        return link.RAW if self._reader.link_type is None else self._reader.link_type

    @property
    def nanoseconds(self) -> bool:
        """Whether times are finer than microseconds."""
        return self._reader.nanoseconds

    def __iter__(self) -> Iterator[Record]:
        number, records = 0, iter(self._reader)
        while True:
            try:
                record = next(records, None)
            except Fault as fault:
                where = f"{self._name}: packet {number + 1}"
                raise OperatorError(fault.what, where=where, hint=fault.hint) from None
            except OSError as error:
                raise OperatorError(f"cannot be read: {error.strerror}", where=self._name) from None
            if record is None:
                return
            number += 1
            if record.link_type not in link.SUPPORTED:
                self._check_link(record.link_type, f"{self._name}: packet {number}")
            yield record

    @staticmethod
    def _check_link(link_type: int, where: str) -> None:
        if link_type not in link.SUPPORTED:
            raise OperatorError(f"unknown link type {link_type}", where=where, hint=f"supported: {link.NAMES}")


@contextmanager
def opened(path: str) -> Iterator[tuple[Capture, BinaryIO]]:
    """The capture in the file `path`, `-` for stdin, and the file itself. Raises OperatorError."""
    if path == STDIN:
        if sys.stdin is None:
            raise OperatorError("stdin is closed", where=STDIN)
        yield Capture(sys.stdin.buffer, "stdin"), sys.stdin.buffer
        return
    try:
        file = open(path, "rb")  # noqa: SIM115 - the error of opening it is one thing, errors later are others
    except OSError as error:
        raise OperatorError(f"cannot be read: {error.strerror}", where=path) from None
    with file:
        try:
            capture = Capture(file, path)
        except OSError as error:
            raise OperatorError(f"cannot be read: {error.strerror}", where=path) from None
        yield capture, file


class Writer:
    """A capture that is written beside `path` and takes its place at the end, if nothing was raised until then."""

    def __init__(self, path: str, source: str) -> None:
        """`source`: the path of the input, which must be another file. Raises OperatorError."""
        self._path = Path(os.path.realpath(path))
        try:
            mode = os.stat(self._path).st_mode
        except OSError:
            mode = None  # no such file yet: the rule; other faults show when it is written
        if path == STDIN or (mode is not None and not stat.S_ISREG(mode)):
            raise OperatorError(
                "not a regular file", where=path, hint="give a file name: the output replaces it when complete"
            )
        if mode is not None and source != STDIN and os.path.exists(source) and os.path.samefile(source, self._path):
            raise OperatorError("output and input are the same file", where=path, hint="name another output")
        self._name = path
        self._temporary = self._path.with_name(f".{self._path.name}.{os.getpid()}.part")
        self._link_type: int | None = None

    def __enter__(self) -> "Writer":
        try:
            self._file = open(self._temporary, "xb")
        except OSError as error:
            raise self._unwritable(error) from None
        return self

    def begin(self, capture: Capture) -> None:
        """Link type and resolution, from `capture`: before the first packet, or after the last if there is none."""
        if self._link_type is None:
            self._link_type = link.written_as(capture.link_type)
            self._unit = 1 if capture.nanoseconds else 1000
            self._pcap = PcapWriter(self._file, MAX_LENGTH, self._link_type, nano=capture.nanoseconds)

    def write(self, record: Record, frame: bytes) -> None:
        """One frame, with the time of `record`. Raises OperatorError."""
        if link.written_as(record.link_type) != self._link_type:
            raise OperatorError(
                f"link type {record.link_type} after {self._link_type}",
                where=self._name,
                hint="a file can hold only one type",
            )
        try:
            self._pcap.writepkt_time(frame, record.time // self._unit * self._unit * _NANO)
        except OSError as error:
            raise self._unwritable(error) from None

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self._file.close()
            if kind is None:
                os.replace(self._temporary, self._path)
        except OSError as error:
            raise self._unwritable(error) from None
        finally:
            self._temporary.unlink(missing_ok=True)

    def _unwritable(self, error: OSError) -> OperatorError:
        return OperatorError(f"cannot be written: {error.strerror}", where=self._name)
