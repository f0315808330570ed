"""The device model: what is routed into the domain device is translated and comes back from it.

There is no NFQUEUE and no rule that selects: the route does. The device is a TUN (nfxlat.host.tun) with a queue for
each worker, and the kernel spreads flows over them.
"""

import os
from collections.abc import Sequence
from contextlib import ExitStack

from nfxlat.datapath.counters import Counters
from nfxlat.datapath.inject import Injectors, IpInjector
from nfxlat.datapath.tun import INDEV, TunInjector, TunSource
from nfxlat.host import tun
from nfxlat.host.device import DomainDevice
from nfxlat.host.links import wait_until_up
from nfxlat.host.stamp import Stamp
from nfxlat.service.options import Options
from nfxlat.service.point import Share
from nfxlat.service.store import Store
from nfxlat.terms import Report


def kept_as(domain: str, number: str | int = "") -> str:
    """The name by which the service manager keeps a queue of the TUN; without a number, how they all begin."""
    return f"tun-{domain}-{number}"


class TunPoint:
    """A translation point (nfxlat.service.point) between the queues of a TUN."""

    queues = range(0)

    def __init__(self, options: Options, report: Report, store: Store) -> None:
        self._name, self._vrf, self._report, self._store = options.domain.name, options.domain.vrf, report, store
        self._before = tun.Passed(0, 0)

    def bind(self, stack: ExitStack) -> None:
        """Nothing: its queues belong to the device, which is still to be made."""

    def make_device(self, stack: ExitStack) -> None:
        if tun.create_or_adopt(self._name, report=self._report, vrf=self._vrf or ""):
            stack.callback(self._remove)
        self._report(f"add your own routes: whatever is routed into {self._name} is translated, nothing else")

    def _remove(self) -> None:
        if tun.remove_named(self._name):
            self._report(f"device {self._name} removed")

    def attach(self, stack: ExitStack, device: DomainDevice | None, counters: Sequence[Counters]) -> list[Share]:
        self._before = tun.passed(self._name)
        shares = []
        udp = False
        for number, own in enumerate(counters):
            descriptor, udp = self._queue(kept_as(self._name, number))
            source = TunSource(descriptor, queue=number)
            stack.callback(source.close)
            raw = IpInjector(own.refused, vrf=self._vrf)
            stack.callback(raw.close)
            injectors = Injectors(TunInjector(source, own.refused), raw, device=True)
            shares.append(Share([source], injectors, own, frozenset((*source.descriptors(), *raw.descriptors()))))
        wait_until_up(self._name)
        told = "TCP and UDP" if udp else "TCP"
        self._report(f"tun {self._name}: {len(shares)} queues, vnet header, superframes of {told}")
        return shares

    def _queue(self, name: str) -> tuple[int, bool]:
        """That which a former process has had, or another: the descriptor, and whether UDP superframes come."""
        descriptor = self._store.take(name)
        udp = None if descriptor is None else tun.taken_queue(self._name, descriptor)
        if descriptor is None or udp is None:
            if descriptor is not None:
                os.close(descriptor)
            descriptor, udp = tun.open_queue(self._name)
        self._store.keep(name, descriptor)
        return descriptor, udp

    def begin(self) -> None:
        self._before = tun.passed(self._name)

    @property
    def inherited(self) -> int:
        return 0

    def stamped(self, stamp: Stamp | None) -> frozenset[int]:
        """What a vnet header told goes to the worker as a stamp of this made-up interface."""
        return frozenset((INDEV,))

    def losses(self) -> dict[str, dict[str, int]]:
        passed, before = tun.passed(self._name), self._before
        judged = (passed.read - before.read) & 0xFFFFFFFF
        return {self._name: {"full": passed.dropped - before.dropped, "socket": 0, "judged": judged}}
