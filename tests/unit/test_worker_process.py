"""A worker's life without packets: what it is told, before it goes and at work."""

import time
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv6Network, ip_address

import pytest
from packets import ipv4
from worker_ends import Injector, Source

from nfxlat.datapath.counters import Counters
from nfxlat.datapath.inject import Injectors
from nfxlat.datapath.pathmtu import PathMtus
from nfxlat.datapath.worker import Worker
from nfxlat.outcome import Reason
from nfxlat.service import worker_process
from nfxlat.service.control import Control
from nfxlat.service.messages import Go, Message, MessageError, Node, PathMtu, Ping, Pong, Ready, Stop
from nfxlat.service.options import Options
from nfxlat.service.point import Share
from nfxlat.service.translation import Service
from nfxlat.service.worker_process import WorkerProcess
from nfxlat.xlat.domain import Domain

OPTIONS = Options(Domain(prefix6=IPv6Network("2001:db8:64::/96")))
OWN, OTHER = (frozenset((ip_address(text).packed,)) for text in ("192.0.2.1", "192.0.2.2"))
NODE = Node(OWN, frozenset((3,)))
PAIR = bytes((203, 0, 113, 2, 198, 51, 100, 7))
LEARNT = PathMtu(((PAIR, 576),))


class Line:
    """A worker that has not begun, the supervisor's end of its line, and what was changed in its data path."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ours, theirs = Control.pair()
        self.theirs = theirs
        self.changes: list[object] = []
        self.paths = PathMtus(time.monotonic)
        nowhere = Injector(Source())
        share = Share([], Injectors(nowhere, nowhere, device=True), Counters())
        self.process = WorkerProcess(OPTIONS, share, device=None, node=NODE, paths=self.paths, control=theirs)
        monkeypatch.setattr(Worker, "renew", lambda worker, translator, local: self.changes.append(local))
        monkeypatch.setattr(Worker, "trust_stamps", lambda worker, stamped: self.changes.append(stamped))

    def run(self, *told: Message) -> None:
        """Its whole life, told all of this in advance."""
        for message in told:
            self.ours.send(message)
        self.process.run()
        assert self.ours.receive() == Ready()


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    made = Line(monkeypatch)
    yield made
    made.ours.close()
    made.theirs.close()


@pytest.mark.parametrize("before", [True, False], ids=["before it goes", "at work"])
def test_a_changed_node_changes_what_differs_and_nothing_else(line: Line, before: bool) -> None:
    news = (NODE, Node(OTHER, NODE.stamped), Node(OTHER, frozenset((3, 4))))
    line.run(*news, Go(), Stop()) if before else line.run(Go(), *news, Stop())
    assert line.changes == [OTHER, frozenset((3, 4))]


@pytest.mark.parametrize("before", [True, False], ids=["before it goes", "at work"])
def test_whether_it_works_is_answered(line: Line, before: bool) -> None:
    line.run(Ping(), Go(), Stop()) if before else line.run(Go(), Ping(), Stop())
    assert line.ours.receive() == Pong()


@pytest.mark.parametrize("before", [True, False], ids=["before it goes", "at work"])
def test_what_another_worker_has_learnt_is_known(line: Line, before: bool) -> None:
    line.run(LEARNT, Go(), Stop()) if before else line.run(Go(), LEARNT, Stop())
    assert line.paths.mtus == dict(LEARNT.learnt)


def test_a_worker_that_is_told_to_stop_before_it_goes_takes_no_packet(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Worker, "run", lambda *arguments: pytest.fail("it works"))
    line.run(Stop())


@pytest.mark.parametrize("told", [(), (Go(),)], ids=["before it goes", "at work"])
def test_a_worker_whose_supervisor_has_gone_stops(line: Line, told: tuple[Message, ...]) -> None:
    for message in told:
        line.ours.send(message)
    line.ours.close()
    line.process.run()


def test_what_it_learns_goes_to_the_supervisor_and_nowhere_when_that_is_gone(line: Line) -> None:
    line.process._learnt(PAIR, 576)
    assert line.ours.receive() == LEARNT
    line.ours.close()
    line.process._learnt(PAIR, 576)


def test_a_message_that_is_not_for_a_worker_at_work_is_a_bug(line: Line) -> None:
    with pytest.raises(MessageError, match=r"Go\(\) to a worker at work"):
        line.run(Go(), Go())


def test_a_message_that_no_worker_has_to_say_is_a_bug() -> None:
    service = Service(OPTIONS, print)
    service._heard(LEARNT)
    assert service.paths.mtus == dict(LEARNT.learnt)
    with pytest.raises(MessageError, match="from a worker"):
        service._heard(NODE)


def test_its_icmp_errors_have_a_limit_that_outlives_changes_of_the_node(monkeypatch: pytest.MonkeyPatch) -> None:
    routes: list[bytes] = []

    def route_to(receiver: bytes, vrf: str | None) -> tuple[int, bytes]:
        routes.append(receiver)
        return 1500, bytes(4)

    monkeypatch.setattr(worker_process, "route_to", route_to)
    ours, theirs = Control.pair()
    nowhere = Injector(Source())
    share = Share([], Injectors(nowhere, nowhere, device=True), Counters())
    options = replace(OPTIONS, icmp_rate=1e-9, icmp_burst=2)
    process = WorkerProcess(options, share, device=None, node=NODE, paths=PathMtus(time.monotonic), control=theirs)
    reasons = [process._translator().translate(ipv4(ttl=1, src=f"198.51.{n}.7")).reason for n in range(4)]
    assert reasons == [Reason.HOP_LIMIT_EXCEEDED] * 2 + [Reason.ERROR_RATE_LIMITED] * 2
    assert len(routes) == 2
    ours.close()
    theirs.close()
