"""The programs for the ingress (nfxlat/offload), loaded: what this kernel's type information tells, and the maps.

Whether a UDP superframe is a row of datagrams (SKB_GSO_UDP_L4), and whether a checksum is unfinished, is not in
__sk_buff: the programs read it where BTF says it lies. Without BTF or CAP_PERFMON nothing is done about UDP.
"""

import errno
import os
import struct
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from nfxlat.host import bpf
from nfxlat.host.bpf_maps import Kind, Map, possible_processors
from nfxlat.offload import program, table
from nfxlat.terms import DIRECTIONS
from nfxlat.wire.btf import member_places

BTF = Path("/sys/kernel/btf/vmlinux")
CLOCKS = Path("/proc/self/timens_offsets")
NEXT = -1  # TCX_NEXT, TC_ACT_UNSPEC: whatever comes behind us decides
NO_UDP: Mapping[str, int] = dict.fromkeys(
    ("fit_udp", "udp", "skb_head", "skb_end", "gso_type", "summed_at", "summed_shift"), 0
)
_ONE = struct.pack("=I", 0)  # the key of an array of one


def places() -> Mapping[str, int] | None:
    """What the programs have to be told of the kernel's structures to judge UDP; None where it does not tell."""
    try:
        btf = BTF.read_bytes()
    except OSError:
        return None
    buffer = member_places(btf, "sk_buff", ("head", "end", "ip_summed"))
    shared = member_places(btf, "skb_shared_info", ("gso_type",))
    if buffer is None or shared is None:
        return None
    head, end, summed = buffer
    return {
        "udp": 1,
        "skb_head": head.octet,
        "skb_end": end.octet,
        "gso_type": shared[0].octet,
        "summed_at": summed.octet,
        "summed_shift": summed.shift,
    }


def has_own_clock() -> bool:
    """Whether this is a time namespace whose CLOCK_MONOTONIC is not the one that programs read (time_namespaces(7))."""
    try:
        lines = CLOCKS.read_text().splitlines()
    except OSError:  # no such namespaces
        return False
    offsets = (line.split() for line in lines)
    return any(clock == "monotonic" and {*offset} != {"0"} for clock, *offset in offsets)


def load(
    name: program.Name,
    maps: Mapping[str, int],
    udp: Mapping[str, int] | None,
    *,
    stamp_udp: bool = True,
    folder: Path = program.FOLDER,
) -> tuple[int, bool]:
    """Descriptor of the program, and whether it knows UDP, which needs `udp` (of `places`) and CAP_PERFMON.

    `stamp_udp`: UDP is then stamped as well.

    Raises OSError where the kernel refuses, OperatorError on a machine whose bpf(2) is not known.
    """
    text = program.text(name, folder)
    if udp is not None:
        try:
            return bpf.load(program.linked(text, maps, {**udp, "fit_udp": int(stamp_udp)}), f"nfxlat_{name}"), True
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EACCES, errno.EINVAL):  # no CAP_PERFMON, a kernel locked down
                raise
    return bpf.load(program.linked(text, maps, NO_UDP), f"nfxlat_{name}"), False


def known(number: int) -> Iterator[tuple[bytes, table.Pair]]:
    """Key, and what is known, of each pair and flow in the map of that number, another process's.

    Raises OSError: EPERM without CAP_SYS_ADMIN, ENOENT where it is gone.
    """
    with Map.opened(number) as there:
        if (there.key, there.value) != (table.KEY.size, table.PAIR.size):  # of another version, or nobody's we know
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        for key, value in there.items():
            yield key, table.Pair.of(value)


class Table:
    """The maps of the program `offload`. All processes that were forked since share them."""

    def __init__(self, entries: int = table.ENTRIES) -> None:
        """Raises OSError: EPERM without CAP_BPF, ENOMEM, EINVAL where the kernel has no such maps."""
        self._maps: dict[str, Map] = {}
        try:
            shapes: tuple[tuple[str, Kind, int, int, int], ...] = (
                ("state", "array", 4, table.STATE.size, 1),
                ("pairs", "lru_hash", table.KEY.size, table.PAIR.size, entries),
                ("answers", "lru_hash", table.KEY.size, table.TIME.size, entries),
                ("arrived", "lru_hash", table.KEY.size, table.ARRIVED.size, entries),
                ("counts", "percpu_array", 4, table.COUNTS.size, 1),
            )
            for name, kind, key, value, room in shapes:
                self._maps[name] = Map(
                    kind, f"nfxlat_{name}", key=key, value=value, entries=room, shared=name == "state"
                )
            self._memory = memoryview(self._maps["state"].memory())
        except BaseException:
            self.close()
            raise
        self._drained = self._memory[table.DRAINED_AT :][:8].cast("Q")
        self._lost = self._memory[table.LOST_AT :][:8].cast("Q")
        self._beat = self._memory[table.BEAT_AT :][:8].cast("Q")
        self._generation = self._memory[table.GENERATION_AT :][:4].cast("I")

    @property
    def descriptors(self) -> dict[str, int]:
        return {name: one.descriptor for name, one in self._maps.items()}

    @property
    def number(self) -> int:
        """Of the map of pairs and flows, for `known`."""
        return self._maps["pairs"].number

    @property
    def generation(self) -> int:
        """Pairs of another do not count."""
        return self._generation[0]

    def forget(self) -> int:
        """No pair that was taught so far counts any more; the new generation."""
        self._generation[0] = self._generation[0] % 0xFFFFFFFF + 1
        return self._generation[0]

    def configure(self, device: int, lowest_ipv6_mtu: int, destination: bytes, source: bytes) -> int:
        """What holds for all pairs that are taught from now on (`table.state`); the new generation. All others are
        forgotten before."""
        generation = self.forget()
        state = table.state(generation, device, lowest_ipv6_mtu, destination, source)
        self._memory[table.GENERATION_AT + 4 : table.STATE.size] = state[table.GENERATION_AT + 4 :]
        return generation

    @property
    def drained(self) -> int:
        """What had been queued before that time is translated and out."""
        return self._drained[0]

    @drained.setter
    def drained(self, time: int) -> None:
        self._drained[0] = time

    @property
    def lost(self) -> int:
        """When the kernel last was seen to drop packets since a queue was full."""
        return self._lost[0]

    @lost.setter
    def lost(self, time: int) -> None:
        self._lost[0] = time

    def beat(self) -> None:
        """The supervisor is alive: to be called every few seconds, or nothing is translated in the kernel."""
        self._beat[0] = time.monotonic_ns()

    def put(self, key: bytes, pair: table.Pair) -> None:
        """Teach a pair or a flow (`table.key`), or teach it anew. Raises OSError."""
        self._maps["pairs"].put(key, pair.encoded())

    def add(self, key: bytes, pair: table.Pair) -> bool:
        """Teach a pair or a flow that is not known; False, and nothing is changed, where it is. Raises OSError."""
        return self._maps["pairs"].add(key, pair.encoded())

    def get(self, key: bytes) -> table.Pair | None:
        octets = self._maps["pairs"].get(key)
        return table.Pair.of(octets) if octets is not None else None

    def answer(self, key: bytes, time: int) -> None:
        """The rules have queued the copy of a packet of the pair or flow. Raises OSError."""
        self._maps["answers"].put(key, table.TIME.pack(time))

    def arrived(self, key: bytes, learnt: int, tcp: int, udp: int) -> None:
        """Packets of the pair or flow that was taught at `learnt`, with numbers up to these, are out; 0: nobody can
        tell. Raises OSError."""
        self._maps["arrived"].put(key, table.ARRIVED.pack(learnt, tcp, udp))

    def pairs(self) -> Iterator[tuple[bytes, table.Pair]]:
        """Key, and what is known, of each pair and flow. Raises OSError."""
        for key, value in self._maps["pairs"].items():
            yield key, table.Pair.of(value)

    def remove(self, key: bytes) -> bool:
        return self._maps["pairs"].remove(key)

    def counts(self) -> dict[str, dict[str, int]]:
        """{direction: {outcome: number}}, of all processors. Raises OSError."""
        octets = self._maps["counts"].get(_ONE) or b""
        size = table.COUNTS.size
        each = [table.COUNTS.unpack_from(octets, cpu * size) for cpu in range(possible_processors())]
        sums = [sum(column) for column in zip(*each, strict=True)]
        half = len(table.OUTCOMES)
        return {
            direction: dict(zip(table.OUTCOMES, sums[start : start + half], strict=True))
            for direction, start in zip(DIRECTIONS, (0, half), strict=True)
        }

    def close(self) -> None:
        for one in self._maps.values():
            one.close()
