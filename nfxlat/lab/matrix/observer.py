"""See a packet at every hook of both families, in order: nft `log` rules that report to nfnetlink_log.

Each hook has a chain before everything that nfxlat does there (-500) and one behind it (400), and each chain logs
marked UDP (`packets.PORT`) and ICMP errors with the name of the place. The kernel reports a packet before it goes on,
so what has been received at its destination has been reported in full, in the order of its way.

    nfgenmsg (family, version, group)  attributes: NFULA_PREFIX, _PAYLOAD, _MARK, _IFINDEX_INDEV, _OUTDEV
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType

from nfxlat.lab.matrix.packets import PORT
from nfxlat.lab.netns import Namespace
from nfxlat.netlink.connection import Connection
from nfxlat.nft.kernel import load
from nfxlat.wire.netlink import (
    NETLINK_NETFILTER,
    NFGENMSG_SIZE,
    NFNL_SUBSYS_ULOG,
    NLM_F_ACK,
    NLM_F_REQUEST,
    NLMSG_OVERRUN,
    attribute,
    attributes,
    be32,
    message,
    nfgenmsg,
)

HOOKS = ("prerouting", "input", "forward", "output", "postrouting")
EARLY, LATE = -500, 400
GROUP = 77
MARK, PRIORITY = 0x77, 0x10002  # what the question about them gives a packet
TABLE = "observer"

_TYPE_PACKET, _TYPE_CONFIG = (NFNL_SUBSYS_ULOG << 8 | kind for kind in (0, 1))  # NFULNL_MSG_*
_CFG_CMD, _CFG_MODE, _CFG_QTHRESH = 1, 2, 5  # NFULA_CFG_*
_CMD_BIND, _COPY_PACKET = 1, 2
_COPY_RANGE = 128
_MARK, _INDEV, _OUTDEV, _PAYLOAD, _PREFIX = 2, 4, 5, 9, 10  # NFULA_*
_ERRORS = (
    ("icmp", "destination-unreachable, time-exceeded, parameter-problem"),
    ("icmpv6", "destination-unreachable, packet-too-big, time-exceeded, parameter-problem"),
)


@dataclass(frozen=True, slots=True)
class Seen:
    """A packet at a place: family 4 or 6, hook, `late` (behind nfxlat's chains).

    `note`: "udp", "priority" (of `PRIORITY`), "error" (ICMP), or "sent" (ICMP error of a process, at output).
    """

    family: int
    hook: str
    late: bool
    note: str
    mark: int
    indev: str
    outdev: str
    packet: bytes  # its first 128 octets

    @property
    def hops(self) -> int:
        return self.packet[8] if self.family == 4 else self.packet[7]

    @property
    def is_error(self) -> bool:
        return self.note in ("error", "sent")


def ruleset() -> str:
    """The table of the observer."""
    lines = [f"table inet {TABLE} {{"]
    for hook in HOOKS:
        for place, priority in (("early", EARLY), ("late", LATE)):
            lines += [f"chain {hook}_{place} {{", f"type filter hook {hook} priority {priority}; policy accept;"]
            log = f'log group {GROUP} prefix "{hook} {place}'
            lines += [f'{match} {log} {note}" return' for match, note in _matches(hook)]
            lines.append("}")
    return "\n".join([*lines, "}"])


def _matches(hook: str) -> Iterator[tuple[str, str]]:
    """(match, note): the first that fits is logged."""
    yield f"udp dport {PORT} meta priority {PRIORITY}", "priority"
    yield f"udp dport {PORT}", "udp"
    for kind, types in _ERRORS:
        if hook == "output":  # the kernel's own ICMP sockets have no owner
            yield f"{kind} type {{ {types} }} meta skuid 0-4294967295", "sent"
        yield f"{kind} type {{ {types} }}", "error"


class Observer:
    """The rules of `ruleset` in a namespace, and their reports."""

    def __init__(self, namespace: Namespace) -> None:
        self._namespace = namespace
        self._names: dict[int, str] = {0: ""}
        with namespace.entered():
            self._log = Connection(NETLINK_NETFILTER, receive_buffer=1 << 22)
        try:
            command = attribute(_CFG_CMD, struct.pack("!B", _CMD_BIND))
            mode = attribute(_CFG_MODE, struct.pack("!IBx", _COPY_RANGE, _COPY_PACKET))
            threshold = be32(_CFG_QTHRESH, 1)  # report each packet at once
            for settings in (command, mode + threshold):
                body = nfgenmsg(0, GROUP) + settings
                if code := self._log.request(message(_TYPE_CONFIG, NLM_F_REQUEST | NLM_F_ACK, 0, body)):
                    raise OSError(code, os.strerror(code), "nfnetlink_log")
            namespace.call(load.run, ruleset(), what=TABLE)
        except BaseException:
            self._log.close()
            raise

    def __enter__(self) -> Observer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._log.close()

    def drain(self) -> list[Seen]:
        """All reports since the last call."""
        heard = self._log.drain()
        if any(kind == NLMSG_OVERRUN for kind, *_ in heard):
            raise OSError(errno.ENOBUFS, "reports were lost", "nfnetlink_log")
        return [self._seen(body) for kind, _, _, body in heard if kind == _TYPE_PACKET]

    def _seen(self, body: bytes) -> Seen:
        values = dict(attributes(body, NFGENMSG_SIZE))
        hook, place, note = values[_PREFIX].rstrip(b"\0").decode().split(maxsplit=2)
        mark, indev, outdev = (int.from_bytes(values.get(kind, b""), "big") for kind in (_MARK, _INDEV, _OUTDEV))
        version = 6 if body[0] == socket.AF_INET6 else 4
        return Seen(version, hook, place == "late", note, mark, self._name(indev), self._name(outdev), values[_PAYLOAD])

    def _name(self, index: int) -> str:
        if index not in self._names:
            self._names[index] = self._namespace.call(socket.if_indextoname, index)
        return self._names[index]
