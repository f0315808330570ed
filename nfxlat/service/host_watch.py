"""What `--setup` owns beside rules: the device, its addresses, routes, sysctls. What others take away is noticed, told,
and put back.

The kernel tells of changes (rtnetlink); a moment after the first word of one that may concern us, what is there is
compared with the plan, so our own changes need no marking: they compare equal. A host with a full routing table hears
of many changes that are not ours; those cost a look at one message each.
"""

import struct
import time
from collections.abc import Callable

from nfxlat.host import found
from nfxlat.host.rtnetlink import (
    RTM_DELADDR,
    RTM_DELLINK,
    RTM_DELROUTE,
    RTM_NEWLINK,
    RTM_NEWNETCONF,
    RTM_NEWROUTE,
    protocol_of,
)
from nfxlat.netlink.connection import Connection
from nfxlat.plan.compare import Lack, Wanted, lacks, told
from nfxlat.plan.routes import PROTOCOL
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
)

DEBOUNCE = 0.1  # seconds
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


class HostWatch:
    """Readable (`fileno`) when something changed; `changed` is then due. `later` calls something after some seconds;
    `remade` is called when the device was made anew, since packet sockets into the former one are dead.
    """

    def __init__(
        self,
        setup: Setup,
        report: Report,
        later: Later,
        remade: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._setup, self._later, self._remade = setup, later, remade
        self._repairs = Repairs("host", report, later, self._look, clock)
        self._connection = Connection(NETLINK_ROUTE, groups=GROUPS, receive_buffer=RECEIVE_BUFFER)
        self._due = True
        later(0.0, self._look)  # what has changed since it was set up

    @property
    def counts(self) -> dict[str, int]:
        return self._repairs.counts

    def fileno(self) -> int:
        return self._connection.fileno()

    def close(self) -> None:
        self._connection.close()

    def changed(self) -> None:
        """Hear what has changed, and look a moment later where it may be ours."""
        own = self._setup.index
        concerns = [self._concerns(kind, flags, body, own) for kind, flags, _, body in self._connection.drain()]
        if any(concerns) and not self._due:
            self._due = True
            self._later(DEBOUNCE, self._look)

    @staticmethod
    def _concerns(kind: int, flags: int, body: bytes, own: int) -> bool:
        if kind == RTM_DELROUTE:
            return protocol_of(body) == PROTOCOL
        if kind == RTM_NEWROUTE:  # another's in the place of ours
            return bool(flags & NLM_F_REPLACE) and protocol_of(body) != PROTOCOL
        if kind in (RTM_NEWLINK, RTM_DELLINK, RTM_DELADDR):
            return len(body) >= 8 and _INDEX.unpack_from(body, 4) == (own,)
        return kind in (RTM_NEWNETCONF, NLMSG_OVERRUN)

    def _look(self) -> None:
        self._due = False
        plan = self._setup.stands
        if plan is None or self._repairs.resting:
            return
        wanted = Wanted.of_plan(plan)
        if missing := lacks(wanted, found.look(wanted)):
            self._repairs.attempt(told(missing), lambda: self._repair(missing))
        else:
            self._repairs.well()

    def _repair(self, missing: list[Lack]) -> None:
        self._setup.repair()
        if any(lack.kind == "device" and "missing" in lack.what for lack in missing):
            self._remade()
