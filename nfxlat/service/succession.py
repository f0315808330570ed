"""A restart without a gap: the former translator goes on until its successor takes packets, and where that cannot, it
simply goes on.

    SIGUSR2      "a restart follows": the service forks; the child has workers of its own, and goes on; the parent ends,
                 so that the service manager starts the successor
    successor    reads and checks its configuration; takes the queues' sockets that the manager has kept for it
                 (nfxlat.service.store); has the predecessor let go of the host, and finds it as a killed run would have
                 left it: device, routes and rules stay; its workers are ready; the predecessor's retire; its own go
    one that fails, at any of these steps, or dies: the predecessor takes the host back, and goes on

    ask            of it that stands by
    "successor"    whether it does
    "let go"       do not touch the host any more, nor put anything back; answers with path MTUs that were learnt
    "retire"       take no packet any more, and end, leaving all that stands
    "refused"      the successor cannot start: how often that has been said
    "stay"         it is the unit's own process again, and awaits nobody

The first successor that cannot start ends with an error, so that whoever has asked for a restart is told. The manager
starts it once more; then it has the manager take the predecessor for the unit's process (MAINPID=) again.
"""

import contextlib
import os
import select
import signal
from dataclasses import dataclass
from typing import Any, Protocol

from nfxlat import __version__
from nfxlat.datapath.pathmtu import PathMtus
from nfxlat.errors import OperatorError
from nfxlat.service.fence import Fence
from nfxlat.service.loop import AGAIN, Loop
from nfxlat.service.notify import notify
from nfxlat.service.requests import Answer, Asker, Handler, Line, lines
from nfxlat.service.supervisor import ended_within
from nfxlat.service.unit import UnitWatch
from nfxlat.terms import Report

FORK_SECONDS = 60.0  # until the process that goes on has workers
END_SECONDS = 30.0
ASK_SECONDS = 10.0  # one that hangs awaits nobody
MTUS_TOLD = 1000
_READY = b"+"


class MakesWay(Protocol):
    """What a service has to be able to do. Each raises what it meets."""

    def cannot_make_way(self) -> str:
        """Why not, "" where it can."""

    def before_fork(self) -> None:
        """Let a child have what only one process can."""

    def inherit(self) -> None:
        """In a forked child: have names and workers of its own, and the rest of what its parent had."""

    def keep(self) -> None:
        """Where there is no child: have all that `before_fork` has let go."""

    def let_go(self) -> None:
        """Touch the host no more, and put nothing back."""

    def take_back(self) -> None:
        """Have the host be as it was before `let_go`, and keep it so. What it raises ends nothing of what was begun: it
        is called again."""

    def retire(self) -> None:
        """Have the workers take no packet any more."""

    @property
    def paths(self) -> PathMtus:
        """What has been learnt."""


class Succession:
    """The side that makes way. `leaves`: whether all that stands is to stay when the service ends."""

    def __init__(self, service: MakesWay, loop: Loop, fence: Fence, report: Report) -> None:
        self._service, self._loop, self._fence, self._report = service, loop, fence, report
        self.leaves = False
        self._stands_by = False
        self._has_let_go = False
        self._has_host = True
        self._refused = 0
        self._unit: UnitWatch | None = None
        self.handlers: dict[str, Handler] = {
            "successor": lambda asker, request: {"stands_by": self._stands_by, "version": __version__},
            "let go": self._let_go,
            "retire": self._retire,
            "refused": self._count_refused,
            "stay": self._stay,
        }

    @property
    def not_ours(self) -> str:
        """Why the host is not to be touched now: it is a successor's, or is still to be taken back. "": it is ours."""
        if self._has_let_go:
            return "a successor is taking over"
        return "" if self._has_host else "what stands on this host is still to be taken back"

    def make_way(self) -> None:
        """SIGUSR2: a child goes on, and this process ends; where there can be none, the end leaves all that stands."""
        if why := self._service.cannot_make_way():
            self._report(f"a restart takes all down and makes it again: {why}")
            return
        ours, theirs = os.pipe2(os.O_CLOEXEC)
        self._service.before_fork()
        try:
            pid = os.fork()
        except OSError as error:
            pid, why = -1, error.strerror or ""
        if not pid:
            os.close(ours)
            self._go_on(theirs)
            return
        os.close(theirs)
        try:
            if pid > 0 and _readable(ours, FORK_SECONDS) and os.read(ours, 1) == _READY:
                os._exit(0)
        finally:
            os.close(ours)
        if pid > 0:
            why = "the process that was to go on did not get ready"
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(pid, signal.SIGKILL)
                ended_within(pid, END_SECONDS)
        self._service.keep()
        self.leaves = True
        self._report(f"a restart will take a moment, in which packets wait: {why}")

    def _go_on(self, told: int) -> None:
        """The child: all that it does here is behind a handler of its parent's, and it goes on in the loop."""
        try:
            self._loop.renew_signals()
            self._service.inherit()
            self._stands_by, self._refused = True, 0
            self._unit = UnitWatch(self._loop, self._over)
            os.write(told, _READY)
            self._report(f"pid {os.getpid()} goes on until its successor takes over")
        except BaseException as error:
            with contextlib.suppress(Exception):
                self._report(f"pid {os.getpid()} cannot go on: {error}")
            os._exit(1)
        finally:
            os.close(told)

    def _over(self) -> None:
        self._report("the unit has been stopped")
        self._loop.stop()

    def _let_go(self, asker: Asker, request: dict[str, Any]) -> Answer:
        if not self._stands_by:
            raise OperatorError("this translator awaits no successor", hint="stop it first")
        if self._has_let_go:
            raise OperatorError("another successor is taking over")
        self._report(f"pid {asker.pid}, version {request.get('version')}, takes over")
        self._has_let_go, self._has_host = True, False
        asker.ends.callback(self._go_on_alone)
        self._service.let_go()
        learnt = list(self._service.paths.mtus.items())[-MTUS_TOLD:]
        return {"path_mtus": [[pair.hex(), mtu] for pair, mtu in learnt]}

    def _go_on_alone(self) -> None:
        """The successor has gone before it took packets."""
        self._report("the successor has not taken over: going on")
        self._has_let_go = False
        self._take_back()

    def _take_back(self) -> None:
        """Until it is done, or the host is another successor's."""

        def taken_back() -> bool:
            self._service.take_back()
            return True

        if self._has_let_go or self._has_host:
            return
        self._has_host = self._fence.tried("taking the host back", taken_back, False)
        if not self._has_host:
            self._loop.later(AGAIN, self._take_back)

    def _retire(self, asker: Asker, request: dict[str, Any]) -> Answer:
        if not self._stands_by:
            raise OperatorError("this translator awaits no successor", hint="stop it first")
        asker.ends.pop_all()  # its end is none of ours any more
        self.close()
        self._service.retire()
        self.leaves = True
        self._loop.stop()
        return {}

    def _count_refused(self, asker: Asker, request: dict[str, Any]) -> Answer:
        self._refused += 1
        return {"times": self._refused}

    def _stay(self, asker: Asker, request: dict[str, Any]) -> Answer:
        self._stands_by = False
        self.close()
        return {}

    def close(self) -> None:
        """Look at the unit no more."""
        if self._unit is not None:
            self._unit.close()
            self._unit = None


@dataclass(frozen=True, slots=True)
class Predecessor:
    """The translator of the domain that goes on until this process takes over. `process`: a pidfd."""

    line: Line
    process: int

    @staticmethod
    def of(domain: str | None) -> "Predecessor | None":
        """None where there is none that stands by; without a name, the only one."""
        found = []
        for line in lines(domain):
            if line.pid == os.getpid():  # a bug has ended us, and our name is still there
                line.close()
                continue
            try:
                answer, _ = line.ask("successor", patience=ASK_SECONDS)
            except OperatorError:
                answer = {}
            if answer.get("stands_by") is True:
                with contextlib.suppress(OSError):  # it has ended
                    found.append(Predecessor(line, os.pidfd_open(line.pid)))
                    continue
            line.close()
        if len(found) == 1:
            return found[0]
        for one in found:
            one.close()
        return None

    def let_go(self, paths: PathMtus) -> None:
        """Have it let go of the host; what it has learnt is in `paths` then. Raises OperatorError."""
        answer, _ = self.line.ask("let go", version=__version__)
        with contextlib.suppress(ValueError, TypeError):
            for pair, mtu in answer.get("path_mtus", ()):
                if isinstance(mtu, int) and len(octets := bytes.fromhex(pair)) == 8:
                    paths.set(octets, mtu)

    def retire(self, report: Report) -> None:
        """Have it take no packet any more. One that does not answer is killed."""
        try:
            self.line.ask("retire")
        except OperatorError as error:
            report(f"the predecessor is killed (pid {self.line.pid}): {error}")
            self.end()

    def ended(self, seconds: float) -> bool:
        """Whether its process has ended, within so long."""
        return _readable(self.process, seconds)

    def end(self) -> None:
        """Wait for the end of its process, which holds queues as ours does, and make one in the end."""
        if not self.ended(END_SECONDS):
            with contextlib.suppress(OSError):
                signal.pidfd_send_signal(self.process, signal.SIGKILL)
            self.ended(END_SECONDS)

    def close(self) -> None:
        self.line.close()
        os.close(self.process)


def goes_on(domain: str | None, why: Exception, report: Report, failed: int) -> int | None:
    """The exit status where this process cannot start and a predecessor goes on instead; None without one. The first
    time it is `failed`, which has the manager start us again."""
    predecessor = Predecessor.of(domain)
    if predecessor is None:
        return None
    line = predecessor.line
    with contextlib.closing(predecessor):
        try:
            times = int(line.ask("refused")[0]["times"])
        except (OperatorError, KeyError, ValueError, TypeError):
            return None
        report(f"the translator of before goes on (pid {line.pid}); mend this, and restart again")
        status = f"STATUS=The translator of before goes on: {' '.join(str(why).split())}"
        if times > 1 and notify(f"MAINPID={line.pid}\nREADY=1\n{status}"):
            with contextlib.suppress(OperatorError):
                line.ask("stay")
            return 0
    return failed


def _readable(descriptor: int, seconds: float) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(seconds * 1000))
