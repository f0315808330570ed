"""`--offload` under load: order while a flow is learnt, what makes it forget, a change of rules, a flood beside it."""

import dataclasses
import itertools
import os
import socket
import statistics
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import ExitStack, closing, contextmanager
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from kernel_table import opened
from offloaded import OFFLOAD, Flow, Node, udp

from nfxlat.bench.agent import Agent
from nfxlat.bench.frames import Stream as Frames
from nfxlat.lab.netns import Namespace, wait_for
from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.stream import Stream
from nfxlat.lab.topology import HOST4, HOST6, HOST6_4, HOST6_EAM4, PLAIN_HOST6, ROUTER4, Lab, in_prefix6
from nfxlat.lab.transfer import CHUNK, limit_calls, serving
from nfxlat.offload import table

GIB = 1 << 30
OWN4 = "198.51.100.60"  # an IPv6 address of the translator, as IPv4 sees it: what the program never takes
FLOOD = 2e6  # datagrams a second that no sender reaches

pytestmark = pytest.mark.parametrize("run_arguments", [OFFLOAD], scope="module")


@pytest.fixture
def lab(shared_lab: Lab) -> Lab:
    return shared_lab


@pytest.fixture
def node(shared_process: TranslatorProcess) -> Node:
    return Node(shared_process)


@pytest.fixture
def flow(lab: Lab) -> Iterator[Flow]:
    with closing(Flow(lab)) as flow:
        yield flow


@contextmanager
def address(lab: Lab, node: Node, text: str = "10.9.9.9/32") -> Iterator[None]:
    """An address of the translator more: all is forgotten."""
    with heard_of(node):
        lab.translator.ip(f"address add {text} dev lo")
    try:
        yield
    finally:
        with heard_of(node):
            lab.translator.ip(f"address del {text} dev lo")


@contextmanager
def heard_of(node: Node) -> Iterator[None]:
    """A change of addresses: what comes later is not forgotten by it."""
    before = node.forgotten("addresses")
    yield
    wait_for(lambda: node.forgotten("addresses") > before, "a new generation")


@contextmanager
def plain_ipv4(lab: Lab, node: Node) -> Iterator[None]:
    """Plain forwarding beside it: an address of the translator more."""
    with ExitStack() as stack:
        with heard_of(node):
            stack.enter_context(lab.plain_ipv4())
        yield
        with heard_of(node):
            stack.close()


def counter(namespace: Namespace, file: str, name: str) -> int:
    """Of /proc/net/snmp or netstat: a line of names, then one of numbers."""
    lines = namespace.call(Path(f"/proc/thread-self/net/{file}").read_text).splitlines()
    return next(
        int(number)
        for names, numbers in zip(lines[::2], lines[1::2], strict=True)
        for key, number in zip(names.split(), numbers.split(), strict=True)
        if key == name and number.isdecimal()
    )


def out_of_order(lab: Lab) -> tuple[int, int]:
    """Segments that host4 has sent again, and that host6 got ahead of others."""
    return counter(lab.host4, "snmp", "RetransSegs"), counter(lab.host6, "netstat", "TCPOFOQueue")


def transfer(lab: Lab, target: str, port: int) -> tuple[int, int]:
    """1 GiB to the sink; `out_of_order` of it."""
    before, chunk, left = out_of_order(lab), bytes(CHUNK), GIB
    with lab.host4.entered():
        tcp = socket.create_connection((target, port))
    with tcp:
        limit_calls(tcp, 20.0)
        while left > 0:
            left -= tcp.send(chunk)
        tcp.shutdown(socket.SHUT_WR)
        assert b'"octets"' in tcp.recv(CHUNK)
    after = out_of_order(lab)
    return after[0] - before[0], after[1] - before[1]


@pytest.mark.quiet
def test_tcp_is_learnt_without_a_retransmission_that_plain_forwarding_does_not_have(lab: Lab, node: Node) -> None:
    """On a busy machine plain forwarding has some as well: a sender that has to wait probes."""
    with serving(lab.host6, 1) as server:

        def as_good() -> bool:
            with address(lab, node):
                before = node.counted("octets")
                ours = transfer(lab, HOST6_4, server.sink)
                learnt = node.counted("octets") - before > GIB // 2  # not where no queue is ever empty
            return learnt and ours <= transfer(lab, PLAIN_HOST6, server.sink)

        with plain_ipv4(lab, node):
            wait_for(as_good, "a transfer as good as plain forwarding's", 60.0)


@pytest.mark.parametrize("what", ["used", "judged"])
def test_a_pair_that_is_too_old_takes_the_queue_and_is_learnt_again(
    lab: Lab, flow: Flow, node: Node, what: str
) -> None:
    node.learn(flow)
    index = lab.translator.call(socket.if_nametoindex, "to-r4")
    key = table.key(index, IPv4Address(HOST4).packed + IPv4Address(HOST6_4).packed)
    with opened(node.process.pid) as known:
        pair = known.get(key)
        assert pair is not None
        known.put(key, pair._replace(**{what: time.monotonic_ns() - 61 * 10**9}))  # type: ignore[arg-type]
    stale, packets = node.counted("stale"), node.process.summary()["totals"]["packets"]
    flow.exchange()
    assert node.counted("stale") - stale == 1
    assert node.process.summary()["totals"]["packets"] - packets == 1  # the one back is known still
    node.learn(flow)


def test_after_a_change_of_rules_is_reported_no_packet_crosses_by_the_former_ones(
    lab: Lab, flow: Flow, node: Node
) -> None:
    node.learn(flow)
    sent, stopped = itertools.count(), threading.Event()
    latest = -1

    def send() -> None:
        nonlocal latest
        for number in sent:
            flow.here.send(number.to_bytes(8, "big"))
            latest = number
            if stopped.is_set():
                return

    sender = threading.Thread(target=send)
    before = node.forgotten("rules")
    sender.start()
    try:
        wait_for(lambda: latest > 1000, "a load")
        rule = f"insert rule ip nfxlat_siit0 prerouting ip daddr {HOST6_4} drop"
        lab.translator.run(["nft", *rule.split()])
        wait_for(lambda: node.forgotten("rules") > before, "a new generation")
        reported = latest + 1  # one may be on its way
        wait_for(lambda: latest > reported + 1000, "more load")
    finally:
        stopped.set()
        sender.join()
        lab.translator.run(["nft", "delete", "rule", "ip", "nfxlat_siit0", "prerouting", "handle", _handle(lab)])
    with closing(Flow(lab, target=HOST6_EAM4, receiver=HOST6)) as other:
        other.exchange()  # behind all of it
    arrived = [int.from_bytes(data, "big") for data in flow.arrived()]
    assert len(arrived) > 0
    assert max(arrived) <= reported


def _handle(lab: Lab) -> str:
    """Of the rule that was inserted."""
    rules = lab.translator.run(["nft", "-a", "list", "chain", "ip", "nfxlat_siit0", "prerouting"]).stdout
    return next(line.rpartition(" ")[2] for line in rules.splitlines() if f"daddr {HOST6_4} drop" in line)


@contextmanager
def flooding(lab: Lab) -> Iterator[Agent]:
    """Who floods: in the last router before the translator."""
    agent = Agent(lab.router4)
    try:
        agent.start()
        yield agent
    finally:
        agent.close()


@contextmanager
def last(pids: Collection[int], flooder: int) -> Iterator[None]:
    """These processes get what who floods leaves of one processor: on one of their own, all of a flood may fit."""
    former = {pid: os.getpriority(os.PRIO_PROCESS, pid) for pid in pids}
    processors = os.sched_getaffinity(0)
    try:
        for pid in (*former, flooder):
            os.sched_setaffinity(pid, {max(processors)})
        for pid in former:
            os.setpriority(os.PRIO_PROCESS, pid, 19)
        yield
    finally:
        for pid, priority in former.items():
            os.setpriority(os.PRIO_PROCESS, pid, priority)
        for pid in (*former, flooder):
            os.sched_setaffinity(pid, processors)


@pytest.mark.quiet
def test_a_flow_keeps_its_rate_beside_a_flood_of_twice_what_fits(lab: Lab, node: Node) -> None:
    """0.8 of its datagrams at least, in the median of three; the flood is of packets that the queue has to take."""
    macs = lab.translator.mac("to-r4").hex(":"), lab.router4.mac("to-x").hex(":")
    frames = dataclasses.asdict(Frames("to-x", macs, ROUTER4[1], OWN4, 9, 64, 1, 0))
    kept: list[float] = []
    own = f"{in_prefix6(OWN4)}/128"
    with address(lab, node, own), udp(lab.translator, socket.AF_INET6, "::", 9), flooding(lab) as agent:

        def window(seconds: float) -> None:
            with Stream(lab, (HOST6_4,), 1000) as stream:
                wait_for(lambda: stream.sent > 20, "the flow")
                if not kept:  # it has to be learnt first
                    before = node.counted("translated")
                    wait_for(lambda: node.counted("translated") > before, "a datagram that crosses in the kernel")
                start, before = stream.sent, node.process.summary()["totals"]["packets"]
                (flooder,) = lab.router4.processes
                with last(node.process.workers(), flooder.pid):
                    flood = agent.ask("udp_send", 30.0, stream=frames, rate=FLOOD, seconds=seconds)
                end = stream.sent
                taken = node.process.summary()["totals"]["packets"] - before
            if flood["sent"] >= 2 * taken:
                lost = sum(start <= number < end for number in stream.lost[0])
                kept.append(1 - lost / (end - start))

        def enough() -> bool:
            window(1.0)
            return len(kept) >= 3

        wait_for(enough, "three floods of twice what fits", 60.0)
    assert statistics.median(kept) >= 0.8
