"""What a source takes out of its queue in one go, which a worker that is killed may lose: never more than it tells."""

import os
import socket

import pytest

from nfxlat.datapath.callback import CallbackQueue
from nfxlat.datapath.nfqueue import NetlinkQueue
from nfxlat.datapath.source import SLOTS, Source
from nfxlat.lab.netns import Namespace
from nfxlat.nft.kernel import compat, load

NUMBER, WAITING, PORT = 7, 3 * SLOTS + 5, 4000


def queued(namespace: Namespace) -> None:
    """So many datagrams wait in the queue."""
    load.run("add table ip t; add chain ip t out { type filter hook output priority 0; }; add chain ip t q")
    load.run("add rule ip t q drop; add rule ip t out ip protocol udp goto q")
    if load.queue_expression_available():
        load.run(f"insert rule ip t q queue num {NUMBER}")
    else:
        compat.insert_queue_rule("ip", "t", "q", NUMBER, "t")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for number in range(WAITING):
            sender.sendto(number.to_bytes(2, "big"), ("127.0.0.1", PORT))


@pytest.mark.parametrize("kind", ["netlink", "netfilterqueue"])
def test_a_killed_worker_loses_one_batch_and_leaves_the_rest(kind: str) -> None:
    if kind == "netfilterqueue":
        pytest.importorskip("netfilterqueue")
    with Namespace("source") as namespace, namespace.entered():
        source: Source = CallbackQueue(NUMBER) if kind == "netfilterqueue" else NetlinkQueue(NUMBER, superframes=False)
        try:
            queued(namespace)
            if not (killed := os.fork()):
                taken = 0
                try:
                    taken = len(source.receive())
                finally:
                    os._exit(taken)  # without a verdict
            assert os.waitstatus_to_exitcode(os.waitpid(killed, 0)[1]) == SLOTS
            left = []
            while records := source.receive():
                assert len(records) <= SLOTS
                left += [int.from_bytes(source.buffer[start + 28 : start + 30], "big") for start, *_ in records]
                source.conclude([])
        finally:
            source.close()
    assert left == list(range(SLOTS, WAITING))
