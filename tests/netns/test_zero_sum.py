"""What arrived is what left, what each reason took, and what was lost: in every model and injector, over a full queue,
a killed worker and a reload.

host4 --- router4 --- translator --- router6 --- host6
numbered datagrams, all kinds of others, a TCP transfer; counted on both sides; of the host role, from the translator
"""

import contextlib
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from nfxlat.cli import main
from nfxlat.lab.datagram import UdpEcho, exchange
from nfxlat.lab.netns import Namespace, wait_for
from nfxlat.lab.probe import ping
from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.stream import SO_RCVBUFFORCE, backlog_drops
from nfxlat.lab.topology import DEAD6_4, HOST6_4, HOST6_EAM4, HOST6_PREFIX, PREFIX6, TRANSLATOR, Lab
from nfxlat.lab.transfer import download, serving
from nfxlat.service.accounts import Account, account

pytestmark = pytest.mark.quiet

SO_NO_CHECK, SO_SNDBUFFORCE = 11, 32
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


HOST_WAYS = [(), ("--inject", "device"), ("--no-fast-path", "--workers", "2")]
CLAT6 = "2001:db8:1::64"
CLAT = f"""\
[domain.siit0]
prefix6 = "{PREFIX6}"
eam = [["192.0.0.1", "{CLAT6}"]]
"""


class Datagrams:
    """Numbered, from `sender` to host6, where they wait until they are counted."""

    def __init__(self, lab: Lab, sender: Namespace, stack: ExitStack) -> None:
        with lab.host6.entered():
            self._sink = stack.enter_context(closing(socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)))
        self._sink.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
        self._sink.bind(("::", 0))
        self.port = self._sink.getsockname()[1]
        with sender.entered():
            self.source = stack.enter_context(closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)))
        self.source.setsockopt(
            socket.SOL_SOCKET, SO_SNDBUFFORCE, 64 << 20
        )  # what waits in a queue here is the socket's
        self.sent, self._arrived = 0, set[bytes]()

    def burst(self, count: int) -> None:
        for _ in range(count):
            with contextlib.suppress(OSError):  # own packets: the queue is full
                self.source.sendto(self.sent.to_bytes(4, "big"), (HOST6_4, self.port))
            self.sent += 1

    def lost(self) -> int:
        """How many are not there now."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self._arrived.add(self._sink.recv(64, socket.MSG_DONTWAIT)[:4])
        return self.sent - len(self._arrived)


def others(lab: Lab, sender: Namespace, target: str) -> None:
    """What is answered, dropped, cut, made whole, or comes in superframes. `target`: host6, to `sender`."""
    with sender.entered(), closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as source:
        source.setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, 1)
        for _ in range(7):
            source.sendto(b"no checksum", (target, NOBODY))
        source.setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, 0)
        source.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE)
        for size in (1472, 1472, 1440):  # too long behind the translator, with DF
            with contextlib.suppress(OSError):  # it knows, or an ICMP error has come back
                source.sendto(bytes(size), (target, NOBODY))
        with contextlib.suppress(OSError):
            source.sendto(b"no such host", (DEAD6_4, NOBODY))
        for ttl in (1, 2, 3, 4):
            source.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
            with contextlib.suppress(OSError):  # an ICMP error has come back
                source.sendto(b"short of hops", (target, NOBODY))
    assert sender.call(ping, HOST6_4, count=2).ok
    sender.call(ping, HOST6_4, count=1, size=3000, timeout=0.2)  # fragments of ICMP are not translated
    with UdpEcho(lab.host6, HOST6_PREFIX) as echo:
        assert sender.call(exchange, HOST6_4, echo.port, 5000).ok
    with serving(lab.host6, 1 << 20) as server:
        assert sender.call(download, HOST6_4, server).intact


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
    with TranslatorProcess(lab.translator, lab.directory, *arguments) as process:
        assert process.configuration is not None
        judge(lab, process, process.configuration, ("203.0.113.3", "2001:db8:2::3"), lab.host4, HOST6_EAM4)
        told_as_well(lab, process, capsys)


@pytest.mark.parametrize("arguments", HOST_WAYS, ids=" ".join)
def test_all_that_a_host_sends_and_gets_is_accounted_for(
    shared_bare_lab: Lab, arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    lab, file = shared_bare_lab, shared_bare_lab.directory / "host.toml"
    file.write_text(CLAT)
    with ExitStack() as stack:
        lab.router6.ip(f"route add {CLAT6}/128 via {TRANSLATOR[1]}")
        stack.callback(lab.router6.ip, f"route del {CLAT6}/128")
        if "device" in arguments:  # what it injects is forwarded
            stack.callback(lab.translator.sysctl, "net.ipv6.conf.all.forwarding", 0)
            lab.translator.sysctl("net.ipv6.conf.all.forwarding", 1)
        run = TranslatorProcess(lab.translator, lab.directory, "--config", str(file), "--role", "host", *arguments)
        process = stack.enter_context(run)
        judge(lab, process, file, ("192.0.0.9", "2001:db8:1::65"), lab.translator, HOST6_4)
        assert process.summary()["unexpected"] == 0  # originals die in the device, each counted
        told_as_well(lab, process, capsys)


def told_as_well(lab: Lab, process: TranslatorProcess, capsys: pytest.CaptureFixture[str]) -> None:
    """By `nfxlat stats --check`."""
    arrived = settled(process).arrived
    with lab.translator.entered():
        assert main(["stats", "--check"]) == 0
    line = capsys.readouterr().out
    assert line.startswith(f"siit0 (pid {process.pid}): well: all is there; {arrived} packets arrived = ")


def judge(
    lab: Lab, process: TranslatorProcess, file: Path, eam: tuple[str, str], sender: Namespace, target: str
) -> None:
    """What `sender` sends to host6 and gets, over a full queue, killed workers, and a reload of `file` with one EAM
    more."""
    with ExitStack() as stack:
        datagrams, before = Datagrams(lab, sender, stack), backlog_drops()
        datagrams.burst(BURST)
        others(lab, sender, target)
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
        offloads = "--offload" in process.command
        assert (whole.went["translated at ingress"] > 0) == offloads
        assert lost or offloads, whole  # what is translated at ingress waits in no queue

        datagrams.burst(BURST)
        for pid in process.workers():
            os.kill(pid, signal.SIGKILL)
        datagrams.burst(BURST)
        workers = process.summary()["workers"]
        wait_for(lambda: process.summary()["workers_restarted"] >= workers, "workers to be started again")
        datagrams.burst(BURST)
        file.write_text(file.read_text().replace('"]]', f'"], ["{eam[0]}", "{eam[1]}"]]'))
        os.kill(process.pid, signal.SIGHUP)
        datagrams.burst(BURST)
        process.told("reloaded in")
        datagrams.burst(BURST)
        others(lab, sender, target)
        end = settled(process)
        assert end.off == ()
        lost = sum(number for what, number in end.went.items() if what.startswith(("lost", "dropped at")))
        hands = end.went["in hands or killed hands"]  # some of them may have left
        assert lost - LATE <= datagrams.lost() <= lost + hands + backlog_drops() - before, end
        told = process.summary()
        assert hands <= told["totals"]["in_killed_hands"] + told["totals"]["in_hands"]
        assert told["reloads"]["done"] == 1
