"""The hook and the route model: rules send packets to queues; results go in through the domain device, or through raw
IP sockets.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack

from nfxlat.datapath.callback import CallbackQueue
from nfxlat.datapath.counters import Counters
from nfxlat.datapath.inject import DeviceInjector, Injectors, IpInjector
from nfxlat.datapath.nfqueue import NetlinkQueue
from nfxlat.datapath.queue_pair import QueuePair
from nfxlat.datapath.source import SLOTS
from nfxlat.host.device import DomainDevice, create_or_adopt, in_namespace, remove
from nfxlat.host.stamp import Stamp
from nfxlat.netlink.bound_queues import BoundQueue, bound_queues
from nfxlat.queues import KINDS
from nfxlat.service.options import Options
from nfxlat.service.point import Share
from nfxlat.service.store import Store
from nfxlat.terms import Report
from nfxlat.wire.stamp import INJECTED_MARK


class QueuePoint:
    """A translation point (nfxlat.service.point) between queues and the domain device.

    It keeps no domain: a reload exchanges that, and it may be large.
    """

    def __init__(self, options: Options, report: Report, store: Store) -> None:
        self._name, self._queues, self._report, self._store = options.domain.name, options.queues, report, store
        self._vrf = options.domain.vrf
        self._source_kind, self._inject, self._role = options.source, options.inject, options.role
        self._sources: list[list[NetlinkQueue | CallbackQueue]] = []  # one list a worker
        self._inherited = 0
        self._before: dict[int, BoundQueue] = {}  # queues as a predecessor has left them

    @property
    def queues(self) -> range:
        return self._queues.numbers

    def bind(self, stack: ExitStack) -> None:
        self._sources.clear()
        self._inherited = 0
        for worker in range(self._queues.workers):
            own: list[NetlinkQueue | CallbackQueue] = []
            self._sources.append(own)
            for source in self._bound(worker):
                stack.callback(source.close)
                own.append(source)
        # Now: rules that are loaded flush queues, and what waits for us is then away, but still in our sockets.
        self.begin()
        how = f"queues {self._queues.first} to {self._queues.last} bound (plain, TCP, in turn)"
        self._report(f"{how}, source {self._source_kind}")

    def _bound(self, worker: int) -> Iterator[NetlinkQueue | CallbackQueue]:
        plain, tcp = (self._queues.number(kind, worker) for kind in KINDS)
        if self._source_kind == "netfilterqueue":
            yield CallbackQueue(plain)
            yield CallbackQueue(tcp)
        else:  # with the ip injector nothing is larger than a segment
            superframes = self._inject == "device"
            form = QueuePair.form(tcp, plain, superframes=superframes)
            descriptor = self._store.take(form)
            self._inherited += SLOTS * (descriptor is not None)
            pair = QueuePair(tcp, plain=plain, superframes=superframes, descriptor=descriptor)
            self._store.keep(form, pair.fileno())
            yield pair

    def begin(self) -> None:
        if self._inherited:
            self._before = {one.number: one for one in bound_queues()}

    @property
    def inherited(self) -> int:
        return self._inherited

    def make_device(self, stack: ExitStack) -> DomainDevice | None:
        if self._inject == "ip" and self._role != "host":  # a host's originals die in it
            return None
        device, created = create_or_adopt(self._name, report=self._report, vrf=self._vrf or "")
        if created:
            stack.callback(self._remove_device, device)
        return device

    def _remove_device(self, device: DomainDevice) -> None:
        remove(device)
        self._report(f"device {device.name} removed")

    def attach(self, stack: ExitStack, device: DomainDevice | None, counters: Sequence[Counters]) -> list[Share]:
        shares = []
        for sources, own in zip(self._sources, counters, strict=True):
            injectors, held = self._injectors(stack, device, own)
            held = held.union(*(source.descriptors() for source in sources))
            shares.append(Share(sources, injectors, own, held))
        return shares

    def _injectors(
        self, stack: ExitStack, device: DomainDevice | None, counters: Counters
    ) -> tuple[Injectors, frozenset[int]]:
        """They, and what they have open."""
        raw = IpInjector(counters.refused, INJECTED_MARK, self._vrf)
        stack.callback(raw.close)
        held = frozenset(raw.descriptors())
        if self._inject == "ip":
            return Injectors(raw, raw, device=False), held
        assert device is not None
        with in_namespace(device.far_namespace):
            packet_socket = DeviceInjector.open_socket(device.far_interface)
        main = DeviceInjector(packet_socket, device.near_mac, device.far_mac, counters.refused)
        stack.callback(main.close)
        return Injectors(main, raw, device=True), held.union(main.descriptors())

    def stamped(self, stamp: Stamp | None) -> frozenset[int]:
        return stamp.indexes if stamp is not None else frozenset()

    def losses(self) -> dict[str, dict[str, int]]:
        """`full`: queue length, `socket`: receive buffer (nfnetlink_queue.c)."""
        nothing = BoundQueue(0, 0, 0, 0, 0)
        found = {}
        for one in bound_queues():
            if one.number in self.queues:
                before = self._before.get(one.number, nothing)
                found[str(one.number)] = {
                    "waiting": one.waiting,
                    "full": one.full - before.full,
                    "socket": one.socket - before.socket,
                    "judged": (one.judged - before.judged) & 0xFFFFFFFF,
                }
        return found
