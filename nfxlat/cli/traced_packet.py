"""How `nfxlat trace` tells of one packet: as text, as JSON, in a capture."""

import json
import socket
import time
from typing import BinaryIO

from nfxlat.datapath.trace_filter import LARGEST_SNAP, LOST, quoted
from nfxlat.errors import printable
from nfxlat.offline.pcapng_writer import Writer
from nfxlat.offline.summary import brief
from nfxlat.offline.translation import DIRECTION_OF_VERSION
from nfxlat.service.traced import Shown


class Capture:
    """A pcapng file: what came on the interface `in`, what left on `out`."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._writer: Writer | None = None

    def begin(self) -> None:
        self._writer = Writer(self._file, ("in", "out"))

    def put(self, one: Shown) -> None:
        assert self._writer is not None
        when = int(one.time * 1e9)
        self._writer.write(0, when, one.packet, one.length, _comment(one))
        for packet, length in zip(one.packets, one.lengths, strict=False):
            self._writer.write(1, when, packet, length, one.reason.label)


def _comment(one: Shown) -> str:
    return f"{one.action.value}: {one.reason.label} ({one.reason.rfc}): {one.reason.sentence}; {', '.join(_facts(one))}"


def _facts(one: Shown) -> list[str]:
    facts = [f"{one.hook} {_interface(one.interface)}".rstrip(), f"worker {one.worker}"]
    if one.fast:
        facts.append("fast path")
    if one.gso_size is not None:
        size = f" of {one.gso_size} octets" if one.gso_size else ""
        facts.append(f"superframe, segments{size}{'' if one.fast else ', cut here'}")
    if one.unfinished:
        facts.append("checksum left to the hardware")
    return facts


def _interface(index: int) -> str:
    if not index:
        return ""
    try:
        return socket.if_indextoname(index)
    except OSError:
        return f"interface {index}"


def lines(one: Shown) -> list[str]:
    """As text: what came, where, what comes out."""
    clock = time.strftime("%H:%M:%S", time.localtime(one.time)) + f".{int(one.time * 1e6) % 1_000_000:06}"
    what = one.action.value if one.reason.label == one.action.value else f"{one.action.value}: {one.reason.label}"
    found = [f"{clock} {_brief(one.packet, one.length)}"]
    if quote := quoted(one.packet):
        found.append(f"  about {printable(brief(quote))}")
    found.append(f"  {what} ({one.reason.rfc}); {', '.join(_facts(one))}")
    if one.action in LOST:
        found.append(f"  {one.reason.sentence}")
    found += [f"  => {_brief(packet, length)}" for packet, length in zip(one.packets, one.lengths, strict=False)]
    if len(one.lengths) > len(one.packets):
        found.append(f"  => {len(one.lengths) - len(one.packets)} more")
    return found


def _brief(packet: bytes, length: int) -> str:
    whole = packet + bytes(length - len(packet)) if len(packet) < length <= LARGEST_SNAP else packet
    return printable(brief(whole))


def as_json(one: Shown) -> str:
    """Keys time, worker, hook, interface, direction, action, reason, rfc, sentence, fast, packet and
    packets (hex), length, lengths, unfinished, missed (packets left out before this one), and of a superframe gso_size,
    segments."""
    found: dict[str, object] = {
        "time": one.time,
        "worker": one.worker,
        "hook": one.hook,
        "interface": _interface(one.interface),
        "direction": DIRECTION_OF_VERSION.get(one.packet[0] >> 4) if one.packet else None,
        "action": one.action.value,
        "reason": one.reason.label,
        "rfc": one.reason.rfc,
        "sentence": one.reason.sentence,
        "fast": one.fast,
        "unfinished": one.unfinished,
        "packet": one.packet.hex(),
        "length": one.length,
        "packets": [packet.hex() for packet in one.packets],
        "lengths": list(one.lengths),
        "missed": one.missed,
    }
    if one.gso_size is not None:
        found |= {"gso_size": one.gso_size, "segments": one.segments}
    return json.dumps(found)
