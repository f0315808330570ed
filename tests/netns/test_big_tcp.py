"""BIG TCP: superframes from a neighbour that are longer than an NFQUEUE message, in both families and every model.

host4 --- router4 --- translator --- router6 --- host6

IPv6 comes from router6 itself: a kernel that forwards counts the jumbo option's octets into the segments' size.
"""

import socket
import threading

import pytest
from counted import Counted
from link_sizes import allow
from offloaded import OFFLOAD
from pinned import on_one_processor

from nfxlat.lab.netns import Namespace
from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.stream import SO_RCVBUFFORCE
from nfxlat.lab.topology import HOST4, HOST4_6, HOST6_4, Lab, in_prefix6

pytestmark = pytest.mark.quiet

SIZE = 185_000
OCTETS = 12 << 20
WINDOW = 1 << 20  # so that no queue is ever full of what is under way
NEIGHBOUR = in_prefix6("198.51.100.3")


def out_of_order(namespace: Namespace) -> int:
    """Segments that TCP has put into its out-of-order queue."""
    with namespace.entered(), open("/proc/thread-self/net/netstat") as file:
        names, values = (line.split()[1:] for line in file if line.startswith("TcpExt:"))
    return int(values[names.index("TCPOFOQueue")])


def transfer(receiver: Namespace, sender: Namespace, source: str, target: str) -> int:
    """Octets that arrive of OCTETS which the sender has."""
    to6 = ":" not in target
    with receiver.entered():
        listener = socket.socket(socket.AF_INET6 if to6 else socket.AF_INET)
    with sender.entered():
        tcp = socket.socket(socket.AF_INET if to6 else socket.AF_INET6)
    with listener, tcp:
        tcp.bind((source, 0))
        tcp.settimeout(10)
        listener.settimeout(10)
        listener.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, WINDOW)
        listener.bind(("", 0))
        listener.listen()
        tcp.connect((target, listener.getsockname()[1]))
        taker, _ = listener.accept()

        def send() -> None:
            tcp.sendall(bytes(OCTETS))
            tcp.shutdown(socket.SHUT_WR)

        thread = threading.Thread(target=send)
        thread.start()
        arrived = 0
        with taker:
            taker.settimeout(10)
            while count := len(taker.recv(1 << 20)):
                arrived += count
        thread.join()
    return arrived


@pytest.mark.parametrize("to6", [True, False], ids=["4to6", "6to4"])
@pytest.mark.parametrize(
    "run_arguments",
    [(), ("--model", "route"), ("--model", "device"), ("--inject", "ip"), OFFLOAD],
    ids=" ".join,
    scope="module",
)
def test_what_is_longer_than_a_queue_message_crosses_in_segments_and_in_order(
    shared_lab: Lab, shared_process: TranslatorProcess, to6: bool
) -> None:
    lab = shared_lab
    if to6:
        receiver, sender, source, target = lab.host6, lab.host4, HOST4, HOST6_4
        path = [(lab.host4, "to-r4"), (lab.router4, "to-h4"), (lab.router4, "to-x"), (lab.translator, "to-r4")]
    else:
        receiver, sender, source, target = lab.host4, lab.router6, NEIGHBOUR, HOST4_6
        lab.router6.ip(f"address replace {NEIGHBOUR}/128 dev lo")
        path = [(lab.router6, "to-x"), (lab.translator, "to-r6")]
    if not all(allow(*place, SIZE) for place in path):
        pytest.skip("the kernel has no IPv4 BIG TCP")
    with on_one_processor(shared_process.workers()):
        transfer(receiver, sender, source, target)  # the path's MTU is known then
        before, counted = out_of_order(receiver), Counted(shared_process)
        assert transfer(receiver, sender, source, target) == OCTETS
    assert "queue_truncated" not in counted.reasons()
    assert out_of_order(receiver) - before == 0
