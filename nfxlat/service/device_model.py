"""`nfxlat run --model device`: what is routed into the domain device is translated and comes back from it.

    device, routes, sysctls (--setup) -> the device's queues -> "ready"

There is no NFQUEUE and no rule that selects: the route does. The device is a TUN (nfxlat.host.tun) with a queue for
each worker, and the kernel spreads flows over them.
"""

from contextlib import ExitStack

from nfxlat.datapath.inject import IpInjector
from nfxlat.datapath.tun import INDEV, TunInjector, TunSource
from nfxlat.datapath.worker import Injectors
from nfxlat.host import tun
from nfxlat.service.options import Options
from nfxlat.service.translation import Service
from nfxlat.terms import Report


class DeviceService(Service):
    """The same service between the queues of a TUN."""

    def __init__(self, options: Options, report: Report) -> None:
        super().__init__(options, report)
        self._queues: list[TunSource] = []
        self._dropped_before = 0

    def _open_sources(self, stack: ExitStack) -> None:
        """Nothing: they belong to the device, which is still to be made."""

    def _prepare_host(self, stack: ExitStack) -> None:
        name = self._options.domain.name
        if self._options.setup:
            super()._prepare_host(stack)
        else:
            if tun.create_or_adopt(name, report=self._report):
                stack.callback(self._remove_tun)
            self._report(f"routes are yours: what is routed into {name} is translated, nothing else")
        self._dropped_before = tun.dropped(name)
        udp = False
        for number in range(self._options.queues.workers):
            descriptor, udp = tun.open_queue(name)
            source = TunSource(descriptor, queue=number)
            stack.callback(source.close)
            self._queues.append(source)
            self._sources.append([source])
        self._report(
            f"tun {name}: {len(self._queues)} queues, vnet header, superframes of TCP{' and UDP' if udp else ''}"
        )

    def _remove_tun(self) -> None:
        if tun.remove_named(self._options.domain.name):
            self._report(f"device {self._options.domain.name} removed")

    def _open_injectors(self, stack: ExitStack, number: int) -> Injectors:
        failed = self._counters[number].count_other
        raw = IpInjector(failed)
        stack.callback(raw.close)
        return Injectors(TunInjector(self._queues[number], failed), raw, device=True)

    def _stamped(self) -> frozenset[int]:
        return frozenset((INDEV,))

    def _queue_numbers(self) -> range:
        return range(0)

    def _losses(self) -> dict[str, dict[str, int]]:
        name = self._options.domain.name
        return {name: {"full": tun.dropped(name) - self._dropped_before, "socket": 0}}


def service(options: Options, report: Report) -> Service:
    """The service of the model that `options` names."""
    return (DeviceService if options.model == "device" else Service)(options, report)
