"""What arrived is what left, what each reason took, and what was lost: in every model and injector, over a full queue,
a killed worker and a reload.

host4 --- router4 --- translator --- router6 --- host6
numbered datagrams, all kinds of others, a TCP transfer; counted on both sides
"""

import contextlib
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from nfxlat.cli import main
from nfxlat.lab.datagram import UdpEcho, exchange
from nfxlat.lab.netns import wait_for
from nfxlat.lab.probe import ping
from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.stream import SO_RCVBUFFORCE, backlog_drops
from nfxlat.lab.topology import DEAD6_4, HOST6_4, HOST6_EAM4, Lab
from nfxlat.lab.transfer import download, serving
from nfxlat.service.accounts import Account, account

pytestmark = pytest.mark.quiet

SO_NO_CHECK = 11
NOBODY = 9  # a port that nobody listens at, so ICMP errors come back
IP_MTU_DISCOVER, IP_PMTUDISC_PROBE = 10, 3
BURST, FULL = 700, 6000  # datagrams; the second is more than a queue holds
LATE = 10  # packets of others at most that may come so late that they are lost too
WAYS = [
    (),
    ("--inject", "ip"),
    ("--no-fast-path", "--workers", "2"),
    ("--model", "route"),
    ("--model", "device"),
    ("--source", "netfilterqueue"),
    ("--offload",),
]


class Datagrams:
    """Numbered, from host4 to host6, where they wait until they are counted."""

    def __init__(self, lab: Lab, stack: ExitStack) -> None:
        with lab.host6.entered():
            self._sink = stack.enter_context(closing(socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)))
        self._sink.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
        self._sink.bind(("::", 0))
        self.port = self._sink.getsockname()[1]
        with lab.host4.entered():
            self.source = stack.enter_context(closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)))
        self.sent, self._arrived = 0, set[bytes]()

    def burst(self, count: int) -> None:
        for _ in range(count):
            self.source.sendto(self.sent.to_bytes(4, "big"), (HOST6_4, self.port))
            self.sent += 1

    def lost(self) -> int:
        """How many are not there now."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self._arrived.add(self._sink.recv(64, socket.MSG_DONTWAIT)[:4])
        return self.sent - len(self._arrived)


def others(lab: Lab) -> None:
    """What is answered, dropped, cut, made whole, or comes in superframes."""
    with lab.host4.entered(), closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as source:
        source.setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, 1)
        for _ in range(7):
            source.sendto(b"no checksum", (HOST6_EAM4, NOBODY))
        source.setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, 0)
        source.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE)
        for size in (1472, 1472, 1440):  # too long behind the translator, with DF
            source.sendto(bytes(size), (HOST6_EAM4, NOBODY))
        source.sendto(b"no such host", (DEAD6_4, NOBODY))
        for ttl in (1, 2, 3, 4):
            source.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
            with contextlib.suppress(OSError):  # an ICMP error has come back
                source.sendto(b"short of hops", (HOST6_EAM4, NOBODY))
    assert lab.host4.call(ping, HOST6_4, count=2).ok
    lab.host4.call(ping, HOST6_4, count=1, size=3000, timeout=0.2)  # fragments of ICMP are not translated
    with UdpEcho(lab.host6, "::") as echo:
        assert lab.host4.call(exchange, HOST6_4, echo.port, 5000).ok
    with serving(lab.host6, 1 << 20) as server:
        assert lab.host4.call(download, HOST6_4, server).intact


def settled(process: TranslatorProcess) -> Account:
    """Where packets went, once none moves."""
    found: list[Account] = []

    def still() -> bool:
        told = process.summary()
        found.append(account(told))
        waits = found[-1].went["waiting"] + told["totals"]["in_hands"]
        return not waits and len(found) > 1 and found[-1] == found[-2]

    wait_for(still, "nothing to move any more", 20)
    return found[-1]


@contextlib.contextmanager
def standing_still(process: TranslatorProcess) -> Iterator[None]:
    """Its workers, so that queues fill."""
    pids = process.workers()
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("arguments", WAYS, ids=" ".join)
def test_all_that_arrived_is_accounted_for(
    shared_bare_lab: Lab, arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    lab = shared_bare_lab
    if "netfilterqueue" in arguments:
        pytest.importorskip("netfilterqueue")
    with ExitStack() as stack:
        process = stack.enter_context(TranslatorProcess(lab.translator, lab.directory, *arguments))
        datagrams, before = Datagrams(lab, stack), backlog_drops()
        datagrams.burst(BURST)
        others(lab)
        settled(process)
        with standing_still(process):
            datagrams.burst(FULL)
        whole = settled(process)
        assert whole.off == ()
        lost = sum(number for what, number in whole.went.items() if what.startswith(("lost", "dropped at")))
        by_machine = backlog_drops() - before
        assert lost - LATE <= datagrams.lost() <= lost + by_machine, whole
        assert whole.went["in hands or killed hands"] == 0
        assert whole.went["dropped"] >= 7
        offloads = "--offload" in arguments
        assert (whole.went["translated at ingress"] > 0) == offloads
        assert lost or offloads, whole  # what is translated at ingress waits in no queue

        datagrams.burst(BURST)
        for pid in process.workers():
            os.kill(pid, signal.SIGKILL)
        datagrams.burst(BURST)
        workers = process.summary()["workers"]
        wait_for(lambda: process.summary()["workers_restarted"] >= workers, "workers to be started again")
        datagrams.burst(BURST)
        assert process.configuration is not None
        text = process.configuration.read_text()
        process.configuration.write_text(text.replace("eam = [", 'eam = [["203.0.113.3", "2001:db8:2::3"], '))
        os.kill(process.pid, signal.SIGHUP)
        datagrams.burst(BURST)
        process.told("reloaded in")
        datagrams.burst(BURST)
        others(lab)
        end = settled(process)
        assert end.off == ()
        lost = sum(number for what, number in end.went.items() if what.startswith(("lost", "dropped at")))
        hands = end.went["in hands or killed hands"]  # some of them may have left
        assert lost - LATE <= datagrams.lost() <= lost + hands + backlog_drops() - before, end
        told = process.summary()
        assert hands <= told["totals"]["in_killed_hands"] + told["totals"]["in_hands"]
        assert told["reloads"]["done"] == 1
        with lab.translator.entered():
            assert main(["stats", "--check"]) == 0
        line = capsys.readouterr().out
        assert line.startswith(f"siit0 (pid {process.pid}): well: all is there; {end.arrived} packets arrived = ")
