"""What the host checks of packets from outside (nfxlat.nft.language.inputs): where it changes, the rules are made anew.

The kernel tells of interfaces' settings (rp_filter, forwarding), of links and of IPsec policies, not of what they are
for. So a moment after the first word of a change all is looked up and compared with what the rules were made of.
"""

import contextlib
import select

from nfxlat.host import input_checks
from nfxlat.netlink.connection import Connection
from nfxlat.service.looking import Looking
from nfxlat.service.repairs import Later
from nfxlat.service.setup import Setup
from nfxlat.terms import Report
from nfxlat.wire import xfrm
from nfxlat.wire.netlink import (
    NETLINK_ROUTE,
    NETLINK_XFRM,
    RTNLGRP_IPV4_IFADDR,
    RTNLGRP_IPV4_NETCONF,
    RTNLGRP_IPV6_IFADDR,
    RTNLGRP_LINK,
)

DEBOUNCE = 0.05  # seconds
RECEIVE_BUFFER = 1 << 20
UNFOLLOWED = "rules: what this host checks of packets is not followed: "


class InputsWatch:
    """Readable (`fileno`) when something may have changed; `changed` is then due. `later` calls something after some
    seconds."""

    def __init__(self, setup: Setup, report: Report, later: Later) -> None:
        self._setup, self._report = setup, report
        groups: tuple[int, ...] = (RTNLGRP_LINK, RTNLGRP_IPV4_NETCONF)
        if setup.vrf:
            groups += (RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR)
        self._heard = [Connection(NETLINK_ROUTE, groups=groups, receive_buffer=RECEIVE_BUFFER)]
        with contextlib.suppress(OSError):  # the kernel has no IPsec
            self._heard.append(Connection(NETLINK_XFRM, groups=(xfrm.GRP_POLICY,), receive_buffer=RECEIVE_BUFFER))
        self._poll = select.epoll()
        for connection in self._heard:
            self._poll.register(connection.fileno(), select.EPOLLIN)
        self._looking = Looking(self._look, report, later, DEBOUNCE, UNFOLLOWED)
        self._looking.soon(0.0)  # what has changed since the rules were made

    def fileno(self) -> int:
        return self._poll.fileno()

    def close(self) -> None:
        self._poll.close()
        for connection in self._heard:
            connection.close()

    def changed(self) -> None:
        """Forget what was told, and look a moment later."""
        for connection in self._heard:
            connection.drain()
        self._looking.soon()

    def _look(self) -> None:
        plan = self._setup.stands
        if plan is not None and (what := self._setup.rules.outdated(plan)):
            self._setup.rules.load(plan)
            self._report(f"rules: changed on this host: {what}")


def tell_of_bridges(report: Report) -> None:
    """Where rules are the operator's own: that they may take what a bridge passes on to others."""
    if bridges := input_checks.shown_by_bridges():
        report(f"bridge {', '.join(bridges)}: {input_checks.BRIDGED} ({input_checks.LEAVE_BRIDGED})")
