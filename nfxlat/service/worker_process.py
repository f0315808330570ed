"""A worker's life, in its own process: built from what the service has when it is forked, ready, told to go, told of
what changes, told to stop.
"""

import contextlib
import time
from collections.abc import Collection

from nfxlat.datapath.backlog import leave
from nfxlat.datapath.counters import Total
from nfxlat.datapath.fastpath import FastPath
from nfxlat.datapath.pathmtu import News, PathMtus
from nfxlat.datapath.ratelimit import ErrorLimits, TokenBucket
from nfxlat.datapath.routecache import RouteCache
from nfxlat.datapath.tally import Tally
from nfxlat.datapath.teacher import Teacher
from nfxlat.datapath.trace import Tracing
from nfxlat.datapath.trace_filter import Filter
from nfxlat.datapath.worker import Worker
from nfxlat.host.device import DomainDevice
from nfxlat.host.ingress import Table
from nfxlat.host.mtu import route_to
from nfxlat.netlink.backlogs import Backlogs, processor
from nfxlat.netlink.bound_queues import Watch
from nfxlat.service.control import Control
from nfxlat.service.counting import OTHERWISE
from nfxlat.service.messages import (
    Busiest,
    Count,
    Counted,
    Go,
    Message,
    MessageError,
    Node,
    PathMtu,
    Ping,
    Pong,
    Ready,
    Stop,
    Teach,
    Told,
    Trace,
    Untrace,
)
from nfxlat.service.options import Options
from nfxlat.service.point import Share
from nfxlat.terms import Report
from nfxlat.xlat.node import OwnAddresses, translator_for
from nfxlat.xlat.translator import Translator

_ROWS = 1000  # of a message
_EVENTS_PER_SECOND, _EVENTS_AT_ONCE = 1.0, 5


class WorkerProcess:
    """`node` is as it is now, `paths` (this process's own from here on) what all workers have learnt so far; `table`,
    `teach`: where and what to teach, with offload; `traces`: who traces already."""

    def __init__(
        self,
        options: Options,
        share: Share,
        *,
        device: DomainDevice | None,
        node: Node,
        paths: PathMtus,
        control: Control,
        table: Table | None = None,
        teach: Teach | None = None,
        traces: Collection[Trace] = (),
        number: int = 0,
        count: bool = False,
    ) -> None:
        self._domain, self._node, self._paths, self._control = options.domain, node, paths, control
        self._routes = RouteCache(lambda receiver: route_to(receiver, options.domain.vrf), time.monotonic)
        self._limits = ErrorLimits(options.icmp_rate, options.icmp_burst, time.monotonic)
        self._counters, self._processor_time = share.counters, -1
        self._news = News(lambda learnt: self._say(PathMtu(learnt)), time.monotonic)
        translator = self._translator()
        self._teacher = None
        if table is not None and teach is not None:
            backlogs = Backlogs()
            self._teacher = Teacher(
                table,
                translator,
                local=node.local,
                narrow=paths.mtus,
                look=Watch(options.queues.numbers),
                settle=lambda: leave(backlogs, processor(), time.sleep),
                counters=share.counters,
            )
            self._teacher.serve(teach.generation, teach.interfaces)
        fast = None
        if options.fast_path:
            fast = FastPath(
                translator,
                share.injectors.main.frame,
                device=share.injectors.device,
                guard=device.ifindex if device else -1,
                local=node.local,
                mtu_of=None if share.injectors.device else self._routes.mtu,
                narrow=paths.mtus,
            )
        self._worker = Worker(
            share.sources,
            translator,
            share.injectors,
            share.counters,
            fast=fast,
            paths=paths,
            learnt=self._learnt,
            event=_limited(lambda line: self._say(Told(line))),
            routes=self._routes,
            device_index=device.ifindex if device else 0,
            local=node.local,
            busy_poll=options.busy_poll * 1000,
            teacher=self._teacher,
        )
        self._worker.trust_stamps(node.stamped)
        self._tracing = Tracing(number, translator.addresses)
        for trace in traces:
            self._tracing.add(trace.number, Filter.decode(trace.wanted), trace.descriptor)
        self._trace()
        self._number, self._frame = number, share.injectors.main.frame.size
        self._tally: Tally | None = None
        self._uncounted: list[tuple[bytes, int, int, int, int]] = []  # what could not be said yet
        self._count(count)

    def run(self) -> None:
        """Say that it is ready, wait to be told to go, and work until told to stop."""
        self._say(Ready())
        while (message := self._receive()) != Go():
            self._obey(message)
            if self._worker.stopped:
                return
        self._processor_time = 0
        self._worker.run(self._control.fileno(), lambda: self._obey(self._receive()))
        self._count_processor_time()
        self._say_counted()

    def _receive(self) -> Message:
        """What it is told next; to stop, where the supervisor is gone."""
        return self._control.receive() or Stop()

    def _obey(self, message: Message) -> None:
        match message:
            case Stop():
                self._worker.stopped = True
            case Ping():
                self._say(Pong())
                self._count_processor_time()
                self._news.flush()
                self._say_counted()
            case Node():
                self._renew(message)
            case PathMtu(learnt):
                for pair, mtu in learnt:
                    self._paths.set(pair, mtu)
                    if self._teacher is not None:
                        self._teacher.unlearn(pair)
            case Teach(generation, interfaces):
                if self._teacher is not None:
                    self._teacher.serve(generation, interfaces)
            case Trace(who, wanted, descriptor):
                self._tracing.add(who, Filter.decode(wanted), descriptor)
                self._trace()
            case Untrace(who):
                self._tracing.remove(who)
                self._trace()
            case Count(on):
                self._count(on)
            case _:
                raise MessageError(f"{message} to a worker at work")

    def _count_processor_time(self) -> None:
        """What was used since it was last counted."""
        if self._processor_time < 0:  # another still works, and counts
            return
        former, self._processor_time = self._processor_time, time.process_time_ns()
        self._counters.totals[Total.CPU_NS] += self._processor_time - former
        self._counters.show(Total.CPU_NS)

    def _count(self, on: bool) -> None:
        self._tally, self._uncounted = Tally(self._mapping, self._frame) if on else None, []
        self._worker.count(self._tally)

    def _mapping(self, address: bytes) -> bytes:
        return self._domain.eamt.place_of(address) or OTHERWISE

    def _say_counted(self) -> None:
        """What was counted since it was last said; what the supervisor is too busy for, the next time."""
        if self._tally is None:
            return
        rows, busiest = self._tally.drain()
        self._say(Busiest(self._number, tuple(busiest)))
        self._uncounted += ((mapping, *numbers) for mapping, numbers in rows.items() if any(numbers))  # type: ignore[misc]
        while self._uncounted:
            try:
                self._control.send(Counted(tuple(self._uncounted[:_ROWS])))
            except OSError:
                return
            del self._uncounted[:_ROWS]

    def _learnt(self, pair: bytes, mtu: int) -> None:
        self._news.add(pair, mtu)
        if self._teacher is not None:
            self._teacher.unlearn(pair)

    def _renew(self, node: Node) -> None:
        former, self._node = self._node, node
        if (node.local, node.unfit) != (former.local, former.unfit):
            self._routes.forget()
            translator = self._translator()
            self._tracing.renew(translator.addresses)
            self._worker.renew(translator, node.local)
        if node.stamped != former.stamped:
            self._worker.trust_stamps(node.stamped)

    def _trace(self) -> None:
        self._worker.trace(self._tracing if self._tracing else None)

    def _translator(self) -> Translator:
        """As the node is now."""
        own = OwnAddresses(self._node.local, self._node.unfit, self._routes.source)
        return translator_for(self._domain, own, self._node.local, self._limits.allow)

    def _say(self, message: Message) -> None:
        with contextlib.suppress(OSError):  # the supervisor is gone, or too busy: each worker learns by itself as well
            self._control.send(message)


def _limited(report: Report) -> Report:
    """Reports of single packets, few enough to be read; a counter has them all."""
    bucket = TokenBucket(_EVENTS_PER_SECOND, _EVENTS_AT_ONCE, time.monotonic)

    def limited(line: str) -> None:
        if bucket.take():
            report(line)

    return limited
