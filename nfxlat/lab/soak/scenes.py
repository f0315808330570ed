"""What is done to a translator in the lab, under load. Each scene gives its row."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from socket import AF_INET6, SOCK_DGRAM, socket

from nfxlat.lab.netns import wait_for
from nfxlat.lab.probe import ping
from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.soak.accounts import Row, account, lost_of, size, told, waiting
from nfxlat.lab.stream import Stream
from nfxlat.lab.topology import DOMAIN, HOST4, HOST6_4, HOST6_EAM4, Lab, in_prefix6
from nfxlat.lab.transfer import ServerProcess, download

RATE = 2000  # datagrams a second
GAP = 1.5  # seconds between kills: a worker that lived longer than one is started again at once
PORT = 9
GROWN = 16 << 20  # octets of memory of the supervisor that are no leak yet
FLOOD = """
import socket, sys, time
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.connect((sys.argv[1], int(sys.argv[2])))
ends = time.monotonic() + float(sys.argv[3])
data = bytes(64)
while time.monotonic() < ends:
    for _ in range(64):
        try:
            udp.send(data)
        except OSError:
            pass
"""
COUNT = f"""
table ip soak {{
    counter arrived {{ }}
    chain c {{
        type filter hook prerouting priority -500;
        ip daddr {HOST6_EAM4} udp dport {PORT} counter name arrived;
    }}
}}
"""


def kill_worker(process: TranslatorProcess) -> None:
    """SIGKILL for the oldest of its workers; returns when another is there."""
    number = told(process)["workers_restarted"]
    os.kill(process.workers()[0], signal.SIGKILL)
    wait_for(lambda: told(process)["workers_restarted"] > number, "a worker to be started again", 30)


def killed_workers(lab: Lab, process: TranslatorProcess, kills: int = 6) -> Row:
    """kill -9, under an even load."""
    before = account(process)
    with Stream(lab, (HOST6_EAM4,), RATE) as stream:
        for _ in range(kills):
            time.sleep(GAP)
            kill_worker(process)
        time.sleep(GAP)
    change, (lost, sent) = account(process) - before, lost_of(stream)
    figures = f"{sent:,} sent, {lost} lost ({change})"
    return Row(
        f"{kills} workers killed at {RATE:,}/s",
        figures,
        not change.unexplained(lost, sent) and change.restarts >= kills,
    )


def configuration(directory: Path, step: int) -> None:
    """Another one at each step, which keeps what is under load."""
    text = DOMAIN + 'eam-file = "more.eam"\n'
    rows = (f"10.{step % 250}.{n >> 8}.{n & 255} 2001:db8:a::{n:x}\n" for n in range(500))
    for name, content in (("more.eam", "".join(rows)), ("soak.toml", text)):
        partial = directory / f".{name}"
        partial.write_text(content)
        partial.rename(directory / name)


def reload(process: TranslatorProcess, directory: Path, step: int, *, kill: float | None = None) -> None:
    """SIGHUP, and its answer; with a worker's death so many seconds behind."""
    configuration(directory, step)
    reloads = told(process)["reloads"]
    os.kill(process.pid, signal.SIGHUP)
    if kill is not None:
        time.sleep(kill)
        with contextlib.suppress(ProcessLookupError, IndexError):  # before, while or after it is succeeded
            os.kill(process.workers()[0], signal.SIGKILL)

    def answered() -> bool:
        now = told(process)["reloads"]
        return bool(now["done"] + now["refused"] > reloads["done"] + reloads["refused"])

    wait_for(answered, "an answer to SIGHUP", 120)


def reloads_with_kills(lab: Lab, process: TranslatorProcess, directory: Path, times: int = 30) -> Row:
    """A worker dies somewhere in each reload."""
    before, was, chance = account(process), told(process)["reloads"], random.Random(1)
    with Stream(lab, (HOST6_EAM4,), RATE) as stream:
        for step in range(times):
            reload(process, directory, step + 1, kill=chance.uniform(0, 0.2))
        wait_for(lambda: not told(process)["workers_missing"], "the last one that was killed to be started again")
    change, (lost, sent), now = account(process) - before, lost_of(stream), told(process)["reloads"]
    done, refused = now["done"] - was["done"], now["refused"] - was["refused"]
    figures = f"{sent:,} sent, {lost} lost ({change}); {done} done, {refused} refused"
    ok = not change.unexplained(lost, sent) and done + refused == times
    return Row(f"{times} reloads, each with a kill", figures, ok)


def overload(lab: Lab, process: TranslatorProcess, seconds: float = 10.0, senders: int = 2) -> Row:
    """More than fits: each packet that arrived was taken, or is among the kernel's losses."""
    with lab.host6.entered():
        sink = socket(AF_INET6, SOCK_DGRAM)
    with sink:
        sink.bind(("::", PORT))
        lab.translator.run(["nft", COUNT])
        try:
            before = account(process)
            command = [sys.executable, "-c", FLOOD, HOST6_EAM4, str(PORT), str(seconds)]
            floods = [lab.host4.popen(command) for _ in range(senders)]
            for flood in floods:
                flood.wait()
                lab.host4.processes.remove(flood)
            wait_for(lambda: not waiting(process), "the queues to be empty", 60)
            change = account(process) - before
            words = lab.translator.run(["nft", "list", "counter", "ip", "soak", "arrived"]).stdout.split()
            arrived = int(words[words.index("packets") + 1])
        finally:
            lab.translator.run(["nft", "delete", "table", "ip", "soak"])
    difference = arrived - change.taken - change.full - change.socket
    parts = f"taken {change.taken:,} + full {change.full:,} + socket {change.socket:,}"
    figures = (
        f"{arrived:,} arrived = {parts}, difference {difference}; {arrived / max(1, change.taken):.1f} of what fits"
    )
    overloaded = arrived > 0 and change.full + change.socket > 0
    return Row(f"{seconds:g} s of overload", figures, overloaded and not difference and not change.restarts)


def mixed(lab: Lab, process: TranslatorProcess, directory: Path, seconds: float, pace: float = 10.0) -> Row:
    """Datagrams, downloads and pings, with a reload every `pace` seconds and kills; memory and descriptors stay as they
    are. A ping is one packet, which may be in the hands of whom is killed."""
    ends, step, kills, reloads = time.monotonic() + seconds, 100, 0, 0
    lost = sent = 0
    sizes, downloads, pings = [], [0, 0], [0, 0]
    before = account(process)
    server = ServerProcess(lab.host6, 32 << 20)
    stopped = threading.Event()

    def others() -> None:
        ready = server.ready()
        while not stopped.is_set():
            intact = lab.host4.call(download, HOST6_4, ready).intact
            answered = lab.host6.call(ping, in_prefix6(HOST4), count=1, timeout=5.0).ok
            for counts, good in ((downloads, intact), (pings, answered)):
                counts[0] += 1
                counts[1] += not good
            stopped.wait(0.5)

    beside = ThreadPoolExecutor(1)
    try:
        alongside = beside.submit(others)
        while time.monotonic() < ends:
            slice_ends = min(ends, time.monotonic() + 60)
            with Stream(lab, (HOST6_4, HOST6_EAM4), RATE // 2) as stream:
                while time.monotonic() < slice_ends:
                    step += 1
                    reload(process, directory, step)
                    reloads += 1
                    if step % 3 == 0:
                        kill_worker(process)
                        kills += 1
                    sizes.append(size(process))
                    time.sleep(max(0.0, min(pace, slice_ends - time.monotonic())))
            gone, all_sent = lost_of(stream)
            lost, sent = lost + gone, sent + all_sent
    finally:
        stopped.set()
        beside.shutdown()
        server.close()
    change, broken = account(process) - before, alongside.exception()
    quarter = max(1, len(sizes) // 4)
    early, late = sizes[:quarter], sizes[-quarter:]  # the least of each: a sample may meet a reload
    grown = min(one.memory for one in late) - min(one.memory for one in early)
    descriptors = min(one.descriptors for one in late) - min(one.descriptors for one in early)
    figures = (
        f"{reloads} reloads, {kills} kills: {lost} of {sent:,} lost ({change}); {downloads[1]} of {downloads[0]} "
        f"downloads, {pings[1]} of {pings[0]} pings failed; memory {late[-1].memory >> 20} MB "
        f"({grown / (1 << 20):+.1f}), descriptors {late[-1].descriptors} ({descriptors:+d})"
    ) + (f"; {broken!r}" if broken else "")
    ok = not change.unexplained(lost, sent) and grown < GROWN and not descriptors and broken is None
    ok = ok and downloads[0] > downloads[1] == 0 and pings[0] > pings[1] <= kills
    return Row(f"{seconds / 60:.1f} min of mixed load", figures, ok)
