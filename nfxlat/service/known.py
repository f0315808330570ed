"""What a running translator's program at ingress knows: each pair and flow, told for an operator.

The map is opened by its number, which the translator tells (`nfxlat stats`), so a long one costs it nothing.
"""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address
from socket import if_indextoname
from typing import Any

from nfxlat import ipaddresses
from nfxlat.errors import OperatorError
from nfxlat.host import ingress
from nfxlat.offload import table
from nfxlat.offload.table import Pair

_PROTOCOLS = {6: "TCP", 17: "UDP"}
_SECOND = 10**9


@dataclass(frozen=True, slots=True)
class Known:
    """One pair or flow, in at `interface`; `becomes` are source and destination of the result. `state`: what becomes of
    its next packet of each protocol, "kernel", "queue" (something of it waits there), "diverted" (the core has had one
    of its kind a moment ago), or "new"; where the whole is void, "flushed" or "expired" alone. Times in seconds.
    """

    interface: str
    source: str
    destination: str
    becomes: tuple[str, str]
    protocol: str  # of a flow, else ""
    ports: tuple[int, int] | None
    packets: int
    octets: int
    age: float
    unused: float
    state: str

    def line(self) -> str:
        """As a person reads it."""
        flow = f" {self.protocol} {self.ports[0]} > {self.ports[1]}" if self.ports else ""
        ends = f"{self.source} > {self.destination}{flow} becomes {' > '.join(self.becomes)}"
        counted = f"{self.packets} packets, {self.octets} octets"
        return f"{self.interface}: {ends}: {counted}, {self.age:.0f} s old, unused {self.unused:.0f} s, {self.state}"


def known(domain: str, offload: dict[str, Any]) -> Iterator[Known]:
    """Each, by the part of a summary that is about it. Raises OperatorError without the right to look, or where it has
    gone meanwhile."""
    names: dict[int, str] = {}
    try:
        for key, pair in ingress.known(offload["table"]):
            if not pair.by_flow:
                yield _told(key, pair, offload["generation"], names)
    except OSError as error:
        hint = "run as root, with CAP_SYS_ADMIN" if isinstance(error, PermissionError) else "ask again"
        what = f"the map of pairs cannot be read: {os.strerror(error.errno or 0)}"
        raise OperatorError(what, where=f"domain {domain}", hint=hint) from None


def _told(key: bytes, pair: Pair, generation: int, names: dict[int, str]) -> Known:
    now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    ifindex, addresses, flow = table.KEY.unpack(key)
    ports, protocol = table.FLOW.unpack(flow)
    ends = (int.from_bytes(ports[:2], "big"), int.from_bytes(ports[2:], "big")) if protocol else None
    from4 = not any(addresses[8:])
    source, destination = _pair(addresses, 4 if from4 else 16)
    return Known(
        _name(ifindex, names),
        source,
        destination,
        _pair(pair.addresses, 16 if from4 else 4),
        _PROTOCOLS.get(protocol, str(protocol)) if protocol else "",
        ends,
        pair.packets,
        pair.octets,
        round((now - pair.learnt) / _SECOND, 3),
        round(max(0, now - pair.used) / _SECOND, 3),  # the program's clock is coarse
        _state(pair, protocol, generation, now),
    )


def _pair(addresses: bytes, size: int) -> tuple[str, str]:
    def text(octets: bytes) -> str:
        return str(IPv4Address(octets) if size == 4 else ipaddresses.address6(octets))

    return text(addresses[:size]), text(addresses[size : 2 * size])


def _name(ifindex: int, names: dict[int, str]) -> str:
    if ifindex not in names:
        try:
            names[ifindex] = if_indextoname(ifindex)
        except OSError:  # it has gone
            names[ifindex] = str(ifindex)
    return names[ifindex]


def _state(pair: Pair, protocol: int, generation: int, now: int) -> str:
    if pair.generation != generation:
        return "flushed"
    if not pair.counts(generation, now):
        return "expired"
    lanes = {6: (pair.tcp_queued, pair.tcp_until), 17: (pair.udp_queued, pair.udp_until)}
    states = {number: _lane(*lane, now) for number, lane in lanes.items()}
    if protocol:
        return states.get(protocol, "new")
    return ", ".join(f"{_PROTOCOLS[number]} {state}" for number, state in states.items())


def _lane(queued: int, until: int, now: int) -> str:
    if until > now:
        return "diverted"
    return "kernel" if queued == table.ACTIVE else "queue" if queued else "new"
