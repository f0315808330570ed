"""What the service knows of `--offload`. Without it all of this does nothing, so that nobody has to ask.

make_table -> setup.up, or without it Stamp (the program at ingress gets the table) -> start -> watch
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Any

from nfxlat.errors import OperatorError
from nfxlat.host.device import DomainDevice
from nfxlat.host.ingress import Table
from nfxlat.host.stamp import Stamp
from nfxlat.service.loop import Loop
from nfxlat.service.messages import Teach
from nfxlat.service.offload import BEAT_SECONDS, SWEEP_SECONDS, Offload, Tell, allowed_by_rules, refused
from nfxlat.service.options import Options
from nfxlat.service.rules_watch import OperatorsRulesWatch, OwnRulesWatch
from nfxlat.service.setup import Setup
from nfxlat.terms import Report
from nfxlat.xlat.domain import Domain


class Offloading:
    """`tell` sends a message to the workers. `table` is what they teach; None without offload."""

    def __init__(self, loop: Loop, tell: Tell, report: Report) -> None:
        self._loop, self._tell, self._report = loop, tell, report
        self._offload: Offload | None = None
        self._beats = False
        self.table: Table | None = None

    def make_table(self, options: Options, stack: ExitStack) -> Table | None:
        """What the program at ingress is to know."""
        if not options.domain.offload:
            return None
        if (why := refused(options)) is not None:
            self._report(f"no offload: {why}")
            return None
        try:
            self.table = Table(options.offload_entries)
        except (OSError, OperatorError) as error:
            why = error.what if isinstance(error, OperatorError) else f"the kernel refuses BPF maps ({error.strerror})"
            self._report(f"no offload: {why}")
            return None
        stack.callback(self._close)
        return self.table

    def start(self, stamp: Stamp | None, domain: Domain, device: DomainDevice | None, setup: Setup | None) -> None:
        """Where `stamp` has no program that got the table, since that was refused, there is no offload. Without `setup`
        the rules are the operator's."""
        if self.table is None:
            return
        if stamp is None or not stamp.offloads:
            self._close()
            return
        by_packet = lambda: setup is not None and bool(setup.rules.inputs.policies)  # noqa: E731
        if setup is None and not allowed_by_rules(domain):
            self._report(f"offload: no rule that is loaded allows it yet (xlat to {domain.name} offload)")
        self._offload = Offload(self.table, stamp, self._tell, self._report, by_packet)
        self.begin(domain, device)

    def watch(self, rules: OwnRulesWatch | OperatorsRulesWatch) -> None:
        """Forget whenever rules change, and show that this process is alive."""
        if self._offload is not None:
            rules.on_change = lambda: self.forget("rules")
            if not self._beats:
                self._beats = True
                self._beat()
                self._loop.later(SWEEP_SECONDS, self._sweep)

    def begin(self, domain: Domain, device: DomainDevice | None) -> None:
        if self._offload is not None and device is not None:
            self._offload.begin(domain, device)

    def suspend(self, why: str) -> None:
        if self._offload is not None:
            self._offload.suspend(why)

    def resume(self, domain: Domain, device: DomainDevice | None) -> None:
        """`begin`, where it is suspended."""
        if self._offload is not None and self._offload.suspended:
            self.begin(domain, device)

    def forget(self, why: str) -> None:
        if self._offload is not None:
            self._offload.forget(why)

    def interfaces_changed(self) -> None:
        if self._offload is not None:
            self._offload.interfaces_changed()

    def summary(self, totals: Mapping[str, int]) -> dict[str, Any] | None:
        """`totals` are the workers'. Raises OSError."""
        return self._offload.summary(totals) if self._offload is not None else None

    def entries(self) -> Iterator[tuple[bytes, bytes, int, int]]:
        """Of each pair and flow: its key, addresses of the result (8 or 32 octets), packets, octets. Raises OSError."""
        for key, pair in self.table.pairs() if self.table is not None else ():
            short = pair.addresses[:8]
            yield key, short if short.ljust(32, b"\0") == pair.addresses else pair.addresses, pair.packets, pair.octets

    @property
    def teach(self) -> Teach | None:
        """What a new worker is told."""
        return self._offload.teach if self._offload is not None else None

    @property
    def descriptors(self) -> frozenset[int]:
        """Of the table."""
        return frozenset(self.table.descriptors.values()) if self.table is not None else frozenset()

    def _beat(self) -> None:
        if self._offload is not None:
            self._offload.beat()
            self._loop.later(BEAT_SECONDS, self._beat)

    def _sweep(self) -> None:
        if self._offload is not None:
            self._loop.later(SWEEP_SECONDS, self._sweep)
            self._offload.sweep()

    def _close(self) -> None:
        if self.table is not None:
            self.table.close()
            self.table = None
