"""A BPF program at an interface's ingress by cls_bpf, for kernels without tcx (before 6.6).

It hangs on a qdisc: on the clsact or ingress that somebody has made there, else on a clsact of ours. An interface has
one of them at most. Other than a tcx link it outlives its process, so the filter bears a name by which a later run
finds it.
"""

import contextlib
import errno
import struct

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

_INGRESS, _EGRESS = 0xFFFFFFF2, 0xFFFFFFF3  # TC_H_CLSACT with TC_H_MIN_INGRESS, TC_H_MIN_EGRESS (linux/pkt_sched.h)
_KINDS = ("clsact", "ingress")  # the parent _INGRESS means either's ingress (net/sched/sch_ingress.c)
_LAST = 0xFFFF
_CAME, _WENT = (36,), (37, 45)  # RTM_NEWQDISC; RTM_DELQDISC, RTM_DELTFILTER (linux/rtnetlink.h)
_INDEX = struct.Struct("=i")  # in tcmsg, behind four octets


def qdiscs(ipr: IPRoute, ifindex: int | None = None) -> dict[int, str]:
    """Kind of the qdisc, of each interface that has one (of `ifindex` alone)."""
    asked = ipr.get_qdiscs() if ifindex is None else ipr.get_qdiscs(index=ifindex)
    kinds = ((qdisc["index"], qdisc.get_attr("TCA_KIND")) for qdisc in asked)
    return {index: kind for index, kind in kinds if kind in _KINDS}


def came(kind: int, body: bytes) -> int:
    """Index of the interface where, as a message says, a qdisc came; else 0."""
    return _index(body) if kind in _CAME else 0


def went(kind: int, body: bytes) -> int:
    """Index of the interface where, as a message says, a qdisc or a filter went; else 0."""
    return _index(body) if kind in _WENT else 0


def _index(body: bytes) -> int:
    return int(_INDEX.unpack_from(body, 4)[0]) if len(body) >= 8 else 0


def attach(ipr: IPRoute, ifindex: int, program: int, name: str) -> None:
    """Put the program behind the filters that are there, making clsact where neither is. Raises NetlinkError."""
    if not qdiscs(ipr, ifindex):
        try:
            ipr.tc("add", "clsact", index=ifindex)
        except NetlinkError as error:
            if error.code != errno.EEXIST:  # somebody was faster
                raise
    # Of itself the kernel puts a new filter in front of the others.
    ipr.tc("add-filter", "bpf", ifindex, 0, prio=_LAST, fd=program, name=name, parent=_INGRESS, direct_action=True)


def has_filter(ipr: IPRoute, ifindex: int, name: str) -> bool:
    """Whether our filter of that name is there."""
    try:
        return bool(_filters(ipr, ifindex, name))
    except NetlinkError:  # gone meanwhile
        return False


def detach(ipr: IPRoute, ifindex: int, name: str) -> bool:
    """Remove our filters of that name; False where there was none."""
    found = _filters(ipr, ifindex, name)
    for handle, info in found:
        ipr.tc("del-filter", "bpf", ifindex, handle, parent=_INGRESS, info=info)
    return bool(found)


def _filters(ipr: IPRoute, ifindex: int, name: str) -> list[tuple[int, int]]:
    """Handle and info of our filters."""
    if not qdiscs(ipr, ifindex):
        return []
    found = []
    for entry in list(ipr.get_filters(index=ifindex, parent=_INGRESS)):
        options = entry.get_attr("TCA_OPTIONS")
        if entry.get_attr("TCA_KIND") == "bpf" and options is not None and options.get_attr("TCA_BPF_NAME") == name:
            found.append((entry["handle"], entry["info"]))
    return found


def remove_if_empty(ipr: IPRoute, ifindex: int) -> None:
    """Remove the interface's clsact, unless somebody else has come to use it, or it is gone with the interface."""
    with contextlib.suppress(NetlinkError):
        if qdiscs(ipr, ifindex).get(ifindex) == "clsact" and not any(
            list(ipr.get_filters(index=ifindex, parent=parent)) for parent in (_INGRESS, _EGRESS)
        ):
            ipr.tc("del", "clsact", index=ifindex)
