"""Several workers: both work, a flow keeps its order, fragments stay together, and what one learns the others know."""

import socket
import time
from pathlib import Path

import pytest
from counted import Counted
from pinned import on_one_processor

from nfxlat.bench.procs import cpu_seconds
from nfxlat.lab.datagram import UdpEcho, exchange, path_mtu
from nfxlat.lab.netns import Namespace, wait_for
from nfxlat.lab.probe import ping
from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.stream import SO_RCVBUFFORCE
from nfxlat.lab.topology import HOST4_6, HOST4_NARROW, HOST4_NARROW_6, HOST6, HOST6_4, HOST6_EAM4, Lab
from nfxlat.lab.transfer import download, serving

pytestmark = pytest.mark.quiet

TWO = pytest.mark.parametrize(
    "run_arguments", [("--workers", "2"), ("--workers", "2", "--model", "device")], ids=" ".join, scope="module"
)
COUNT = 400
PACE = 0.001  # seconds, so that a worker that is to sleep can, on a busy machine too


def sleeps_of_worker(process: TranslatorProcess) -> int:
    """How often the only worker has gone to sleep."""
    (pid,) = process.workers()
    (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("voluntary")]
    return int(line.split()[1])


def received_in_order(
    receiver: Namespace, sender: Namespace, target: str, flows: int, count: int = COUNT, size: int = 6
) -> list[list[int]]:
    """`count` numbered datagrams of `size` octets from each of `flows` source ports, as they arrive, flow by flow."""
    with receiver.entered():
        sink = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    with sink:
        sink.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
        sink.bind(("::", 0))
        sink.settimeout(5)
        port = sink.getsockname()[1]
        with sender.entered():
            sources = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(flows)]
        for number in range(count):
            for index, source in enumerate(sources):
                data = index.to_bytes(2, "big") + number.to_bytes(4, "big")
                source.sendto(data.ljust(size, b"."), (target, port))
        arrived: list[list[int]] = [[] for _ in sources]
        for _ in range(count * flows):
            data = sink.recv(1 << 16)
            assert len(data) == size
            arrived[int.from_bytes(data[:2], "big")].append(int.from_bytes(data[2:6], "big"))
        for source in sources:
            source.close()
    return arrived


@TWO
def test_flows_keep_their_order_and_both_workers_work(shared_lab: Lab, shared_process: TranslatorProcess) -> None:
    lab, process, counted = shared_lab, shared_process, Counted(shared_process)
    before = [cpu_seconds([pid]) for pid in process.workers()]
    with on_one_processor(process.workers()):
        assert received_in_order(lab.host6, lab.host4, HOST6_4, 16) == [list(range(COUNT))] * 16
    used = [cpu_seconds([pid]) - earlier for pid, earlier in zip(process.workers(), before, strict=True)]
    assert all(seconds > COUNT * 1e-6 for seconds in used), used  # one flow takes several times that
    assert counted.reasons()["translated"] == {"4to6": 16 * COUNT}


@TWO
def test_flows_of_fragmented_datagrams_keep_their_order(shared_lab: Lab, shared_process: TranslatorProcess) -> None:
    with on_one_processor(shared_process.workers()):
        assert received_in_order(shared_lab.host6, shared_lab.host4, HOST6_4, 8, 40, 4000) == [list(range(40))] * 8


@TWO
def test_everything_else_crosses_as_with_one(shared_lab: Lab, shared_process: TranslatorProcess) -> None:
    lab, process = shared_lab, shared_process
    assert lab.host4.call(ping, HOST6_4).ok
    assert lab.host6.call(ping, HOST4_6, HOST6).ok
    with UdpEcho(lab.host6, "::") as echo:
        for size in (10, 1400, 5000):
            assert lab.host4.call(exchange, HOST6_4, echo.port, size).ok
    with serving(lab.host6, 8 << 20) as ready:
        for _ in range(4):
            assert lab.host4.call(download, HOST6_4, ready).intact
    summary = process.summary()
    assert summary["workers_restarted"] == 0
    assert set(summary["queues"]) == ({"siit0"} if summary["model"] == "device" else {"7", "8", "9", "10"})


@TWO
def test_a_path_mtu_that_one_worker_learns_is_held_by_the_other(lab: Lab) -> None:
    """Errors go to the first worker, flows to either."""
    for namespace in (lab.host4, lab.router4):
        namespace.ip("link set narrow mtu 576")
    assert lab.host6.call(path_mtu, HOST4_NARROW_6, 9, HOST6).mtu == 1280
    rule = f"ip daddr {HOST4_NARROW} ip length > 576 drop"
    lab.router4.run(["nft", f"table ip strict {{ chain f {{ type filter hook forward priority 0; {rule}; }}; }}"])
    with UdpEcho(lab.host4, HOST4_NARROW) as echo:

        def crosses() -> bool:
            return lab.host6.call(exchange, HOST4_NARROW_6, echo.port, 1200, HOST6, timeout=0.5).ok

        # as many source ports, so to either worker; what one has learnt takes a moment to the other
        wait_for(lambda: all(crosses() for _ in range(8)), "both workers to know the path", 60)


@pytest.mark.parametrize(
    ("run_arguments", "awake"),
    [
        (("--busy-poll", "10000"), True),
        (("--busy-poll", "10000", "--model", "device"), True),
        (("--busy-poll", "0"), False),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_conversation_keeps_the_worker_awake(lab: Lab, process: TranslatorProcess, awake: bool) -> None:
    with lab.host4.entered():
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with client, UdpEcho(lab.host6, HOST6) as echo:
        client.settimeout(5)
        client.connect((HOST6_EAM4, echo.port))
        deadline = time.monotonic() + 30  # somebody else may want the processor: then it has to sleep
        while True:
            before = sleeps_of_worker(process)
            for _ in range(COUNT):
                client.send(b"?")
                assert client.recv(10) == b"?"
                if not awake:
                    time.sleep(PACE)
            often = sleeps_of_worker(process) - before > COUNT  # half of the packets
            if often != awake:
                break
            assert time.monotonic() < deadline, "it slept" if awake else "it did not sleep"
