"""`nfxlat run`: queues bound first, then what the host needs, then workers; all back in reverse order at the end.

    bind queues -> device, routes, sysctls, rules (--setup) -> injectors -> workers -> "ready"

A queue that cannot be had therefore fails before anything has been touched. Rules drop until it is read.

Signals are only noted until the loop runs, and again from its end on: what has begun is made whole, and what is taken
down goes to its end. What a handler raises is told and counted (nfxlat.service.fence). Should a bug end the service all
the same, device, routes and rules stay: closed, and the next start takes them over.
"""

import gc
import json
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from nfxlat import __version__
from nfxlat.datapath.counters import Cells, Counters, Total, summary, totals
from nfxlat.datapath.pathmtu import PathMtus
from nfxlat.errors import OperatorError
from nfxlat.host import vrfs
from nfxlat.host.device import DomainDevice
from nfxlat.host.stamp import Stamp
from nfxlat.host.udp_superframes import takes_udp_superframes
from nfxlat.netlink.bound_queues import held_by_others
from nfxlat.plan.facts import Facts
from nfxlat.plan.plan import Plan, plan
from nfxlat.service import accounts, inherited, readiness, rights, status
from nfxlat.service.control import Control
from nfxlat.service.eam_changes import EamChanges
from nfxlat.service.fence import Fence
from nfxlat.service.host_watches import HostWatches
from nfxlat.service.loop import Loop
from nfxlat.service.messages import Busiest, Counted, Message, MessageError, PathMtu
from nfxlat.service.names import Names
from nfxlat.service.node_watch import NodeWatch
from nfxlat.service.offloading import Offloading
from nfxlat.service.options import Options
from nfxlat.service.point import Share, TranslationPoint
from nfxlat.service.queue_point import QueuePoint
from nfxlat.service.readers import Readers
from nfxlat.service.reading import Reading
from nfxlat.service.reload import Reload
from nfxlat.service.setup import Setup
from nfxlat.service.store import Store
from nfxlat.service.succession import Predecessor, Succession
from nfxlat.service.summary_file import SummaryFile
from nfxlat.service.supervisor import Supervisor
from nfxlat.service.tun_point import TunPoint, kept_as
from nfxlat.service.unexpected import Unexpected
from nfxlat.service.worker_process import WorkerProcess
from nfxlat.terms import Report
from nfxlat.xlat.domain import Domain


class Service:
    """One domain, translated. `run` returns when a signal ended it; raises OperatorError where it cannot begin."""

    def __init__(
        self,
        options: Options,
        report: Report,
        *,
        lost_lines: Callable[[], int] = lambda: 0,
        store: Store | None = None,
    ) -> None:
        """`lost_lines`: how many lines `report` could not write. `store`: what the service manager keeps for us."""
        self._options = options
        self._lost_lines = lost_lines
        self._report = report
        self._counters = [Counters() for _ in range(options.queues.workers)]
        self._store = store if store is not None else Store()
        point = TunPoint if options.model == "device" else QueuePoint
        self._point: TranslationPoint = point(options, report, self._store)
        self._shares: list[Share] = []  # one a worker
        self._attached = ExitStack()  # what they hold open beside queues
        self._device: DomainDevice | None = None
        self._unexpected: Unexpected | None = None
        self._setup: Setup | None = None
        self._own_stamp: Stamp | None = None  # for offload without --setup
        self._node: NodeWatch | None = None
        self.paths = PathMtus(time.monotonic)  # what the workers have learnt, for those that come after them
        self._fence = Fence(report)
        self._loop = Loop(self._fence.failed)
        self._at_work = False
        self._succession = Succession(self, self._loop, self._fence, report)
        self._predecessor: Predecessor | None = None  # until its workers have retired
        for number, handler in (  # in the order of precedence
            (signal.SIGUSR2, self._succession.make_way),
            (signal.SIGTERM, self._loop.stop),
            (signal.SIGINT, self._loop.stop),
            (signal.SIGUSR1, self._write_summary),
            (signal.SIGHUP, self._read_again),
        ):
            self._loop.on_signal(number, handler)
        self._supervisor = Supervisor(
            self._worker, options.queues.workers, loop=self._loop, report=report, heard=self._heard
        )
        self._offloading = Offloading(self._loop, self._supervisor.send, report)
        self._watches = HostWatches(
            self._loop, report, offloading=self._offloading, planned=self._planned, remade=self._device_remade
        )
        self._readers = Readers(
            options.domain,
            self._loop,
            self._supervisor.send,
            entries=self._offloading.entries,
            traced=lambda: self._offloading.forget("trace"),
            report=report,
        )
        changes = EamChanges(lambda: self._options.domain, self._use, options.configuration, report)
        self._names = Names(
            options.domain.name,
            self._loop,
            report,
            summary=self.summary,
            handlers={**self._succession.handlers, **self._readers.handlers, "eam": changes.answer},
            closed=self._readers.forget,
        )
        self._reload = Reload(options.domain, self._supervisor, report)
        self._summary_file = SummaryFile(options.summary_file, self._loop)
        self._reading = Reading(self._loop, self._reload.refused)
        self._started = time.monotonic()

    @property
    def domain(self) -> str:
        """Its name."""
        return self._options.domain.name

    def run(self) -> dict[str, Any]:
        """Translate until SIGTERM or SIGINT; the final summary."""
        rights.require()
        rights.raise_descriptor_limit()
        self._predecessor = Predecessor.of(self._options.domain.name)
        with self._loop.signals_taken(to_the_end=True), self._fence.unraisable(), ExitStack() as stack:
            try:
                for step in (self._bind, self._prepare_host, self._attach, self._watch_node, self._watch_host):
                    step(stack)
                    if self._loop.told_to_stop:
                        self._report("stopped before it was ready")
                        if self._predecessor is not None:  # all that stands is its own
                            stack.pop_all()
                        break
                else:
                    self._work()
                    if self._succession.leaves:
                        stack.pop_all()
            except Exception:
                if self._at_work or self._predecessor is not None:  # a bug, not a start that fails; or it goes on
                    stack.pop_all()
                raise
            result = self.summary()
            self._fence.tried("the last summary", lambda: self._summary_file.finish(json.dumps(result) + "\n"), None)
        return result

    def _bind(self, stack: ExitStack) -> None:
        ports = self._store.ports()
        try:
            self._bind_queues(stack)
        except OperatorError:
            # nobody's end would help; those sockets are the predecessor's too
            if held_by_others(self._point.queues, ports) if ports else self._predecessor is None:
                raise
            self._report("the queues' former sockets are of no use: they are closed, and a predecessor ends first")
            self._store.close_rest()  # ours, of the same sockets
            self._store.forget_all()
            if self._predecessor is not None:
                self._predecessor.retire(self._report)
            self._await_predecessor()
            self._bind_queues(stack)
        if self._predecessor is None and self._options.model != "device":  # or they would keep a TUN that is to go
            self._store.close_rest()
        # first: from now on a --setup sees us
        self._names.listen()
        stack.callback(self._names.close)

    def _bind_queues(self, stack: ExitStack) -> None:
        with ExitStack() as some:
            self._point.bind(some)
            stack.push(some.pop_all())

    def _attach(self, stack: ExitStack) -> None:
        stack.callback(self._store.forget_all)
        stack.callback(lambda: self._attached.close())
        self._shares = self._point.attach(self._attached, self._device, self._counters)
        self._store.close_rest()
        self._count_unexpected()

    def _count_unexpected(self) -> None:
        self._unexpected = Unexpected(self._device, self._counters) if self._device is not None else None

    def _work(self) -> None:
        """From the first worker's start to the last one's end."""
        try:
            if self._predecessor is None:
                self._supervisor.start()
            else:
                self._supervisor.start(self._take_over)
            self._await_predecessor()
            self._fence.tried("telling that it is ready", lambda: readiness.tell(self._options, self._report), None)
            self._at_work = True
            far = self._device is not None
            self._fence.tried("giving up rights", lambda: rights.keep_as_supervisor(far=far), None)
            self._loop.run()
        finally:
            self._succession.close()
            self._reading.close()
            self._supervisor.stop()

    def _take_over(self) -> None:
        """The workers are ready, and wait for nothing else."""
        assert self._predecessor is not None
        self._predecessor.retire(self._report)
        self._point.begin()

    def _await_predecessor(self) -> None:
        """Until it has ended, where there was one: its workers have retired."""
        if self._predecessor is not None:
            self._predecessor.end()
            self._predecessor.close()
            self._predecessor = None

    def cannot_make_way(self) -> str:
        """See nfxlat.service.succession.MakesWay, also for those that follow."""
        if self._setup is None:
            return "it runs without --setup"
        if why := self._succession.not_ours:
            return why
        return "" if self._store.keeps else "no service manager keeps the sockets of its queues"

    def before_fork(self) -> None:
        if self._setup is not None:
            self._setup.release()

    def keep(self) -> None:
        if self._setup is not None:
            self._setup.inherit()

    def inherit(self) -> None:
        self._reading.close()
        self._summary_file.drop()
        self._names.listen()
        self.keep()
        self._supervisor.prepare()
        self._supervisor.succeed()

    def let_go(self) -> None:
        assert self._setup is not None
        assert self._node is not None
        self._reading.close()
        self._node.pause()
        self._watches.close()
        self._names.hide()
        self._setup.let_go()

    def take_back(self) -> None:
        assert self._setup is not None
        assert self._node is not None
        self._watches.close()
        self._names.show()  # one who looks for what translates has to see us, whatever the host is like
        self._setup.take_back()
        self._watches.begin(self._setup, self._point.queues)
        self._node.go_on()

    def retire(self) -> None:
        self._supervisor.retire()

    def _watch_node(self, stack: ExitStack) -> None:
        """Follow what others change of addresses and interfaces."""
        tell = self._supervisor.send
        self._node = NodeWatch(self._point, self._stamp, tell, self._offloading, self._loop, stack, self._vrf)

    def _watch_host(self, stack: ExitStack) -> None:
        """Follow what others change of rules, and of what --setup owns."""
        stack.callback(self._watches.close)
        self._watches.begin(self._setup, self._point.queues)

    def _planned(self) -> Plan:
        """What `--setup` would make: without it, what is asked after."""
        options = self._options
        table = vrfs.table_of(self._vrf)
        found = plan(options.domain, options.role, options.model, options.queues, lambda ends: Facts(table=table))
        return found if options.inject == "device" else replace(found, sysctls=())  # which forwards by itself

    @property
    def _vrf(self) -> str | None:
        return self._options.domain.vrf

    def _device_remade(self) -> None:
        """The former device is gone, and what was open into it is dead: the workers that come now have the new one.

        Raises OperatorError where they cannot; then all have what they had.
        """
        assert self._setup is not None
        self._offloading.suspend("device")
        former = self._device, self._shares
        with ExitStack() as attached:
            self._device = self._setup.device
            try:
                self._shares = self._point.attach(attached, self._device, self._counters)
                self._supervisor.prepare()
            except BaseException:
                self._device, self._shares = former
                raise
            self._count_unexpected()
            self._supervisor.succeed()
            self._offloading.begin(self._options.domain, self._device)
            dead, self._attached = self._attached, attached.pop_all()
            dead.close()

    @property
    def _stamp(self) -> Stamp | None:
        return self._setup.stamp if self._setup is not None else self._own_stamp

    def _prepare_host(self, stack: ExitStack) -> None:
        options = self._options
        table = self._offloading.make_table(options, stack)
        if options.setup:
            held = self._store.waiting(kept_as(options.domain.name))
            setup = Setup.of(options, self._report, offload=table, held=held)
            predecessor = self._predecessor
            setup.up(None if predecessor is None else lambda: predecessor.let_go(self.paths))
            stack.callback(setup.down)
            self._setup = setup
            self._device = setup.device
        else:
            if options.model != "device":  # the TUN tells itself whether it is in use
                status.refuse_another(options.domain.name)
            self._device = self._point.make_device(stack)
            if table is not None:
                udp = takes_udp_superframes()
                self._own_stamp = Stamp(options.domain.name, self._report, udp=udp, table=table)
                stack.callback(self._own_stamp.close)
        self._offloading.start(self._stamp, options.domain, self._device, self._setup)

    def _read_again(self) -> None:
        """SIGHUP."""
        path, read = self._options.configuration, self._options.read_again
        if why := self._succession.not_ours:
            self._reload.refused(OperatorError(why, where="SIGHUP"))
        elif path is None or read is None:
            self._have_read(None)
        else:
            self._reading.begin(path, lambda opener: self._have_read(lambda: read(opener)))

    def _use(self, domain: Domain) -> OperatorError | None:
        """In the place of what is; what has been refused."""
        if why := self._succession.not_ours:
            return OperatorError(why, hint="try again")
        if self._reading.at_work:  # it would put files in the place of this that have not seen it
            return OperatorError("the configuration is being read again (SIGHUP)", hint="try again when it has been")
        return self._have_read(lambda: domain)

    def _have_read(self, read: Callable[[], Domain] | None) -> OperatorError | None:
        """The workers that come from now on have the new domain."""

        def use(domain: Domain) -> None:
            self._offloading.suspend("mappings")
            self._options = replace(self._options, domain=domain)
            self._watches.renew()

        former = self._options.domain
        refused = self._reload(former, read, self._setup, use)
        if self._options.domain is not former:
            self._readers.counting.renew(self._options.domain)
        del former
        self._offloading.resume(self._options.domain, self._device)
        self._watches.reloaded()
        gc.collect()  # pyroute2's event loops leave cycles with our frames in them, and so the former domain
        return refused

    def _heard(self, message: Message) -> None:
        """What a worker says, for those that come after it."""
        if isinstance(message, Counted | Busiest):
            self._readers.counting.heard(message)
            return
        if not isinstance(message, PathMtu):
            raise MessageError(f"{message} from a worker")
        for pair, mtu in message.learnt:
            self.paths.set(pair, mtu)

    def _worker(self, number: int, control: Control) -> None:
        """A worker's life, in its own process."""
        assert self._node is not None
        share, offloading = self._shares[number], self._offloading
        rights.keep_as_worker()
        wanted = share.descriptors | offloading.descriptors | self._readers.tracing.descriptors
        inherited.hold_only(wanted | {control.fileno()})
        WorkerProcess(
            self._options,
            share,
            device=self._device,
            node=self._node.node,
            paths=self.paths,
            control=control,
            table=offloading.table,
            teach=offloading.teach,
            traces=self._readers.tracing.traces,
            number=number,
            count=self._readers.counting.on,
        ).run()

    def summary(self) -> dict[str, Any]:
        """The state of things, ready for JSON."""
        nothing: Mapping[str, Mapping[str, int]] = {}
        before = accounts.taken(totals(self._snapshots()))
        queues = self._fence.tried("the queues' counters", self._point.losses, nothing)
        result: dict[str, Any] = {
            "domain": self._options.domain.name,
            "version": __version__,
            "model": self._options.model,
            "rule_path": (self._setup is not None and self._setup.rules.path) or "none",
            "source": self._options.source,
            "inject": self._options.inject,
            "workers": self._options.queues.workers,
            "stamp": {"how": self._stamp.how, "udp": self._stamp.udp} if self._stamp is not None else None,
            "seconds": round(time.monotonic() - self._started, 3),
            "configuration": self._reload.loaded,
            "workers_restarted": self._supervisor.restarts,
            "workers_missing": self._supervisor.missing,
            "worker_cpu_seconds": [block.shown(Total.CPU_NS) / 1e9 for block in self._counters],
            "supervisor_cpu_seconds": time.process_time(),
            "reloads": self._reload.counts,
            "rules": self._watches.rules.counts if self._watches.rules is not None else None,
            "host": self._watches.host.counts if self._watches.host is not None else None,
            "missing": self._watches.missing,
            "chains": self._setup.rules.chains if self._setup is not None else {},
            "offload": self._fence.tried("offload", lambda: self._offloading.summary(totals(self._snapshots())), None),
            **summary(self._snapshots()),  # behind what the kernel says, and ahead of it: it goes on meanwhile
            "queues": queues,
            "taken_before": before,
            "inherited": self._point.inherited,
            "counting": self._readers.counting.summary(),
        }
        if self._unexpected is not None:
            result["unexpected"] = self._fence.tried("device", self._unexpected.packets, None)
        result["lost_lines"] = self._lost_lines()
        result["failures"] = self._fence.count  # last: those of the summary too
        return result

    def _snapshots(self) -> list[Cells]:
        return [block.snapshot() for block in self._counters]

    def _write_summary(self) -> None:
        """SIGUSR1."""
        self._summary_file.begin(json.dumps(self.summary()) + "\n")
