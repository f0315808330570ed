"""All that is watched of the host while a translator runs: rules, what --setup owns or an operator made, and what the
kernel checks of packets from outside.
"""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Protocol

from nfxlat.plan.plan import Plan
from nfxlat.service import inputs_watch
from nfxlat.service.host_told import OperatorsHostWatch
from nfxlat.service.host_watch import HostWatch
from nfxlat.service.loop import HasDescriptor, Loop
from nfxlat.service.offloading import Offloading
from nfxlat.service.rules_watch import OperatorsRulesWatch, OwnRulesWatch
from nfxlat.service.setup import Setup
from nfxlat.terms import Report


class Watched(HasDescriptor, Protocol):
    """What is polled until it is closed."""

    def close(self) -> None: ...


class HostWatches:
    """`planned`: what `--setup` would make; `remade` is called where the device is another one."""

    def __init__(
        self,
        loop: Loop,
        report: Report,
        *,
        offloading: Offloading,
        planned: Callable[[], Plan],
        remade: Callable[[], None],
    ) -> None:
        self._loop, self._report, self._offloading = loop, report, offloading
        self._planned, self._remade = planned, remade
        self._stack = ExitStack()
        self.rules: OwnRulesWatch | OperatorsRulesWatch | None = None
        self.host: HostWatch | OperatorsHostWatch | None = None
        self._served: tuple[int, int] | None = None  # what workers had when all was let go

    def begin(self, setup: Setup | None, queues: range) -> None:
        """Without `setup` all is the operator's, who is told what goes. `queues`: none in the device model."""
        later = self._loop.later
        if setup is None:
            self.rules = OperatorsRulesWatch(queues, self._report, later)
            self.host = OperatorsHostWatch(self._planned(), self._report, later)
            if queues:
                inputs_watch.tell_of_bridges(self._report)
        else:
            self.rules = OwnRulesWatch(setup, self._report, later)
            self.host = HostWatch(setup, self._report, later, self._remade, served=self._served)
            if queues:  # what is routed into a TUN has passed the kernel's checks
                inputs = inputs_watch.InputsWatch(setup, self._report, later)
                self._watch(inputs, inputs.changed)
        self._watch(self.host, self.host.changed)
        self._offloading.watch(self.rules)
        self._watch(self.rules, self.rules.changed)

    def _watch(self, what: Watched, changed: Callable[[], object]) -> None:
        self._stack.callback(what.close)
        self._stack.callback(self._loop.forget, what)
        self._loop.on_readable(what, changed)

    def renew(self) -> None:
        """The configuration is another."""
        if isinstance(self.host, OperatorsHostWatch):
            self.host.renew(self._planned())

    def reloaded(self) -> None:
        """What of it was not brought to its end is tried again."""
        if isinstance(self.host, HostWatch):
            self.host.reloaded()

    @property
    def missing(self) -> list[str]:
        """What of the operator's was there and is not; what --setup owns is asked after by its record."""
        return [thing for watch in (self.rules, self.host) if watch is not None for thing in watch.missing]

    def close(self) -> None:
        """Until it is begun again: workers keep what they have."""
        if isinstance(self.host, HostWatch):
            self._served = self.host.served
        self._stack.close()
