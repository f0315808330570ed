"""`nfxlat run`: queues bound first, then what the host needs, then workers; everything back in reverse order at the
end.

    bind queues -> device, routes, sysctls, rules (--setup) -> injectors -> workers -> "ready"

A queue that cannot be had therefore fails before anything has been touched. Rules drop until their queue has a
listener.
"""

import gc
import json
import os
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any, Literal

from nfxlat.datapath.callback import CallbackQueue
from nfxlat.datapath.counters import Counters, summary
from nfxlat.datapath.fastpath import FastPath
from nfxlat.datapath.inject import DeviceInjector, IpInjector
from nfxlat.datapath.nfqueue import NetlinkQueue
from nfxlat.datapath.pathmtu import PathMtus
from nfxlat.datapath.ratelimit import TokenBucket
from nfxlat.datapath.routecache import RouteCache
from nfxlat.datapath.source import Source
from nfxlat.datapath.worker import Injectors, Worker
from nfxlat.host import capabilities
from nfxlat.host.addresses import AddressWatch, local_addresses
from nfxlat.host.device import DomainDevice, create_or_adopt, in_namespace, remove
from nfxlat.host.mtu import route_mtu
from nfxlat.host.stamp import Stamp
from nfxlat.host.udp_superframes import takes_udp_superframes
from nfxlat.netlink.bound_queues import bound_queues
from nfxlat.nft.language.templates import INJECTED_MARK
from nfxlat.queues import Queues
from nfxlat.service.notify import notify
from nfxlat.service.reload import Reload
from nfxlat.service.rules_watch import RulesWatch
from nfxlat.service.setup import Setup
from nfxlat.service.status import StatusSocket
from nfxlat.service.supervisor import Supervisor, pack_addresses, receive, tell, unpack_addresses, wait_for_go
from nfxlat.terms import Model, Report, Role
from nfxlat.xlat.domain import Domain
from nfxlat.xlat.special import martian4, martian6
from nfxlat.xlat.translator import Translator


@dataclass(frozen=True, slots=True)
class Options:
    """What to run. Rates are ICMP errors a second. `role` is the hook model's; the device model's source is its TUN."""

    domain: Domain
    queues: Queues = field(default_factory=Queues)
    source: Literal["netlink", "netfilterqueue", "tun"] = "netlink"
    inject: Literal["device", "ip"] = "device"
    setup: bool = False
    model: Model = "hook"
    role: Role = "router"
    fast_path: bool = True
    icmp_rate: float = 1000.0
    icmp_burst: int = 50
    busy_poll: int = 100  # microseconds that a worker looks again before it sleeps
    summary_file: Path | None = None
    ready_descriptor: int | None = None
    read_again: Callable[[], Domain] | None = None  # the configuration, at SIGHUP; raises OperatorError


class Service:
    """One domain, translated. `run` returns when a signal ended it; raises OperatorError where it cannot begin."""

    def __init__(self, options: Options, report: Report) -> None:
        self._options = options
        self._report = report
        self._counters = [Counters() for _ in range(options.queues.workers)]
        self._sources: list[list[Source]] = []  # one list a worker
        self._injectors: list[Injectors] = []  # one a worker
        self._device: DomainDevice | None = None
        self._rule_path = "none"
        self._setup: Setup | None = None
        self._stamp: Stamp | None = None
        self._watch: RulesWatch | None = None
        self._local = local_addresses()
        self._paths = PathMtus(time.monotonic)  # what the workers have learnt, for those that come after them
        self._supervisor = Supervisor(self._worker, len(self._counters), report, self.write_summary, heard=self._heard)
        self._reload = Reload(self._supervisor, report)
        self._supervisor.on_hup = self._read_again
        self._started = time.monotonic()

    def run(self) -> dict[str, Any]:
        """Translate until SIGTERM or SIGINT; the final summary."""
        capabilities.require("CAP_NET_ADMIN", "CAP_NET_RAW", what="nfxlat run")
        with ExitStack() as stack:
            self._open_sources(stack)
            status = StatusSocket(self._options.domain.name, self.summary)  # first: from now on a --setup sees us
            stack.callback(status.close)
            self._prepare_host(stack)
            self._injectors = [self._open_injectors(stack, number) for number in range(self._options.queues.workers)]
            monitor = stack.enter_context(AddressWatch())

            def addresses_changed() -> None:
                monitor.drain()
                self._local = local_addresses()
                self._supervisor.send({"local": pack_addresses(self._local)})

            def interfaces_changed() -> None:
                if self._stamp is not None:
                    self._stamp.refresh()
                    self._supervisor.send({"stamped": sorted(self._stamp.indexes)})

            self._supervisor.watch[status.fileno()] = status.answer
            self._supervisor.watch[monitor.fileno()] = addresses_changed
            self._watch = RulesWatch(self._setup, self._queue_numbers(), self._report, self._supervisor.later)
            stack.callback(self._watch.close)
            self._supervisor.watch[self._watch.fileno()] = self._watch.changed
            if self._stamp is not None:
                self._supervisor.watch[self._stamp.fileno()] = interfaces_changed
            self._local = local_addresses()
            self._supervisor.run(self._ready)
            result = self.summary()
            self.write_summary(result)
        return result

    def _open_sources(self, stack: ExitStack) -> None:
        queues = self._options.queues
        self._sources = [[] for _ in range(queues.workers)]
        for worker, kind, number in queues.each():
            source = self._source(kind, number)
            stack.callback(source.close)
            self._sources[worker].append(source)
        how = f"queues {queues.first} to {queues.last} bound (all, TCP, in turn)"
        self._report(f"{how}, source {self._options.source}")

    def _source(self, kind: str, number: int) -> Source:
        if self._options.source == "netfilterqueue":
            return CallbackQueue(number)
        # with the ip injector nothing is larger than a segment
        return NetlinkQueue(number, superframes=kind == "tcp" and self._options.inject == "device")

    def _prepare_host(self, stack: ExitStack) -> None:
        options, name = self._options, self._options.domain.name
        if options.setup:
            superframes = options.inject == "device" and options.source == "netlink"
            setup = Setup(
                options.domain,
                queues=options.queues,
                role=options.role if options.model == "hook" else options.model,
                report=self._report,
                superframes=superframes,
                udp_superframes=superframes and takes_udp_superframes(),
            )
            setup.up()
            stack.callback(setup.down)
            self._setup = setup
            self._device, self._rule_path, self._stamp = setup.device, setup.rule_path or "none", setup.stamp
        elif options.inject == "device" or options.role == "host":  # a host's originals die in it
            self._device, created = create_or_adopt(name, report=self._report)
            if created:
                stack.callback(self._remove_device, self._device)

    def _remove_device(self, device: DomainDevice) -> None:
        remove(device)
        self._report(f"device {device.name} removed")

    def _open_injectors(self, stack: ExitStack, number: int) -> Injectors:
        counters = self._counters[number]
        raw = IpInjector(counters.count_other, INJECTED_MARK)
        stack.callback(raw.close)
        if self._options.inject == "ip":
            return Injectors(raw, raw, device=False)
        assert self._device is not None
        with in_namespace(self._device.far_namespace):
            packet_socket = DeviceInjector.open_socket(self._device.far_interface)
        main = DeviceInjector(packet_socket, self._device.near_mac, self._device.far_mac, counters.count_other)
        stack.callback(main.close)
        return Injectors(main, raw, device=True)

    def _ready(self) -> None:
        options = self._options
        inject = "" if options.model == "device" else f", inject {options.inject}"
        self._report(f"ready: translating for {options.domain.name}, {options.model} model{inject}")
        notify("READY=1")
        descriptor = options.ready_descriptor
        if descriptor is not None:
            os.write(descriptor, b"ready\n")
            os.close(descriptor)

    def _read_again(self) -> None:
        """SIGHUP. The workers that come from now on have the new domain."""

        def use(domain: Domain) -> None:
            self._options = replace(self._options, domain=domain)

        self._reload(self._options.domain, self._options.read_again, self._setup, use)
        gc.collect()  # pyroute2's event loops leave cycles with our frames in them, and so the former domain

    def _heard(self, message: object) -> None:
        if isinstance(message, dict) and "path_mtu" in message:
            destination, mtu = message["path_mtu"]
            self._paths.set(bytes.fromhex(destination), mtu)

    def _worker(self, number: int, control: socket.socket) -> None:
        """A worker's life, in its own process."""
        options = self._options
        counters = self._counters[number]

        translator = translator_for(options.domain, self._local)
        routes = mtu_of = None
        if options.inject == "ip":
            routes = RouteCache(route_mtu, time.monotonic)
            mtu_of = routes.mtu
        paths = self._paths  # of this process's own from here on
        fast = None
        if options.fast_path:
            fast = FastPath(
                translator,
                self._injectors[number].main.frame,
                device=self._injectors[number].device,
                guard=self._device.ifindex if self._device else -1,
                local=self._local,
                mtu_of=mtu_of,
                narrow=paths.mtus,
            )
        worker = Worker(
            self._sources[number],
            translator,
            self._injectors[number],
            counters,
            fast=fast,
            errors=TokenBucket(options.icmp_rate, options.icmp_burst, time.monotonic),
            paths=paths,
            learnt=lambda destination, mtu: tell(control, {"path_mtu": [destination.hex(), mtu]}),
            event=self._limited_report(),
            routes=routes,
            device_index=self._device.ifindex if self._device else 0,
            local=self._local,
            busy_poll=options.busy_poll * 1000,
        )

        worker.trust_stamps(self._stamped())

        def command(message: object) -> None:
            if message == "stop":
                worker.stopped = True
            elif isinstance(message, dict) and "local" in message:
                local = unpack_addresses(message["local"])
                worker.renew(translator_for(options.domain, local), local)
            elif isinstance(message, dict) and "stamped" in message:
                worker.trust_stamps(frozenset(message["stamped"]))
            elif isinstance(message, dict):
                destination, mtu = message["path_mtu"]
                paths.set(bytes.fromhex(destination), mtu)

        if wait_for_go(control, command):
            worker.run(control.fileno(), lambda: command(receive(control)))

    def _stamped(self) -> frozenset[int]:
        """Interfaces whose stamps of gso_size count."""
        return frozenset(self._stamp.indexes) if self._stamp is not None else frozenset()

    def _limited_report(self) -> Report:
        """Reports of single packets, one a second and five at once; a counter has them all."""
        bucket = TokenBucket(1, 5, time.monotonic)

        def report(line: str) -> None:
            if bucket.take():
                self._report(line)

        return report

    def summary(self) -> dict[str, Any]:
        """The state of things, ready for JSON."""
        result: dict[str, Any] = {
            "domain": self._options.domain.name,
            "model": self._options.model,
            "rule_path": self._rule_path,
            "source": self._options.source,
            "inject": self._options.inject,
            "workers": self._options.queues.workers,
            "stamp": {"how": self._stamp.how, "udp": self._stamp.udp} if self._stamp is not None else None,
            "seconds": round(time.monotonic() - self._started, 3),
            "workers_restarted": self._supervisor.restarts,
            "reloads": self._reload.counts,
            "rules": self._watch.counts if self._watch is not None else None,
            **summary(self._counters),
            "queues": self._losses(),
        }
        if self._device is not None:
            result["unexpected"] = self._device.unexpected_packets()
        return result

    def _losses(self) -> dict[str, dict[str, int]]:
        return queue_losses(self._queue_numbers())

    def _queue_numbers(self) -> range:
        """The NFQUEUE queues that are ours."""
        return self._options.queues.numbers

    def write_summary(self, result: dict[str, Any] | None = None) -> None:
        """Write the summary to the file named in the options, if any; the file is never half written."""
        path = self._options.summary_file
        if path is None:
            return
        partial = path.with_name(f".{path.name}.{os.getpid()}")
        partial.write_text(json.dumps(self.summary() if result is None else result) + "\n")
        partial.rename(path)


def translator_for(domain: Domain, local: frozenset[bytes]) -> Translator:
    """The translator of a domain on a node with the addresses `local`; next-hop MTUs are told packet by packet."""
    own6 = [address for address in local if len(address) == 16]
    return Translator(with_own_addresses(replace(domain, mtu4=None, mtu6=None), local), own6)


def with_own_addresses(domain: Domain, local: frozenset[bytes]) -> Domain:
    """The domain with address4 and address6, from which its ICMP errors come, taken from this node where not
    configured."""
    address4, address6 = domain.address4, domain.address6
    usable4 = sorted(a for a in local if len(a) == 4 and not martian4(a))
    usable6 = sorted(a for a in local if len(a) == 16 and not martian6(a))
    if address4 is None and usable4:
        address4 = IPv4Address(usable4[0])
    if address6 is None and usable6:
        address6 = IPv6Address(usable6[0])
    return replace(domain, address4=address4, address6=address6)


def queue_losses(queues: range) -> dict[str, dict[str, int]]:
    """What the kernel itself dropped, by queue: `full` (queue length), `socket` (receive buffer); nfnetlink_queue.c."""
    return {
        str(one.number): {"waiting": one.waiting, "full": one.full, "socket": one.socket}
        for one in bound_queues()
        if one.number in queues
    }
