"""Without `--setup` device, routes and forwarding are the operator's: what of them was there and is lost is told.

What is there at the start is what the operator wants: routes may be fewer and shorter than a plan's. Of a large table
no routes are looked for. Forwarding that is off from the start is told: routes may be others than a plan's, it may not.
"""

import struct
from dataclasses import replace

from nfxlat.host import found
from nfxlat.host.interfaces import RTM_DELLINK, RTM_NEWLINK
from nfxlat.host.links import index_of
from nfxlat.host.routes import packed
from nfxlat.host.rtnetlink import RTM_DELADDR, RTM_DELROUTE, RTM_NEWNETCONF, RTM_NEWROUTE, Destination, destination_of
from nfxlat.netlink.connection import Connection
from nfxlat.plan.compare import Lack, Wanted, lacks, told
from nfxlat.plan.plan import Plan
from nfxlat.service.host_watch import DEBOUNCE, GROUPS, RECEIVE_BUFFER
from nfxlat.service.looking import Looking
from nfxlat.service.repairs import Later
from nfxlat.terms import Report
from nfxlat.wire.netlink import NETLINK_ROUTE, NLMSG_OVERRUN

MOST_ROUTES = 1000
_INDEX = struct.Struct("=i")  # in ifinfomsg and ifaddrmsg, behind four octets


class OperatorsHostWatch:
    """Readable (`fileno`) when something changed; `changed` is then due. `later` calls something after some seconds.

    `missing`: what was there and is not, by kind and name. `counts` goes into the summary.
    """

    def __init__(self, plan: Plan, report: Report, later: Later) -> None:
        self._report = report
        self.counts = {"lost": 0, "repaired": 0}
        self._lost: list[Lack] = []
        self._off: list[Lack] = []  # of forwarding, as it was told last
        self._connection = Connection(NETLINK_ROUTE, groups=GROUPS, receive_buffer=RECEIVE_BUFFER)
        self._looking = Looking(self._look, report, later, DEBOUNCE, "host: cannot be looked at: ")
        self.renew(plan)

    @property
    def missing(self) -> list[str]:
        return [f"{lack.kind} {lack.what}" for lack in self._lost]

    def fileno(self) -> int:
        return self._connection.fileno()

    def close(self) -> None:
        self._connection.close()

    def renew(self, plan: Plan) -> None:
        """From now on this is the plan, and what is there now is what is wanted of it, with what was lost before."""
        wanted = Wanted.of_plan(plan)
        if len(wanted.routes) > MOST_ROUTES:
            wanted = replace(wanted, routes=())
        self._wanted = wanted
        self._places: frozenset[Destination] = frozenset(packed(route.network) for route in wanted.routes)
        self._never: frozenset[Lack] | None = None  # what was not there in the first place
        self._index = self._device()
        self._looking.now()

    def changed(self) -> None:
        """Hear what has changed, and look a moment later where it may concern us."""
        own = {self._index, self._device()} - {0}
        heard = [self._concerns(kind, body, own) for kind, _, _, body in self._connection.drain()]
        if any(heard):
            self._looking.soon()

    def _concerns(self, kind: int, body: bytes, own: set[int]) -> bool:
        if kind in (RTM_DELROUTE, RTM_NEWROUTE):
            return destination_of(body) in self._places
        if kind in (RTM_NEWLINK, RTM_DELLINK, RTM_DELADDR):
            return len(body) >= 8 and _INDEX.unpack_from(body, 4)[0] in own
        return kind in (RTM_NEWNETCONF, NLMSG_OVERRUN)

    def _device(self) -> int:
        return index_of(self._wanted.device)

    def _look(self) -> None:
        lacking = lacks(self._wanted, found.look(self._wanted))
        self._index = self._device() or self._index
        if self._never is None:
            self._never = frozenset(lacking) - frozenset(self._lost)
            self._lost = [lack for lack in self._lost if lack in lacking]  # of the others some are not wanted any more
            self._tell_of_forwarding([lack for lack in lacking if lack.kind == "sysctl" and "forward" in lack.what])
        lost = [lack for lack in lacking if lack not in self._never]
        if new := [lack for lack in lost if lack not in self._lost]:
            self.counts["lost"] += 1
            self._report(f"host: {told(new)} was there and is missing; without --setup this is not repaired")
        if back := [lack for lack in self._lost if lack not in lost]:
            self._report(f"host: {told(back)} is there again")
        self._never -= self._never - frozenset(lacking)  # has come later, and is wanted from now on
        self._lost = lost

    def _tell_of_forwarding(self, off: list[Lack]) -> None:
        if off and off != self._off:
            why = "translated packets for other hosts are dropped; without --setup it is yours to set"
            self._report(f"host: {told(off)}: {why}")
        self._off = off
