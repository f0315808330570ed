"""The stamp's side of the host: an eBPF program at ingress that writes a superframe's gso_size into skb->priority.

It stamps only IP that is addressed to this node's link layer and has no priority yet; the rules put 0 back on all that
is not queued (rules/, priority -449). Interfaces below a bridge or a bond are left out: what these forward by
themselves never meets our rules. `wire.stamp` describes the value.

Whether a UDP superframe is a row of datagrams (SKB_GSO_UDP_L4) is not in __sk_buff: the program reads gso_type where
BTF says it lies. Without BTF or CAP_PERFMON, and where it is not asked for, nothing is called fit as UDP. Where it is,
single datagrams are stamped too, so that all of a UDP flow goes to the same queue and keeps its order.
"""

import contextlib
import errno
import os
import socket
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, Literal

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from nfxlat.errors import OperatorError
from nfxlat.host import bpf, clsact
from nfxlat.netlink.connection import Connection
from nfxlat.wire import bpf as code
from nfxlat.wire.btf import member_offsets
from nfxlat.wire.netlink import NETLINK_ROUTE, RTNLGRP_LINK
from nfxlat.wire.stamp import MAGIC, UDP

BTF = Path("/sys/kernel/btf/vmlinux")
ETH_P_IP, ETH_P_IPV6 = 0x0800, 0x86DD  # linux/if_ether.h
PACKET_HOST = 0  # linux/if_packet.h
SKB_GSO_DODGY, SKB_GSO_UDP_L4 = 1 << 1, 1 << 17  # linux/skbuff.h
NEXT = -1  # TCX_NEXT, TC_ACT_UNSPEC: whatever comes behind us decides
IFF_UP, IFF_LOOPBACK = 0x1, 0x8  # linux/if.h

How = Literal["tcx", "cls_bpf"]
HOW: tuple[How, ...] = ("tcx", "cls_bpf")  # in the order of preference


def gso_type_offsets() -> tuple[int, int, int] | None:
    """Offsets of sk_buff.head, sk_buff.end and skb_shared_info.gso_type; None where the kernel does not tell."""
    try:
        btf = BTF.read_bytes()
    except OSError:
        return None
    buffer, shared = (
        member_offsets(btf, "sk_buff", ("head", "end")),
        member_offsets(btf, "skb_shared_info", ("gso_type",)),
    )
    return (buffer[0], buffer[1], shared[0]) if buffer and shared else None


def program(offsets: tuple[int, int, int] | None) -> bytes:
    """The instructions; with `offsets` (of `gso_type_offsets`) it stamps UDP too."""
    r0, r1, r6, r7 = code.R0, code.R1, code.R6, code.R7
    udp: list[code.Instruction | str] = []
    if offsets is not None:
        udp = [*_unless_udp_l4(*offsets, target="store"), "udp", code.or_value(r7, UDP)]
    return code.assemble(
        code.move(r6, r1),
        code.load(r1, r6, bpf.SKB_PROTOCOL),
        code.jump_if(r1, socket.htons(ETH_P_IP), "ip"),
        code.jump_unless(r1, socket.htons(ETH_P_IPV6), "out"),
        "ip",
        code.load(r1, r6, bpf.SKB_PKT_TYPE),
        code.jump_unless(r1, PACKET_HOST, "out"),
        code.load(r1, r6, bpf.SKB_PRIORITY),
        code.jump_unless(r1, 0, "out"),
        code.load(r7, r6, bpf.SKB_GSO_SIZE),
        code.jump_if(r7, 0, "udp" if udp else "out"),
        *udp,
        "store",
        code.or_value(r7, MAGIC),
        code.store(r6, bpf.SKB_PRIORITY, r7),
        "out",
        code.move_value(r0, NEXT),
        code.EXIT,
    )


def _unless_udp_l4(head: int, end: int, gso_type: int, *, target: str) -> list[code.Instruction]:
    """Jump to `target` unless the gso_type of the sk_buff in r6 is SKB_GSO_UDP_L4 and nothing else."""
    r0, r1, r2, r3, r6, fp = code.R0, code.R1, code.R2, code.R3, code.R6, code.R10

    def read(slot: int, size: int) -> list[code.Instruction]:  # the `size` octets at r3, into the stack
        return [
            code.move(r1, fp),
            code.add_value(r1, slot),
            code.move_value(r2, size),
            code.call(bpf.PROBE_READ_KERNEL),
            code.jump_unless(r0, 0, target),
        ]

    return [
        code.move(r3, r6),  # the context of a classifier is the sk_buff itself
        code.add_value(r3, head),
        *read(-8, 8),
        code.move(r3, r6),
        code.add_value(r3, end),
        *read(-16, 4),
        code.load(r3, fp, -8, code.DW),  # skb_shared_info lies at head + end (skb_end_pointer, 64 bits)
        code.load(r1, fp, -16),
        code.add(r3, r1),
        code.add_value(r3, gso_type),
        *read(-16, 4),
        code.load(r1, fp, -16),
        code.and_value(r1, ~SKB_GSO_DODGY),  # of a guest's or a packet socket's making: the same type
        code.jump_unless(r1, SKB_GSO_UDP_L4, target),
    ]


def filter_name(domain_device: str) -> str:
    """Of our cls_bpf filters."""
    return f"nfxlat-{domain_device}"


def sweep(domain_device: str, report: Callable[[str], None], left_over: Collection[int] = ()) -> None:
    """Remove the filters that a run which was killed left, and the clsact of the interfaces `left_over`."""
    with IPRoute() as ipr:
        for index in sorted(clsact.interfaces(ipr)):
            with contextlib.suppress(NetlinkError):  # gone meanwhile
                if clsact.detach(ipr, index, filter_name(domain_device)):
                    name = ipr.get_links(index)[0].get_attr("IFLA_IFNAME")
                    report(f"removed the stamp of a former run from {name}")
        for index in left_over:
            clsact.remove_if_empty(ipr, index)


class Stamp:
    """The program, on every interface that needs it. `how` is None where the kernel refused; `udp` tells whether UDP
    is stamped; `indexes` are the interfaces.

    Readable (poll `fileno`) when an interface came or went: then call `refresh`. `domain_device` is not stamped.
    `how` limits the ways, best first. `note` is called with the indexes of all interfaces on which we make a clsact,
    before it is made; `left_over` are those that a run which was killed had noted.
    """

    def __init__(
        self,
        domain_device: str,
        report: Callable[[str], None],
        *,
        udp: bool = False,
        how: Sequence[How] | None = None,
        left_over: Collection[int] = (),
        note: Callable[[list[int]], None] = lambda indexes: None,
    ) -> None:
        self.how: How | None = None
        self.udp = False
        self._own_clsact: set[int] = set()
        self._name = filter_name(domain_device)
        self._domain_device, self._report, self._note = domain_device, report, note
        self._attached: dict[int, int] = {}  # ifindex: descriptor of the link, -1 for cls_bpf
        self._refused: set[int] = set()
        self._program = -1
        self._watch = Connection(NETLINK_ROUTE, groups=(RTNLGRP_LINK,))
        try:
            sweep(domain_device, report, left_over)
            self._load(udp)
            self._choose(HOW if how is None else how)
        except (OSError, NetlinkError, OperatorError) as error:
            self._detach_all()
            report(f"no stamp: {_cause(error)}; superframes are cut into segments of 1280 octets")
        except BaseException:
            self.close()
            raise

    @property
    def indexes(self) -> frozenset[int]:
        return frozenset(self._attached)

    def fileno(self) -> int:
        return self._watch.fileno()

    def refresh(self) -> None:
        """Stamp the interfaces that have come, forget those that have gone."""
        self._watch.drain()
        if self.how is not None:
            names = self._attach_all(self.how)
            if names:
                self._report(f"stamp also on {', '.join(names)}")

    def close(self) -> None:
        """Take everything off again."""
        self._detach_all()
        self._watch.close()

    def _load(self, udp: bool) -> None:
        offsets = gso_type_offsets() if udp else None
        if offsets is not None:
            with contextlib.suppress(OSError):  # no CAP_PERFMON, or a kernel locked down
                self._program = bpf.load(program(offsets), "nfxlat_stamp")
                self.udp = True
                return
        self._program = bpf.load(program(None), "nfxlat_stamp")

    def _choose(self, ways: Sequence[How]) -> None:
        """Attach by the first of `ways` that the kernel takes; raises what the last one met."""
        *others, last = ways
        for way in others:
            with contextlib.suppress(OSError, NetlinkError):
                return self._start(way)
            self._refused.clear()
        return self._start(last)

    def _start(self, how: How) -> None:
        names = self._attach_all(how, strict=True)
        self.how = how
        told = "TCP and UDP" if self.udp else "TCP"
        self._report(f"stamp of gso_size by {how} for {told} on {', '.join(names) if names else 'no interface yet'}")

    def _attach_all(self, how: How, *, strict: bool = False) -> list[str]:
        """Names of the interfaces newly stamped; with `strict` a refusal is raised, else reported once."""
        with IPRoute() as ipr:
            links = {link["index"]: link for link in ipr.get_links()}
            wanted = {index: link for index, link in links.items() if self._wants(link, links)}
            for index in self._attached.keys() - wanted.keys():
                self._detach(ipr, index)
            self._refused &= wanted.keys()
            names = []
            for index in sorted(wanted.keys() - self._attached.keys() - self._refused):
                name = wanted[index].get_attr("IFLA_IFNAME")
                try:
                    self._attached[index] = self._attach(ipr, index, how)
                    names.append(name)
                except (OSError, NetlinkError) as error:
                    if _errno(error) in (errno.ENODEV, errno.ENXIO):  # gone meanwhile
                        continue
                    if strict:
                        raise
                    self._refused.add(index)
                    self._report(f"no stamp on {name}: {_cause(error)}")
        return names

    def _wants(self, link: Any, links: dict[int, Any]) -> bool:
        if not link["flags"] & IFF_UP or link["flags"] & IFF_LOOPBACK:
            return False
        master = links.get(link.get_attr("IFLA_MASTER") or 0)
        if master is not None and master.get_nested("IFLA_LINKINFO", "IFLA_INFO_KIND") != "vrf":
            return False
        return bool(link.get_attr("IFLA_IFNAME") != self._domain_device)

    def _attach(self, ipr: IPRoute, index: int, how: How) -> int:
        if how == "tcx":
            return bpf.link_tcx_ingress(self._program, index)
        if not clsact.has_clsact(ipr, index):
            self._own_clsact.add(index)
            self._note(sorted(self._own_clsact))
        clsact.attach(ipr, index, self._program, self._name)
        return -1

    def _detach(self, ipr: IPRoute, index: int) -> None:
        descriptor = self._attached.pop(index)
        if descriptor >= 0:
            os.close(descriptor)
            return
        with contextlib.suppress(NetlinkError):  # gone with its interface
            clsact.detach(ipr, index, self._name)

    def _detach_all(self) -> None:
        with IPRoute() as ipr:
            for index in self.indexes:
                self._detach(ipr, index)
            for index in self._own_clsact:
                clsact.remove_if_empty(ipr, index)
        self._own_clsact.clear()
        if self._program >= 0:
            os.close(self._program)
            self._program = -1
        self.how = None


def _errno(error: OSError | NetlinkError) -> int:
    return int((error.code if isinstance(error, NetlinkError) else error.errno) or 0)


def _cause(error: OSError | NetlinkError | OperatorError) -> str:
    if isinstance(error, OperatorError):
        return error.what
    return f"the kernel refuses the BPF program ({os.strerror(_errno(error))})"
