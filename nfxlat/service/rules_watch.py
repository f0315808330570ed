"""Rules that others flush: noticed, told in one line, and repaired where `--setup` owns them.

nf_tables tells of every change (NFNLGRP_NFTABLES). A moment after the first word of one, since a firewall that starts
anew flushes and loads in one go, what is loaded is compared with what was meant, so our own changes need no marking:
they compare equal. Until the repair the terminal routes hold translated prefixes in the domain device: nothing leaks.

- Tables gone: the whole is loaded again, which flushes nothing that has not been flushed already.
- Only rules gone: the whole too, and what waits in queues is lost with that.
- Only elements gone from our sets: these alone. Sets are read only when elements were changed, since they may be long.
- Rules that somebody has added to our tables are left alone.

A message names its table. What others do to theirs, such as a set of fail2ban's, costs a look at that name.
"""

import time
from collections.abc import Callable

from nfxlat.errors import OperatorError
from nfxlat.netlink.connection import Connection
from nfxlat.nft.kernel import elements, listing, nf_tables
from nfxlat.nft.kernel.nf_tables import NFPROTO, NFT_MSG_DELRULE, NFT_MSG_DELSETELEM, NFT_MSG_NEWTABLE, NOTHING
from nfxlat.plan.plan import Plan
from nfxlat.service import own_rules
from nfxlat.service.looking import Looking
from nfxlat.service.repairs import Later, Repairs
from nfxlat.service.setup import Setup
from nfxlat.terms import Report
from nfxlat.wire.netlink import NETLINK_NETFILTER, NFNLGRP_NFTABLES, NLMSG_OVERRUN

DEBOUNCE = 0.1  # seconds
RECEIVE_BUFFER = 1 << 20


class _Watch:
    """Readable (`fileno`) when nf_tables changed; `changed` is then due. `later` calls something after some seconds.

    `elements_too`: elements of our sets may have changed as well.
    """

    def __init__(self, report: Report, later: Later) -> None:
        self._report = report
        self.missing: list[str] = []  # what was there and is not, of rules that nobody puts back
        self.elements_too = False
        self.on_change: Callable[[], None] = lambda: None  # called at once, whatever has changed, whosever it is
        self._heard = Connection(NETLINK_NETFILTER, groups=(NFNLGRP_NFTABLES,), receive_buffer=RECEIVE_BUFFER)
        self._looking = Looking(self._look, report, later, DEBOUNCE)
        self._looking.soon(0.0)

    def fileno(self) -> int:
        return self._heard.fileno()

    def close(self) -> None:
        self._heard.close()

    def changed(self) -> None:
        """Hear what has changed, and look a moment later."""
        heard = [(kind == NLMSG_OVERRUN, *nf_tables.change(kind, body)) for kind, _, _, body in self._heard.drain()]
        if heard:
            self.on_change()
        # After an overrun anything may have changed.
        about_us = [what for lost, what, family, table in heard if lost or self.concerns(what, family, table)]
        self.elements_too |= any(what in (NFT_MSG_DELSETELEM, NOTHING) for what in about_us)
        if about_us:
            self._looking.soon()

    def concerns(self, what: int, family: int, table: str) -> bool:
        """Whether a change (NFT_MSG_*) of this table may concern what is watched."""
        raise NotImplementedError

    def _look(self) -> None:
        try:
            self.look()
        except OperatorError:  # they cannot be listed: nothing is known, and nothing is done
            self.elements_too = True
            raise

    def look(self) -> None:
        """Compare what is there with what was meant. Raises OperatorError where it cannot be listed."""
        raise NotImplementedError


class OwnRulesWatch(_Watch):
    """The rules of `setup`, put back. `counts` goes into the summary."""

    def __init__(self, setup: Setup, report: Report, later: Later, clock: Callable[[], float] = time.monotonic) -> None:
        self._setup = setup
        self._repairs = Repairs("rules", report, later, self._look_at_all, clock)
        self.counts = self._repairs.counts
        super().__init__(report, later)

    def concerns(self, what: int, family: int, table: str) -> bool:
        plan = self._setup.stands
        return plan is not None and (family, table) in [(NFPROTO[one], name) for one, name in own_rules.tables(plan)]

    def look(self) -> None:
        plan = self._setup.stands
        if plan is None or self._repairs.resting:
            return
        elements_too, self.elements_too = self.elements_too, False
        gone = self._setup.rules.meant - self._setup.rules.listed(plan)
        if gone:
            self._repairs.attempt(self._what(gone), lambda: self._setup.rules.load(plan))
        elif elements_too:
            self._look_for_elements(plan)
        else:
            self._repairs.well()

    def _look_at_all(self) -> None:
        self.elements_too = True
        self._looking.now()

    def _look_for_elements(self, plan: Plan) -> None:
        wanted = own_rules.contents(plan)
        found = {name: elements.read(name) for name in wanted}
        there = {name: spans for name, spans in found.items() if spans is not None}
        changed = {name: spans for name, spans in wanted.items() if there.get(name) != spans}
        if changed:
            names = ", ".join(map(str, changed))
            whole = bool(changed.keys() - there.keys())

            def repair() -> None:
                if whole:
                    self._setup.rules.load(plan)
                else:
                    own_rules.change(there, changed)

            self._repairs.attempt(f"elements of set {names} were changed by another program", repair)
        else:
            self._repairs.well()

    def _what(self, gone: listing.Identities) -> str:
        if gone == self._setup.rules.meant:
            names = dict.fromkeys(table for _, table, _, _ in gone)
            how = "made dormant" if names.keys() & {name for _, name in listing.dormant()} else "removed"
            return f"table {', '.join(names)} was {how} by another program"
        chains = sorted({f"{family} {table} {chain}" for family, table, chain, _ in gone})
        return f"{gone.total()} rules of chain {', '.join(chains)} were removed by another program"


class OperatorsRulesWatch(_Watch):
    """Without `--setup` rules are the operator's: only the loss of those that lead to `queues` is told."""

    def __init__(self, queues: range, report: Report, later: Later) -> None:
        self._queues = queues
        self.counts = {"lost": 0, "repaired": 0}
        self._selected = self._leading()
        self._meant = set(self._selected)  # all that rules have ever led to
        super().__init__(report, later)

    def _leading(self) -> set[int]:
        """Those of our queues that any rule leads to."""
        return {queue for rule in listing.rules() for queue in rule.queues} & set(self._queues)

    def concerns(self, what: int, family: int, table: str) -> bool:
        return NFT_MSG_NEWTABLE <= what <= NFT_MSG_DELRULE

    def look(self) -> None:
        selected = self._leading()
        self._meant |= selected
        self.missing = [f"rule to queue {number}" for number in sorted(self._meant - selected)]
        if lost := sorted(self._selected - selected):
            self.counts["lost"] += 1
            numbers = " and ".join(map(str, lost))
            self._report(f"rules: no rule sends packets to queue {numbers} any more")
        if back := sorted(selected - self._selected):
            self._report(f"rules: found rules that send packets to queue {' and '.join(map(str, back))}")
        self._selected = selected
