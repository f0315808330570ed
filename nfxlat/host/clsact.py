"""A BPF program at an interface's ingress by cls_bpf on clsact, for kernels without tcx (before 6.6).

Other than a tcx link it outlives its process, so the filter bears a name by which a later run finds it.
"""

import contextlib

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

_INGRESS, _EGRESS = 0xFFFFFFF2, 0xFFFFFFF3  # TC_H_CLSACT with TC_H_MIN_INGRESS, TC_H_MIN_EGRESS (linux/pkt_sched.h)
_LAST = 0xFFFF


def interfaces(ipr: IPRoute) -> set[int]:
    """Indexes of the interfaces that have a clsact."""
    return {qdisc["index"] for qdisc in ipr.get_qdiscs() if qdisc.get_attr("TCA_KIND") == "clsact"}


def has_clsact(ipr: IPRoute, ifindex: int) -> bool:
    return any(qdisc.get_attr("TCA_KIND") == "clsact" for qdisc in ipr.get_qdiscs(index=ifindex))


def attach(ipr: IPRoute, ifindex: int, program: int, name: str) -> None:
    """Put the program behind the filters that are there, making clsact where it lacks. Raises NetlinkError."""
    if not has_clsact(ipr, ifindex):
        ipr.tc("add", "clsact", index=ifindex)
    # Of itself the kernel puts a new filter in front of the others.
    ipr.tc("add-filter", "bpf", ifindex, 0, prio=_LAST, fd=program, name=name, parent=_INGRESS, direct_action=True)


def detach(ipr: IPRoute, ifindex: int, name: str) -> bool:
    """Remove our filters of that name; False where there was none."""
    found = False
    if not has_clsact(ipr, ifindex):
        return found
    for entry in list(ipr.get_filters(index=ifindex, parent=_INGRESS)):
        options = entry.get_attr("TCA_OPTIONS")
        if entry.get_attr("TCA_KIND") == "bpf" and options is not None and options.get_attr("TCA_BPF_NAME") == name:
            ipr.tc("del-filter", "bpf", ifindex, entry["handle"], parent=_INGRESS, info=entry["info"])
            found = True
    return found


def remove_if_empty(ipr: IPRoute, ifindex: int) -> None:
    """Remove the interface's clsact, unless somebody else has come to use it, or it is gone with the interface."""
    with contextlib.suppress(NetlinkError):
        if has_clsact(ipr, ifindex) and not any(
            list(ipr.get_filters(index=ifindex, parent=parent)) for parent in (_INGRESS, _EGRESS)
        ):
            ipr.tc("del", "clsact", index=ifindex)
