"""A BPF program at an interface's ingress by cls_bpf, for kernels without tcx (before 6.6).

It hangs on a qdisc: on the clsact or ingress that somebody has made there, else on a clsact of ours. An interface has
one of them at most. Other than a tcx link it outlives its process, so the filter bears a name by which a later run
finds it.

    0        1      4       8        12       16              20
    | family | pad  | index | handle | parent | priority << 16 | protocol | attributes       (struct tcmsg)

Messages are packed by hand, many to a system call: through pyroute2 600 interfaces take 55 s of CPU time.
"""

import errno
import os
import socket
import struct
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

from nfxlat.netlink.connection import Connection, Object
from nfxlat.wire.netlink import (
    NETLINK_ROUTE,
    NLM_F_CREATE,
    NLM_F_EXCL,
    Request,
    chosen,
    nested,
    string,
    u32,
)

# linux/rtnetlink.h
RTM_NEWQDISC, RTM_DELQDISC, RTM_GETQDISC = 36, 37, 38
RTM_NEWTFILTER, RTM_DELTFILTER, RTM_GETTFILTER = 44, 45, 46
TCA_KIND, TCA_OPTIONS = 1, 2

# linux/pkt_sched.h, linux/pkt_cls.h
_TC_H_CLSACT, _HANDLE = 0xFFFFFFF1, 0xFFFF0000  # where such a qdisc is, and its own number
_INGRESS, _EGRESS = 0xFFFFFFF2, 0xFFFFFFF3  # TC_H_CLSACT with TC_H_MIN_INGRESS, TC_H_MIN_EGRESS
_KINDS = ("clsact", "ingress")  # the parent _INGRESS means either's ingress (net/sched/sch_ingress.c)
TCA_BPF_FD, TCA_BPF_NAME, TCA_BPF_FLAGS, TCA_BPF_FLAG_ACT_DIRECT = 6, 7, 8, 1
ETH_P_ALL = 3
_LAST = 0xFFFF << 16 | socket.htons(ETH_P_ALL)  # of itself the kernel puts a new filter in front of the others

_TCMSG = struct.Struct("=BxxxiIII")
_SHOWN = frozenset((TCA_KIND, TCA_OPTIONS))
_BPF_NAME = frozenset((TCA_BPF_NAME,))


def qdiscs() -> dict[int, str]:
    """Kind of the qdisc, by the index of each interface that has one. Raises OSError."""
    with Connection(NETLINK_ROUTE) as connection:
        return dict(connection.dump(RTM_GETQDISC, _TCMSG.pack(0, 0, 0, 0, 0), _qdisc))


def _qdisc(body: bytes) -> tuple[int, str] | None:
    kind = _kind(chosen(body, _SHOWN, _TCMSG.size))
    return (_index(body), kind) if kind in _KINDS else None


def _kind(attributes: dict[int, bytes]) -> str:
    return attributes.get(TCA_KIND, b"").rstrip(b"\0").decode(errors="replace")


def came(kind: int, body: bytes) -> int:
    """Index of the interface where, as a message says, a qdisc came; else 0."""
    return _index(body) if kind == RTM_NEWQDISC else 0


def went(kind: int, body: bytes) -> int:
    """Index of the interface where, as a message says, a qdisc or a filter went; else 0."""
    return _index(body) if kind in (RTM_DELQDISC, RTM_DELTFILTER) else 0


def _index(body: bytes) -> int:
    return int(_TCMSG.unpack_from(body)[1]) if len(body) >= _TCMSG.size else 0


def touches(kind: int) -> bool:
    """Whether a message of that kind tells of qdiscs or filters."""
    return kind in (RTM_NEWQDISC, RTM_DELQDISC, RTM_NEWTFILTER, RTM_DELTFILTER)


def attach(indexes: Sequence[int], lacking: Collection[int], program: int, name: str) -> dict[int, OSError]:
    """Put the program behind the filters of each interface, making clsact where it is `lacking`.

    What was refused, by interface. Raises OSError where nothing can be asked.
    """
    refused: dict[int, OSError] = {}
    made = [index for index in indexes if index in lacking]
    clsact = string(TCA_KIND, "clsact")
    qdisc = [(_TCMSG.pack(0, index, _HANDLE, _TC_H_CLSACT, 0) + clsact) for index in made]
    for number, code in _apply((RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, body) for body in qdisc):
        if code != errno.EEXIST:  # somebody was faster
            refused[made[number]] = OSError(code, os.strerror(code))
    left = [index for index in indexes if index not in refused]
    options = u32(TCA_BPF_FD, program) + string(TCA_BPF_NAME, name) + u32(TCA_BPF_FLAGS, TCA_BPF_FLAG_ACT_DIRECT)
    bpf = string(TCA_KIND, "bpf") + nested(TCA_OPTIONS, options)
    filters = [_TCMSG.pack(0, index, 0, _INGRESS, _LAST) + bpf for index in left]
    for number, code in _apply((RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL, body) for body in filters):
        refused[left[number]] = OSError(code, os.strerror(code))
    return refused


def has_filter(ifindex: int, name: str) -> bool:
    """Whether our filter of that name is there. Raises OSError."""
    return bool(_filters(ifindex, name))


def filtered(indexes: Collection[int], prefix: str) -> frozenset[int]:
    """Those of the interfaces at whose ingress there are filters of others; ours have names that begin with `prefix`.

    Raises OSError.
    """
    there = qdiscs() if indexes else {}
    ours = prefix.encode()

    def read(body: bytes) -> bool | None:
        _, _, handle, _, _ = _TCMSG.unpack_from(body)
        attributes = chosen(body, _SHOWN, _TCMSG.size)
        if _kind(attributes) != "bpf":
            return True
        name = chosen(attributes.get(TCA_OPTIONS, b""), _BPF_NAME).get(TCA_BPF_NAME, b"")
        return True if handle and not name.startswith(ours) else None  # handle 0: what the filters hang on

    return frozenset(index for index in indexes if index in there and _dumped(index, _INGRESS, read))


def detach(indexes: Iterable[int], name: str) -> list[int]:
    """Remove our filters of that name; where there were any. Raises OSError."""
    found = [(index, handle, info) for index in indexes for handle, info in _filters(index, name)]
    bpf = string(TCA_KIND, "bpf")
    bodies = [_TCMSG.pack(0, index, handle, _INGRESS, info) + bpf for index, handle, info in found]
    gone = dict.fromkeys(index for index, _, _ in found)
    for number, _ in _apply((RTM_DELTFILTER, 0, body) for body in bodies):  # gone meanwhile, mostly
        gone.pop(found[number][0], None)
    return list(gone)


def _filters(ifindex: int, name: str) -> list[tuple[int, int]]:
    """Handle and info of our filters."""
    wanted = name.encode() + b"\0"

    def read(body: bytes) -> tuple[int, int] | None:
        _, _, handle, _, info = _TCMSG.unpack_from(body)
        attributes = chosen(body, _SHOWN, _TCMSG.size)
        options = chosen(attributes.get(TCA_OPTIONS, b""), _BPF_NAME) if _kind(attributes) == "bpf" else {}
        return (handle, info) if handle and options.get(TCA_BPF_NAME) == wanted else None

    return _dumped(ifindex, _INGRESS, read)


def remove_empty(indexes: Collection[int]) -> None:
    """Remove the clsact of these interfaces, but where somebody else has come to use it. Raises OSError."""
    there = qdiscs() if indexes else {}
    own = [index for index in indexes if there.get(index) == "clsact"]
    empty = [index for index in own if not any(_dumped(index, where, _any) for where in (_INGRESS, _EGRESS))]
    clsact = string(TCA_KIND, "clsact")
    bodies = [_TCMSG.pack(0, index, _HANDLE, _TC_H_CLSACT, 0) + clsact for index in empty]
    list(_apply((RTM_DELQDISC, 0, body) for body in bodies))  # gone with the interface, where it is refused


def _any(body: bytes) -> bool | None:
    """A filter, or a chain of them."""
    return True


def _dumped(ifindex: int, parent: int, read: Callable[[bytes], Object | None]) -> list[Object]:
    with Connection(NETLINK_ROUTE) as connection:
        try:
            return connection.dump(RTM_GETTFILTER, _TCMSG.pack(0, ifindex, 0, parent, 0), read)
        except OSError as error:
            if error.errno in (errno.ENODEV, errno.ENOENT, errno.EINVAL):  # no such interface, no such qdisc
                return []
            raise


def _apply(requests: Iterable[Request]) -> Iterator[tuple[int, int]]:
    with Connection(NETLINK_ROUTE) as connection:
        yield from connection.apply(requests)
