"""What `--setup` owns beside rules: the device, its addresses, routes, sysctls. What others take away is noticed, told,
and put back.

The kernel tells of changes (rtnetlink); a moment after the first word of one that may concern us, what is there is
compared with the plan, so our own changes need no marking: they compare equal. What a reload left unfinished is tried
again as what could not be put back. A host with a full routing table hears
of many changes that are not ours, replaced routes among them; those cost a look at one message each.
"""

import contextlib
import socket
import struct
import time
from collections.abc import Callable

from nfxlat.errors import OperatorError
from nfxlat.host import found, neighbours
from nfxlat.host.interfaces import RTM_DELLINK, RTM_NEWLINK
from nfxlat.host.routes import packed
from nfxlat.host.rtnetlink import (
    NETCONFA_IFINDEX,
    NETCONFA_IFINDEX_ALL,
    RTM_DELADDR,
    RTM_DELROUTE,
    RTM_NEWNETCONF,
    RTM_NEWROUTE,
    Destination,
    destination_of,
    protocol_of,
)
from nfxlat.netlink.connection import Connection
from nfxlat.plan.compare import Lack, Wanted, lacks, told
from nfxlat.plan.plan import Plan
from nfxlat.plan.routes import PROTOCOL, Route
from nfxlat.service.fence import described
from nfxlat.service.looking import Looking
from nfxlat.service.repairs import Later, Repairs
from nfxlat.service.setup import Setup
from nfxlat.terms import Report
from nfxlat.wire.netlink import (
    NETLINK_ROUTE,
    NLM_F_REPLACE,
    NLMSG_OVERRUN,
    RTNLGRP_IPV4_IFADDR,
    RTNLGRP_IPV4_NETCONF,
    RTNLGRP_IPV4_ROUTE,
    RTNLGRP_IPV6_NETCONF,
    RTNLGRP_IPV6_ROUTE,
    RTNLGRP_LINK,
    chosen,
)

DEBOUNCE = 0.1  # seconds
POLL = 5.0  # seconds between looks for proxy entries, of which the kernel sends no word (net/core/neighbour.c)
RECEIVE_BUFFER = 4 << 20
GROUPS = (
    RTNLGRP_LINK,
    RTNLGRP_IPV4_IFADDR,
    RTNLGRP_IPV4_ROUTE,
    RTNLGRP_IPV6_ROUTE,
    RTNLGRP_IPV4_NETCONF,
    RTNLGRP_IPV6_NETCONF,
)
_INDEX = struct.Struct("=i")  # in ifinfomsg and ifaddrmsg, behind four octets
_NETCONF = frozenset((NETCONFA_IFINDEX,))


class HostWatch:
    """Readable (`fileno`) when something changed; `changed` is then due. `later` calls something after some seconds;
    `remade` is called when the device, or its VRF, is another than the one that workers have, since sockets into that
    are dead. Raises OperatorError where they cannot have it, and is called again. `served`: the indexes of those that
    workers have; where it is left out, those that are there.
    """

    def __init__(
        self,
        setup: Setup,
        report: Report,
        later: Later,
        remade: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
        served: tuple[int, int] | None = None,
    ) -> None:
        self._setup, self._remade = setup, remade
        self.missing: list[str] = []  # it is put back
        self._report = report
        self._repairs = Repairs("host", report, later, self._look, clock)
        self._connection = Connection(NETLINK_ROUTE, groups=GROUPS, receive_buffer=RECEIVE_BUFFER)
        self.served = setup.indexes if served is None else served  # of the device, and its VRF, that workers have
        self._routes: tuple[Route, ...] = ()
        self._places: frozenset[Destination] = frozenset()  # of those
        self._later, self._polling = later, False
        self._looking = Looking(self._look, report, later, DEBOUNCE)
        self._looking.soon(0.0)  # what has changed since it was set up

    @property
    def counts(self) -> dict[str, int]:
        return self._repairs.counts

    def fileno(self) -> int:
        return self._connection.fileno()

    def reloaded(self) -> None:
        """What of it is unfinished the kernel does not tell of."""
        if self._setup.unfinished:
            self._looking.soon()

    def close(self) -> None:
        self._connection.close()

    def changed(self) -> None:
        """Hear what has changed, and look a moment later where it may be ours."""
        self._poll()
        own = {*self._setup.indexes, *self.served} - {0}  # of a device that is gone the kernel has told before
        if self._setup.stands is not None and self._setup.stands.proxies:  # they go with an interface that goes down
            answering = {proxy.interface for proxy in self._setup.stands.proxies}
            own |= {index for index, name in socket.if_nameindex() if name in answering}
        heard = (self._concerns(kind, flags, body, own) for kind, flags, _, body in self._connection.drain())
        if any(heard):
            self._looking.soon()

    def _concerns(self, kind: int, flags: int, body: bytes, own: set[int]) -> bool:
        if kind == RTM_DELROUTE:  # a reload deletes what the plan has no more
            return protocol_of(body) == PROTOCOL and self._has(destination_of(body))
        if kind == RTM_NEWROUTE:  # another's in the place of ours; a routing daemon replaces thousands of its own
            return bool(flags & NLM_F_REPLACE) and protocol_of(body) != PROTOCOL and self._has(destination_of(body))
        if kind in (RTM_NEWLINK, RTM_DELLINK, RTM_DELADDR):
            return len(body) >= 8 and _INDEX.unpack_from(body, 4)[0] in own
        if kind == RTM_NEWNETCONF:  # every interface that comes has some
            (index,) = _INDEX.unpack(chosen(body, _NETCONF, 4).get(NETCONFA_IFINDEX, bytes(4)))
            return index == NETCONFA_IFINDEX_ALL or index in own
        return kind == NLMSG_OVERRUN

    def _has(self, destination: Destination) -> bool:
        """Whether the plan has a route to it."""
        plan = self._setup.stands
        if plan is not None and plan.routes is not self._routes:
            self._routes, self._places = plan.routes, frozenset(packed(route.network) for route in plan.routes)
        return destination in self._places

    def _poll(self) -> None:
        """Where there are proxy entries, look for them from time to time."""
        plan = self._setup.stands
        if plan is not None and plan.proxies and not self._polling:
            self._polling = True
            self._later(POLL, self._look_for_proxies)

    def _look_for_proxies(self) -> None:
        self._polling = False
        self._poll()
        plan = self._setup.stands
        if plan is not None and plan.proxies and not self._repairs.resting:
            with contextlib.suppress(OSError):  # a look says why
                if neighbours.standing(plan.proxies) != frozenset(plan.proxies):
                    self._looking.soon()

    def _look(self) -> None:
        self._poll()
        plan = self._setup.stands
        if plan is None or self._repairs.resting:
            return
        try:
            missing = self._missing(plan)
        except Exception as error:
            self._repairs.failed(described("cannot be looked at", error))
            return
        if missing:
            self._repairs.attempt(told(missing), self._repair)
        elif self._setup.unfinished:
            self._finish()
        else:
            self._repairs.well()

    def _finish(self) -> None:
        """What a reload could not bring to its end: as a repair, again later."""
        try:
            self._setup.finish()
        except Exception as error:
            self._repairs.failed(described("what a reload left unfinished cannot be done", error))
            return
        self._repairs.well()
        self._report("host: what a reload left unfinished is done")

    def _missing(self, plan: Plan) -> list[Lack]:
        wanted, indexes = Wanted.of_plan(plan), self._setup.indexes  # of one that goes from here on the kernel tells
        missing = lacks(wanted, found.look(wanted))
        if indexes != self.served and not any(lack.kind == "device" for lack in missing):
            which = wanted.device if indexes[0] != self.served[0] else f"VRF {wanted.vrf}"
            missing.insert(0, Lack("device", f"{which} (made anew)"))
        return missing

    def _repair(self) -> None:
        self._setup.repair()
        if (indexes := self._setup.indexes) != self.served:
            try:
                self._remade()
            except OSError as error:  # gone again meanwhile
                raise OperatorError(str(error), where="device") from None
            self.served = indexes
