"""Rules that others flush: noticed, told in one line, and repaired where `--setup` owns them.

nf_tables tells of every change (NFNLGRP_NFTABLES). A moment after the first word of one, since a firewall that starts
anew flushes and loads in one go, what is loaded is compared with what was meant, so our own changes need no marking:
they compare equal. Until the repair the terminal routes hold translated prefixes in the domain device: nothing leaks.

- Tables gone: the whole is loaded again, which flushes nothing that has not been flushed already.
- Only rules gone: the whole too, and what waits in queues is lost with that.
- Only elements gone from our sets: these alone. Sets are read only when elements were changed, since they may be long.
- Rules that somebody has added to our tables are left alone.
- Two that flush each other's rules would go on for ever: after REPAIRS within a minute there is a minute's rest.
"""

import time
from collections import deque
from collections.abc import Callable

from nfxlat.errors import OperatorError
from nfxlat.netlink.connection import Connection
from nfxlat.nft.kernel import elements, listing
from nfxlat.nft.kernel.nf_tables import TYPE_DELSETELEM
from nfxlat.plan.plan import Plan
from nfxlat.service import own_rules
from nfxlat.service.setup import Setup
from nfxlat.terms import Report
from nfxlat.wire.netlink import NETLINK_NETFILTER, NFNLGRP_NFTABLES, NLMSG_OVERRUN

DEBOUNCE = 0.1  # seconds
REPAIRS, WINDOW, REST = 5, 60.0, 60.0  # so many within so many seconds, then so many seconds of rest
RECEIVE_BUFFER = 1 << 20


class RulesWatch:
    """Readable (`fileno`) when nf_tables changed; `changed` is then due. `later` calls something after some seconds.

    `setup` owns the rules; without it they are the operator's, and only the loss of those that lead to `queues` is
    told. `counts` goes into the summary.
    """

    def __init__(
        self,
        setup: Setup | None,
        queues: range,
        report: Report,
        later: Callable[[float, Callable[[], None]], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._setup, self._queues, self._report, self._later, self._clock = setup, queues, report, later, clock
        self.counts = {"lost": 0, "repaired": 0}
        self._elements_too = False
        self._repairs: deque[float] = deque(maxlen=REPAIRS)
        self._resting = False
        self._heard = Connection(NETLINK_NETFILTER, groups=(NFNLGRP_NFTABLES,), receive_buffer=RECEIVE_BUFFER)
        self._selected = self._leading() if setup is None else set()
        self._due = True
        later(0.0, self._look)

    def fileno(self) -> int:
        return self._heard.fileno()

    def close(self) -> None:
        self._heard.close()

    def changed(self) -> None:
        """Hear what has changed, and look a moment later."""
        # After an overrun anything may have changed.
        self._elements_too |= any(kind in (TYPE_DELSETELEM, NLMSG_OVERRUN) for kind, *_ in self._heard.drain())
        if not self._due:
            self._due = True
            self._later(DEBOUNCE, self._look)

    def _look(self) -> None:
        self._due = False
        try:
            if self._setup is None:
                self._look_for_queues()
            elif not self._resting:
                self._look_for_rules(self._setup)
        except OperatorError as error:  # they cannot be listed: nothing is known, and nothing is done
            self._elements_too = True
            self._report(str(error))
            self._later(1.0, self.changed)

    # --- rules of --setup ---

    def _look_for_rules(self, setup: Setup) -> None:
        try:
            plan = setup.stands
            if plan is None:
                return
            gone = setup.rules.meant - setup.rules.listed(plan)
            if gone:
                self._repair(self._what(gone, setup), lambda: setup.rules.load(plan))
            elif self._elements_too:
                self._look_for_elements(setup, plan)
        finally:
            self._elements_too = False

    def _look_for_elements(self, setup: Setup, plan: Plan) -> None:
        wanted = own_rules.contents(plan)
        found = {name: elements.read(name) for name in wanted}
        there = {name: spans for name, spans in found.items() if spans is not None}
        changed = {name: spans for name, spans in wanted.items() if there.get(name) != spans}
        if changed:
            names = ", ".join(map(str, changed))
            whole = bool(changed.keys() - there.keys())

            def repair() -> None:
                if whole:
                    setup.rules.load(plan)
                else:
                    own_rules.change(there, changed)

            self._repair(f"elements of set {names} were changed by somebody else", repair)

    @staticmethod
    def _what(gone: listing.Identities, setup: Setup) -> str:
        if gone == setup.rules.meant:
            names = dict.fromkeys(table for _, table, _, _ in gone)
            return f"table {', '.join(names)} was removed by somebody else"
        chains = sorted({f"{family} {table} {chain}" for family, table, chain, _ in gone})
        return f"{gone.total()} rules of chain {', '.join(chains)} were removed by somebody else"

    def _repair(self, what: str, repair: Callable[[], object]) -> None:
        self.counts["lost"] += 1
        now = self._clock()
        if len(self._repairs) == REPAIRS and now - self._repairs[0] < WINDOW:
            self._resting = True
            self._later(REST, self._resume)
            self._report(
                f"rules: {what}, for the {REPAIRS + 1}th time within a minute: not repaired for {REST:.0f} s; "
                "see who else loads rules here"
            )
            return
        self._repairs.append(now)
        try:
            repair()
        except OperatorError as error:
            self._report(f"rules: {what}; they cannot be loaded again: {error}")
            self._later(1.0, self.changed)
            return
        self.counts["repaired"] += 1
        self._report(f"rules: {what}; repaired")

    def _resume(self) -> None:
        self._resting, self._elements_too = False, True
        self._repairs.clear()
        self._look()

    # --- rules of the operator's own ---

    def _leading(self) -> set[int]:
        """Those of our queues that any rule leads to."""
        return {queue for rule in listing.rules() for queue in rule.queues} & set(self._queues)

    def _look_for_queues(self) -> None:
        selected = self._leading()
        if lost := sorted(self._selected - selected):
            self.counts["lost"] += 1
            numbers = " and ".join(map(str, lost))
            self._report(f"rules: those that sent packets to queue{'s' if len(lost) > 1 else ''} {numbers} are gone")
        if back := sorted(selected - self._selected):
            self._report(f"rules: there are some that send packets to queue {' and '.join(map(str, back))}")
        self._selected = selected
