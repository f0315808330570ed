"""The stamp's side of the host: the program (nfxlat/offload) at the ingress of every interface that needs it.

It stamps only IP that is addressed to this node's link layer and has no priority yet; the rules put 0 back on all that
is not queued (rules/, priority -449). Where UDP is stamped, single datagrams are too, so that all of a flow goes to the
same queue and keeps its order.

Interfaces below a bridge or a bond are left out: what these forward by themselves never meets our rules. `wire.stamp`
describes the value.

An interface is stamped by the first way that it takes. What one refuses is told, and is its own affair: its
superframes are cut into segments of 1280 octets. What others take away again (a filter goes with somebody's ingress
qdisc) is put back.

Filters of others (tc: shaping by an IFB, police, drop) come behind a program by tcx. A stamp is nothing to them, but
what were translated there would never meet them: where there are any, nothing is.
"""

import contextlib
import errno
import os
import socket
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from typing import Literal

from nfxlat.errors import OperatorError
from nfxlat.host import bpf, clsact, ingress, interfaces
from nfxlat.host.interfaces import IFF_LOOPBACK, RTM_DELLINK, RTM_NEWLINK, Interface
from nfxlat.netlink.connection import Connection
from nfxlat.terms import Report
from nfxlat.wire.netlink import NETLINK_ROUTE, NLMSG_OVERRUN, RTNLGRP_LINK, RTNLGRP_TC, Message

How = Literal["tcx", "cls_bpf"]
HOW: tuple[How, ...] = ("tcx", "cls_bpf")  # in the order of preference
_OF_LINKS = (RTM_NEWLINK, RTM_DELLINK, NLMSG_OVERRUN)
_GONE = (errno.ENODEV, errno.ENXIO)
AT_ONCE = 16  # links: for each the kernel waits until no other CPU can see what was there (tcx_entry_sync)
SHOWN = 16  # names in a line
PREFIX = "nfxlat-"
_CUT = "superframes are cut into segments of 1280 octets"

Refusals = dict[int, OSError]  # by interface


def filter_name(domain_device: str) -> str:
    """Of our cls_bpf filters."""
    return f"{PREFIX}{domain_device}"


def sweep(domain_device: str, report: Report, left_over: Collection[int] = ()) -> None:
    """Remove the filters that a run which was killed left, and the clsact of the interfaces `left_over`."""
    for index in clsact.detach(sorted(clsact.qdiscs()), filter_name(domain_device)):
        with contextlib.suppress(OSError):  # gone meanwhile
            report(f"removed the stamp of a former run from {socket.if_indextoname(index)}")
    clsact.remove_empty(left_over)


class Stamp:
    """The program, on every interface that needs it. `how`: the way that the first interface took, None where the
    kernel refuses all; `udp` tells whether UDP is stamped; `indexes` are the interfaces.

    Readable (poll `fileno`) when an interface came or went, or a filter: then call `refresh`. `domain_device` is not
    stamped. `how` limits the ways, best first. `note` is called with the indexes of all interfaces on which we make a
    clsact, before it is made; `left_over` are those that a run which was killed had noted. Of many interfaces the rest
    is `unfinished`, and all is where a `refresh` has raised: then another is due, too. With `table` the program also
    translates what that knows: `offloads` says what ("TCP", "TCP and UDP"), `translates` where; `landscape` is all
    interfaces as they were last seen.
    """

    def __init__(
        self,
        domain_device: str,
        report: Report,
        *,
        udp: bool = False,
        how: Sequence[How] | None = None,
        left_over: Collection[int] = (),
        note: Callable[[list[int]], None] = lambda indexes: None,
        table: ingress.Table | None = None,
    ) -> None:
        self.how: How | None = None
        self.udp = False
        self.offloads = ""
        self.translates: frozenset[int] = frozenset()
        self.landscape: frozenset[Interface] = frozenset()
        self._ways = HOW if how is None else how
        self._own_clsact: set[int] = set()
        self._name = filter_name(domain_device)
        self._domain_device, self._report, self._note = domain_device, report, note
        self._attached: dict[int, int] = {}  # ifindex: descriptor of the link, -1 for cls_bpf
        self._refused: set[int] = set()
        self._filtered: frozenset[int] = frozenset()
        self.unfinished = False
        self._unseen = False  # more may have changed than was heard
        self._program = -1
        self._watch = Connection(NETLINK_ROUTE, groups=(RTNLGRP_LINK, RTNLGRP_TC))
        try:
            sweep(domain_device, report, left_over)
            self._load(udp, table)
            self._start()
        except (OSError, OperatorError) as error:
            self._detach_all()
            report(f"no stamp: {_cause(error)}; {_CUT}")
        except BaseException:
            self.close()
            raise

    @property
    def indexes(self) -> frozenset[int]:
        return frozenset(self._attached)

    def fileno(self) -> int:
        return self._watch.fileno()

    def refresh(self) -> None:
        """Stamp the interfaces that have come, forget those that have gone, put back what others took away. Raises what
        it meets, and then what was heard is looked at again."""
        heard = self._watch.drain()
        if self._program < 0:
            return
        unfinished = self.unfinished
        self._unseen |= any(kind == NLMSG_OVERRUN for kind, *_ in heard)
        unseen, self._unseen, self.unfinished = self._unseen, True, True  # until all has been seen to
        self.unfinished = (self._forget(heard, unseen) or unfinished) and self._renew()
        self._unseen = False

    def _renew(self) -> bool:
        """Stamp what is not; whether some are left."""
        before = self._filtered
        ways, refused, left = self._attach_all()
        if ways:
            self._report(f"stamp also on {_shown([name for names in ways.values() for name in names])}")
        self._tell(refused)
        self._tell_filtered(before)
        return left

    def close(self) -> None:
        """Take everything off again."""
        self._detach_all()
        self._watch.close()

    def _load(self, udp: bool, table: ingress.Table | None) -> None:
        places = ingress.places() if udp or table is not None else None
        if table is not None:
            try:
                self._program, known = ingress.load("offload", table.descriptors, places, stamp_udp=udp)
                self.udp, self.offloads = udp and known, "TCP and UDP" if known else "TCP"
                return
            except OSError as error:
                self._report(f"no offload: {_cause(error)}")
        self._program, self.udp = ingress.load("stamp", {}, places if udp else None)

    def _start(self) -> None:
        ways, refused, self.unfinished = self._attach_all()
        if refused and not ways:
            self._report(f"no stamp: {_cause(next(iter(refused.values())))}; {_CUT}")
            return
        if self.how is None:
            self.how = self._ways[0]
        told = "TCP and UDP" if self.udp else "TCP"
        for how, names in (ways or {self.how: ["no interface yet"]}).items():
            self._report(f"stamp of gso_size by {how} for {told} on {_shown(names)}")
        self._tell(refused)
        self._tell_filtered(frozenset())

    def _tell(self, refused: dict[str, OSError]) -> None:
        """One line for each cause."""
        names = defaultdict(list)
        for name, error in refused.items():
            names[_cause(error)].append(name)
        for cause, those in names.items():
            self._report(f"no stamp on {_shown(those)}: {cause}; {_CUT} there")

    def _tell_filtered(self, before: frozenset[int]) -> None:
        """Where filters of others came or went."""
        names = {link.index: link.name for link in self.landscape}
        if came := sorted(names[index] for index in self._filtered - before):
            self._report(f"no offload on {_shown(came)}: tc filters there would not see what is translated at ingress")
        if went := sorted(names[index] for index in before & self._attached.keys() - self._filtered):
            self._report(f"offload on {_shown(went)} too: no tc filters are there any more")

    def _forget(self, heard: Sequence[Message], unseen: bool) -> bool:
        """What is not there any more, or not as it was; whether there is something to look at. `unseen`: not all of it
        was heard."""
        gone = {interfaces.gone(body) for kind, _, _, body in heard if kind == RTM_DELLINK}
        touched = self._attached.keys() & {clsact.went(kind, body) for kind, _, _, body in heard}
        tried = {clsact.came(kind, body) or clsact.went(kind, body) for kind, _, _, body in heard} & self._refused
        if unseen:
            touched, tried = set(self._attached), set(self._refused)
        if gone or touched:
            self._detach(gone & self._attached.keys())  # one that has such an index by now is another interface
            for index in touched - gone:
                if self._attached[index] < 0 and not clsact.has_filter(index, self._name):
                    del self._attached[index]
        self._own_clsact -= gone
        self._refused -= gone | tried  # they may take it now
        filters = bool(self.offloads) and any(clsact.touches(kind) for kind, *_ in heard)
        return bool(unseen or touched or tried or filters) or any(kind in _OF_LINKS for kind, *_ in heard)

    def _attach_all(self) -> tuple[dict[How, list[str]], dict[str, OSError], bool]:
        """Names of the interfaces newly stamped, by the way, what those met that refuse every way, and whether some are
        left."""
        links = interfaces.listed()
        wanted = {index for index, link in links.items() if self._wants(link, links)}
        stamped: dict[How, list[str]] = {}
        refusals: Refusals = {}
        self._detach(self._attached.keys() - wanted)
        self._refused &= wanted
        left = sorted(wanted - self._attached.keys() - self._refused)
        unfinished = False
        for how in self._ways if left else ():
            if how == "tcx":
                refusals, unfinished = self._link(left)
            else:
                refusals = self._hang(left)
            if names := [links[index].name for index in left if index in self._attached]:
                stamped[how] = names
                self.how = self.how or how
            left = sorted(refusals)
        self._refused |= refusals.keys()
        self.landscape = frozenset(links.values())
        ahead = [index for index, descriptor in self._attached.items() if descriptor >= 0] if self.offloads else []
        self._filtered = clsact.filtered(ahead, PREFIX)
        ethernet = frozenset(index for index in self._attached if links[index].ethernet)
        self.translates = ethernet - self._filtered
        return stamped, {links[index].name: error for index, error in refusals.items()}, unfinished

    def _wants(self, link: Interface, links: dict[int, Interface]) -> bool:
        if not link.up or link.flags & IFF_LOOPBACK:
            return False
        master = links.get(link.master)
        if master is not None and master.kind != "vrf":
            return False
        return link.name != self._domain_device

    def _link(self, indexes: Sequence[int]) -> tuple[Refusals, bool]:
        """By tcx, a number of them; what those met that refuse, and whether some are left. Those that are gone
        meanwhile are left out."""
        refusals: Refusals = {}
        made = 0
        for index in indexes:
            if made == AT_ONCE:
                return refusals, True
            try:
                self._attached[index] = bpf.link_tcx_ingress(self._program, index)
                made += 1
            except OSError as error:
                if error.errno not in _GONE:
                    refusals[index] = error
        return refusals, False

    def _hang(self, indexes: Sequence[int]) -> Refusals:
        """By cls_bpf, likewise, but all."""
        taken = clsact.qdiscs()
        lacking = {index for index in indexes if index not in taken}
        if lacking - self._own_clsact:
            own = self._own_clsact | lacking
            self._note(sorted(own))
            self._own_clsact = own
        refused = clsact.attach(indexes, lacking, self._program, self._name)
        self._attached.update({index: -1 for index in indexes if index not in refused})
        return {index: error for index, error in refused.items() if error.errno not in _GONE}

    def _detach(self, indexes: Collection[int]) -> None:
        descriptors = {index: self._attached.pop(index) for index in tuple(indexes)}
        for descriptor in descriptors.values():
            if descriptor >= 0:
                bpf.detach(descriptor)
        hung = [index for index, descriptor in descriptors.items() if descriptor < 0]
        if hung:
            clsact.detach(hung, self._name)

    def _detach_all(self) -> None:
        try:
            self._detach(self.indexes)
            clsact.remove_empty(self._own_clsact)
        finally:
            self._own_clsact.clear()
            if self._program >= 0:
                os.close(self._program)
                self._program = -1
            self.how, self.udp, self.offloads, self.translates = None, False, "", frozenset()


def _shown(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _cause(error: OSError | OperatorError) -> str:
    if isinstance(error, OperatorError):
        return error.what
    return f"the kernel refuses the BPF program ({os.strerror(error.errno or 0)})"
