"""SIGHUP: the configuration read again while traffic runs. All of it is read and checked first; what is wrong, or
cannot be changed while it runs, is one line, and nothing has changed.

    plan -> successors of the workers -> new routes -> removed addresses leave the sets -> workers change -> added
    addresses enter the sets -> old routes go (nfxlat.service.setup)

- A set must not select an address that no worker knows and no route ends: routes and workers come before, and what is
  removed leaves the sets while its mapping and its route still stand. What waits in a queue then was selected before.
- An address that stays is in the sets all the time: what is removed is computed by addresses, not by the prefixes that
  they happen to be collapsed to, and each step is one transaction.
- Sets change by elements. A chain that is removed would flush every queue of the node.
"""

import time
from collections.abc import Callable
from typing import Any

from nfxlat.config.digest import digest
from nfxlat.errors import OperatorError
from nfxlat.service.fence import described
from nfxlat.service.setup import Setup
from nfxlat.service.supervisor import Supervisor
from nfxlat.terms import Report
from nfxlat.xlat.domain import Domain


class Reload:
    """`counts`: how many were done and refused, and the longest time that a queue had no worker, in milliseconds.
    `loaded`: what is at work, and since when, ready for JSON; `domain` is the first."""

    def __init__(self, domain: Domain, supervisor: Supervisor, report: Report) -> None:
        self.loaded = _described(domain)
        self._supervisor, self._report = supervisor, report
        self.counts = {"done": 0, "refused": 0, "longest_ms": 0.0}

    def __call__(
        self,
        former: Domain,
        read: Callable[[], Domain] | None,
        setup: Setup | None,
        use: Callable[[Domain], None],
    ) -> OperatorError | None:
        """Put what `read` gives in the place of `former`; `use` is told when new workers are to have it. What has been
        refused, and told; None where it is done."""
        began = time.monotonic()
        try:
            domain = self._checked(former, read)
            if domain == former:
                self._report("reload: nothing has changed")
                return None
            gap = self._change(former, domain, setup, use)
        except Exception as error:  # what the host lacks, or a bug: each is told, not the first alone
            refused = error if isinstance(error, OperatorError) else OperatorError(described("a reload", error))
            self.refused(refused)
            return refused
        self.loaded = _described(domain)
        self.counts["done"] += 1
        self.counts["longest_ms"] = max(self.counts["longest_ms"], round(gap * 1000, 3))
        seconds = time.monotonic() - began
        self._report(f"reloaded in {seconds:.1f} s: {len(domain.eamt)} EAMs, {gap * 1000:.1f} ms between two workers")
        return None

    def refused(self, error: OperatorError) -> None:
        """Count it, and tell why."""
        self.counts["refused"] += 1
        self._report(f"reload refused, nothing has changed: {error}")

    @staticmethod
    def _checked(former: Domain, read: Callable[[], Domain] | None) -> Domain:
        if read is None:
            raise OperatorError(
                "no configuration file to read again", where="SIGHUP", hint="start it with --config FILE"
            )
        domain = read()
        if domain.name != former.name:
            raise OperatorError(
                "a domain cannot be renamed at run time: its device has the same name",
                where=f"domain.{former.name}",
                hint="restart",
            )
        if domain.offload != former.offload:
            raise OperatorError(
                "offload cannot be changed at run time", where=f"domain.{former.name}.offload", hint="restart"
            )
        if domain.vrf != former.vrf:  # sockets stay in the one that they were opened in
            raise OperatorError("vrf cannot be changed at run time", where=f"domain.{former.name}.vrf", hint="restart")
        return domain

    def _change(self, former: Domain, domain: Domain, setup: Setup | None, use: Callable[[Domain], None]) -> float:
        """The time without a worker, in seconds. Raises OperatorError (or what a bug raises), and then nothing has
        changed."""
        wanted = setup.planned(domain) if setup is not None else None
        gaps: list[float] = []
        try:
            use(domain)
            self._supervisor.prepare()
            if setup is None or wanted is None:
                return self._supervisor.succeed()
            setup.apply(wanted, lambda: gaps.append(self._supervisor.succeed()))
        except Exception as error:
            if not gaps:
                self._supervisor.discard()
                use(former)
                raise
            self._report(described("reload: cleaning up after the former configuration", error))  # the new is at work
        return gaps[0]


def _described(domain: Domain) -> dict[str, Any]:
    return {"digest": digest(domain), "loaded": round(time.time(), 3), "eams": len(domain.eamt)}
