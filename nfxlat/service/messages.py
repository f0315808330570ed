"""What the supervisor and its workers tell each other, as values that encode and decode themselves.

    tag (1 octet)  body
    g              -                                       Go         to a worker
    s              -                                       Stop       to a worker
    p              -                                       Ping       to a worker
    n              twice: ipv4 (I), 4 octets each; ipv6
                   (I), 16 octets each; interfaces, I each Node       to a worker
    m              source, destination (8s), MTU (H), each PathMtu    from a worker, and on to all others
    f              generation (I), interfaces, I each      Teach      to a worker
    w              number (I), a filter, JSON              Trace      to a worker, with a descriptor
    u              number (I)                              Untrace    to a worker
    c              0 or 1 (I)                              Count      to a worker
    k              mapping (5s), 4 numbers (Q), each       Counted    from a worker
    b              its number (I); octets of the addresses
                   (B), both (32s), packets, octets (Q),
                   each                                    Busiest    from a worker
    t              a line for the operator, UTF-8         Told       from a worker
    r              -                                       Ready      from a worker
    e              -                                       Retired    from a worker
    o              -                                       Pong       from a worker

Numbers are in network order. What is not exactly this is a MessageError: both ends are forked from one program, so it
is a bug. No I/O here; nfxlat.service.control has the socket.
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Self, get_args

_COUNT = struct.Struct("!I")
_PATH_MTU = struct.Struct("!8sH")
_MAPPING = struct.Struct("!5s4Q")
_BUSY = struct.Struct("!B32sQQ")


class MessageError(Exception):
    """Octets that are no message, or a message that does not belong where it came."""


@dataclass(frozen=True, slots=True)
class _Word:
    """A message that says nothing but its name."""

    TAG: ClassVar[bytes]

    def encode(self) -> bytes:
        return self.TAG

    @classmethod
    def of(cls, body: bytes) -> Self:
        """Whatever the body: `decode` compares."""
        return cls()


class Go(_Word):
    """Take packets."""

    __slots__ = ()
    TAG = b"g"


class Stop(_Word):
    """Take no packet any more, and end."""

    __slots__ = ()
    TAG = b"s"


class Ready(_Word):
    """I could take packets."""

    __slots__ = ()
    TAG = b"r"


class Retired(_Word):
    """I take no packet any more: my queues are another's."""

    __slots__ = ()
    TAG = b"e"


class Ping(_Word):
    """Do you still work?"""

    __slots__ = ()
    TAG = b"p"


class Pong(_Word):
    """I do."""

    __slots__ = ()
    TAG = b"o"


@dataclass(frozen=True, slots=True)
class PathMtu:
    """IPv4 path MTUs that were learnt: source and destination (8 octets) and the MTU of each."""

    learnt: tuple[tuple[bytes, int], ...]
    TAG: ClassVar[bytes] = b"m"

    def encode(self) -> bytes:
        return self.TAG + b"".join(_PATH_MTU.pack(*one) for one in self.learnt)

    @classmethod
    def of(cls, body: bytes) -> Self:
        return cls(tuple(_PATH_MTU.iter_unpack(body)))


@dataclass(frozen=True, slots=True)
class Node:
    """What all workers know of this node: its addresses, packed, the interfaces, by index, whose stamps count, and the
    addresses that are deprecated or tentative."""

    local: frozenset[bytes] = frozenset()
    stamped: frozenset[int] = frozenset()
    unfit: frozenset[bytes] = frozenset()
    TAG: ClassVar[bytes] = b"n"

    def encode(self) -> bytes:
        parts = [self.TAG]
        for addresses in (sorted(self.local), sorted(self.unfit)):
            for size in (4, 16):
                of_size = [address for address in addresses if len(address) == size]
                parts += [_COUNT.pack(len(of_size)), *of_size]
        return b"".join((*parts, *map(_COUNT.pack, sorted(self.stamped))))

    @classmethod
    def of(cls, body: bytes) -> Self:
        sets: list[list[bytes]] = [[], []]
        for addresses in sets:
            for size in (4, 16):
                (count,) = _COUNT.unpack_from(body)
                end = _COUNT.size + count * size
                addresses += _cut(body[_COUNT.size : end], size)
                body = body[end:]
        local, unfit = map(frozenset, sets)
        return cls(local, frozenset(index for (index,) in _COUNT.iter_unpack(body)), unfit)


@dataclass(frozen=True, slots=True)
class Teach:
    """Teach the program at ingress pairs of this generation (0: none), that come in at these interfaces, by index."""

    generation: int
    interfaces: frozenset[int]
    TAG: ClassVar[bytes] = b"f"

    def encode(self) -> bytes:
        return self.TAG + b"".join(map(_COUNT.pack, (self.generation, *sorted(self.interfaces))))

    @classmethod
    def of(cls, body: bytes) -> Self:
        (generation,) = _COUNT.unpack_from(body)
        return cls(generation, frozenset(index for (index,) in _COUNT.iter_unpack(body[_COUNT.size :])))


@dataclass(frozen=True, slots=True)
class Trace:
    """Show packets that fit the filter (nfxlat.datapath.trace_filter) to who reads the socket `descriptor`, which goes
    beside the message; -1: it is still to be received."""

    number: int
    wanted: bytes
    descriptor: int = -1
    TAG: ClassVar[bytes] = b"w"

    def encode(self) -> bytes:
        return self.TAG + _COUNT.pack(self.number) + self.wanted

    @classmethod
    def of(cls, body: bytes) -> Self:
        return cls(_COUNT.unpack_from(body)[0], body[_COUNT.size :])


@dataclass(frozen=True, slots=True)
class Untrace:
    """Whoever traced under this number reads no more."""

    number: int
    TAG: ClassVar[bytes] = b"u"

    def encode(self) -> bytes:
        return self.TAG + _COUNT.pack(self.number)

    @classmethod
    def of(cls, body: bytes) -> Self:
        return cls(_COUNT.unpack_from(body)[0])


@dataclass(frozen=True, slots=True)
class Count:
    """Count by mapping from now on, or do not."""

    on: bool
    TAG: ClassVar[bytes] = b"c"

    def encode(self) -> bytes:
        return self.TAG + _COUNT.pack(self.on)

    @classmethod
    def of(cls, body: bytes) -> Self:
        return cls(bool(_COUNT.unpack(body)[0]))


@dataclass(frozen=True, slots=True)
class Counted:
    """What was counted since the last time (nfxlat.datapath.tally): mapping, packets and octets from, and to it."""

    rows: tuple[tuple[bytes, int, int, int, int], ...]
    TAG: ClassVar[bytes] = b"k"

    def encode(self) -> bytes:
        return self.TAG + b"".join(_MAPPING.pack(*row) for row in self.rows)

    @classmethod
    def of(cls, body: bytes) -> Self:
        return cls(tuple(_MAPPING.iter_unpack(body)))


@dataclass(frozen=True, slots=True)
class Busiest:
    """The pairs of addresses that worker `number` had most octets of in the last second: both, packets, octets."""

    number: int
    pairs: tuple[tuple[bytes, int, int], ...]
    TAG: ClassVar[bytes] = b"b"

    def encode(self) -> bytes:
        rows = (_BUSY.pack(len(pair), pair, packets, octets) for pair, packets, octets in self.pairs)
        return self.TAG + _COUNT.pack(self.number) + b"".join(rows)

    @classmethod
    def of(cls, body: bytes) -> Self:
        (number,) = _COUNT.unpack_from(body)
        rows = _BUSY.iter_unpack(body[_COUNT.size :])
        return cls(number, tuple((pair[:size], packets, octets) for size, pair, packets, octets in rows))


@dataclass(frozen=True, slots=True)
class Told:
    """A line for the operator, or several; a worker writes none itself, since that could keep it waiting."""

    text: str
    TAG: ClassVar[bytes] = b"t"

    def encode(self) -> bytes:
        return self.TAG + self.text.encode(errors="backslashreplace")

    @classmethod
    def of(cls, body: bytes) -> Self:
        return cls(body.decode(errors="replace"))


Message = (
    Go
    | Stop
    | Ping
    | Ready
    | Retired
    | Pong
    | PathMtu
    | Node
    | Teach
    | Trace
    | Untrace
    | Count
    | Counted
    | Busiest
    | Told
)

_KINDS: dict[bytes, type[Message]] = {kind.TAG: kind for kind in get_args(Message)}


def decode(data: bytes) -> Message:
    """The message whose `encode` gives exactly `data`. Raises MessageError where there is none."""
    try:
        message = _KINDS[data[:1]].of(data[1:])
    except (KeyError, struct.error):
        message = None
    if message is None or message.encode() != data:
        raise MessageError(f"not a message between supervisor and worker: {data[:64].hex()} ({len(data)} octets)")
    return message


def _cut(octets: bytes, size: int) -> Iterable[bytes]:
    return (octets[at : at + size] for at in range(0, len(octets), size))
