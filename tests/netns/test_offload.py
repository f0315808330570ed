"""`--offload`: known pairs are translated at ingress, in order; what the program does not take, and what makes it
forget. What it does to a packet: property/test_offload.py; when: unit/test_offload_pairs.py.
"""

import errno
import itertools
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from kernel_table import opened
from offloaded import OFFLOAD, Flow, Node, udp, waiting

from nfxlat.lab.netns import Namespace, wait_for
from nfxlat.lab.probe import ping
from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.topology import DOMAIN, HOST4, HOST4_6, HOST6, HOST6_4, HOST6_EAM4, HOST6_PREFIX, PLAIN_HOST6, Lab
from nfxlat.lab.transfer import download, serving
from nfxlat.offload import table

IP_MTU_DISCOVER, IP_PMTUDISC_DONT, IP_RECVERR = 10, 0, 11


@pytest.fixture
def flow(bare_lab: Lab) -> Iterator[Flow]:
    with closing(Flow(bare_lab)) as flow:
        yield flow


@pytest.fixture
def other(bare_lab: Lab) -> Iterator[Flow]:
    """One of another pair: what is exchanged goes through the queue, behind what was sent before."""
    with closing(Flow(bare_lab, target=HOST6_EAM4, receiver=HOST6)) as other:
        yield other


@pytest.fixture
def node(process: TranslatorProcess) -> Node:
    return Node(process)


@pytest.mark.parametrize("run_arguments", [OFFLOAD])
def test_a_flow_leaves_the_queue_for_the_kernel(flow: Flow, node: Node) -> None:
    node.learn(flow)
    before = node.process.summary()
    for _ in range(100):
        flow.exchange()
    after = node.process.summary()
    assert after["totals"]["packets"] == before["totals"]["packets"]
    for direction in ("4to6", "6to4"):
        assert after["offload"][direction]["translated"] - before["offload"][direction]["translated"] == 100
    assert after["offload"]["pairs"] == 2
    assert after["totals"]["taught"] == 2


@pytest.mark.parametrize("run_arguments", [OFFLOAD])
def test_requests_and_answers_without_a_pause_leave_it_too(flow: Flow, node: Node) -> None:
    """On a machine with nothing else to do they come 60 us after each other, and a time alone would never tell."""

    def left() -> bool:
        for _ in range(2000):
            flow.exchange()
        return all(node.counted("translated", direction) > 500 for direction in ("4to6", "6to4"))

    wait_for(left, "most to cross in the kernel, both ways")  # on a busy machine it takes longer until both are known


def steer(namespace: Namespace, processor: int) -> None:
    """RPS: what comes in at siit0 is handled by that one."""
    steps = f"mount -t sysfs sysfs /sys; echo {1 << processor:x} > /sys/class/net/siit0/queues/rx-0/rps_cpus"
    namespace.run(["unshare", "--mount", "sh", "-ec", steps])


@pytest.mark.parametrize(
    ("run_arguments", "steered"), [(OFFLOAD, False), (OFFLOAD, True), ((*OFFLOAD, "--workers", "2"), False)]
)
def test_nothing_overtakes_while_a_flow_is_learnt(bare_lab: Lab, flow: Flow, node: Node, steered: bool) -> None:
    """100,000 datagrams, as fast as they go; changes of the rules make all be learnt anew, five times.

    From one processor: those of a sender that is moved overtake each other without us.
    """
    here, there = flow.here, flow.there
    there.setblocking(False)
    sent, last, arrived = 0, -1, 0

    def on_the_way() -> int:
        """How many have not come; each later than the one before."""
        nonlocal last, arrived
        try:
            while True:
                found = int.from_bytes(there.recv(64), "big")
                assert found > last
                last, arrived = found, arrived + 1
        except BlockingIOError:
            return sent - arrived

    processors = os.sched_getaffinity(0)
    limit = 1000  # no more than a queue holds
    if steered:
        steer(bare_lab.translator, max(processors))
        limit = 500  # nor than waits for the other processor (net.core.netdev_max_backlog)
    os.sched_setaffinity(0, {min(processors)})
    try:
        for burst in range(2000):
            if burst % 400 == 200:
                bare_lab.translator.run(["nft", "add", "table", "ip", f"others{burst}"])
            for _ in range(50):
                here.send(sent.to_bytes(8, "big"))
                sent += 1
            most = 0 if burst % 100 == 50 else limit  # a pause
            wait_for(lambda most=most: on_the_way() <= most, "datagrams", 20)  # type: ignore[misc]
    finally:
        os.sched_setaffinity(0, processors)
    wait_for(lambda: on_the_way() == 0, f"{sent} datagrams", 20)

    def crosses() -> bool:
        """A busy machine may have left no pause in which it could be learnt."""
        nonlocal sent
        here.send(sent.to_bytes(8, "big"))
        sent += 1
        wait_for(lambda: on_the_way() == 0, "one more", 20)
        return node.counted("translated") > 0

    wait_for(crosses, "a datagram that crosses in the kernel", 20)


@pytest.mark.parametrize("run_arguments", [OFFLOAD])
def test_tcp_crosses_whole_and_intact(bare_lab: Lab, node: Node) -> None:
    """Of the first transfer a fast machine may bring a part before its pair is known."""
    with serving(bare_lab.host6, 64 << 20) as server:

        def crosses() -> bool:
            before = node.counted("octets", "6to4")
            assert bare_lab.host4.call(download, HOST6_4, server).intact
            return node.counted("octets", "6to4") - before > 32 << 20

        wait_for(crosses, "a transfer that crosses in the kernel", 30.0)
    after = node.outcomes("6to4")
    assert after["segments"] > 4 * after["translated"]


@pytest.mark.parametrize("run_arguments", [OFFLOAD])
def test_what_is_not_the_program_s_still_crosses(bare_lab: Lab, flow: Flow, node: Node) -> None:
    """ICMP, a TTL that ends here, options, datagrams without a checksum or too large for IPv6 with DF=0, fragments."""
    node.learn(flow)
    before = node.counted("unfit")
    assert bare_lab.host4.call(ping, HOST6_4).ok
    flow.here.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, b"\1\1\1\0")
    flow.exchange()
    flow.here.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, b"")
    flow.here.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
    flow.here.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 2)  # one is left where it is translated
    flow.here.send(b"expires")
    flow.here.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 64)

    def expired() -> bool:
        return flow.here.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.EHOSTUNREACH

    wait_for(expired, "Time Exceeded")
    flow.here.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 0)
    assert node.counted("unfit") - before >= 4
    flow.here.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT)
    diverted = node.counted("diverted")
    flow.exchange(1400)
    assert node.counted("diverted") - diverted == 1
    flow.exchange()  # small, but of a kind that has just had to be cut: behind it, not in front
    assert node.counted("diverted") - diverted == 2
    flow.exchange(3000)
    assert node.counted("diverted") - diverted >= 4


@contextmanager
def change(lab: Lab, what: str) -> Iterator[None]:
    """Something that a decision may hang on, and back."""
    there, back = {
        "rules": ("nft add table ip others", "nft delete table ip others"),
        "addresses": ("ip address add 10.9.9.9/32 dev lo", "ip address del 10.9.9.9/32 dev lo"),
        "interfaces": ("ip link add new type veth peer name newer", "ip link del new"),
    }[what]
    lab.translator.run(there.split())
    try:
        yield
    finally:
        lab.translator.run(back.split())


@pytest.mark.parametrize("run_arguments", [OFFLOAD])
@pytest.mark.parametrize("what", ["rules", "addresses", "interfaces"])
def test_what_a_decision_hangs_on_makes_all_be_forgotten(bare_lab: Lab, flow: Flow, node: Node, what: str) -> None:
    node.learn(flow)
    before = node.forgotten(what)
    with change(bare_lab, what):
        wait_for(lambda: node.forgotten(what) > before, f"a new generation for {what}")
        packets = node.process.summary()["totals"]["packets"]
        flow.exchange()
        assert node.process.summary()["totals"]["packets"] - packets == 2
        node.learn(flow)


@pytest.mark.parametrize("run_arguments", [OFFLOAD])
def test_a_rule_that_drops_holds_at_once_for_what_was_offloaded(
    bare_lab: Lab, flow: Flow, other: Flow, node: Node
) -> None:
    node.learn(flow)
    before = node.forgotten("rules")
    rule = f"insert rule ip nfxlat_siit0 prerouting ip daddr {HOST6_4} drop"
    bare_lab.translator.run(["nft", *rule.split()])
    wait_for(lambda: node.forgotten("rules") > before, "a new generation")
    for _ in range(5):
        flow.here.send(b"dropped")
    other.exchange()
    assert flow.arrived() == []


def test_a_reload_ends_the_former_mapping_before_it_is_reported_done(bare_lab: Lab, tmp_path: Path) -> None:
    """203.0.113.2 is host6 by an EAM; then it is host6's other address."""
    file = tmp_path / "siit0.toml"
    file.write_text(DOMAIN)
    first = udp(bare_lab.host6, socket.AF_INET6, HOST6, 5000)
    second = udp(bare_lab.host6, socket.AF_INET6, HOST6_PREFIX, 5000)
    here = udp(bare_lab.host4, socket.AF_INET, HOST4)
    running = TranslatorProcess(bare_lab.translator, bare_lab.directory, "--config", str(file), *OFFLOAD)
    with first, second, here, running as process:
        here.connect((HOST6_EAM4, 5000))
        node = Node(process)

        def crossed() -> bool:
            here.send(b"one")
            assert first.recv(8) == b"one"
            return node.counted("translated") > 0

        wait_for(crossed, "a datagram that crosses in the kernel")
        file.write_text(DOMAIN.replace('"2001:db8:2::2"', f'"{HOST6_PREFIX}"'))
        os.kill(process.pid, signal.SIGHUP)
        process.told("reloaded")
        for _ in range(20):
            here.send(b"two")
            assert second.recv(8) == b"two"
        translated = node.counted("translated")

        def again() -> bool:
            here.send(b"two")
            assert second.recv(8) == b"two"
            return node.counted("translated") > translated

        wait_for(again, "a datagram that crosses in the kernel again")
        assert waiting(first) == []


@pytest.mark.parametrize("run_arguments", [OFFLOAD])
def test_a_decision_that_grows_old_is_judged_anew_by_a_copy(bare_lab: Lab, flow: Flow, other: Flow, node: Node) -> None:
    """The copy is queued, and not translated: nothing arrives twice."""
    node.learn(flow)
    index = bare_lab.translator.call(socket.if_nametoindex, "to-r4")
    key = table.key(index, IPv4Address(HOST4).packed + IPv4Address(HOST6_4).packed)
    with opened(node.process.pid) as there:
        pair = there.get(key)
        assert pair is not None
        began = time.monotonic()
        old = time.monotonic_ns() - 40 * 10**9
        there.put(key, pair._replace(judged=old))
        packets, number = node.process.summary()["totals"]["packets"], itertools.count()

        def judged() -> bool:
            next(number)
            flow.exchange()
            found = there.get(key)
            assert found is not None
            return found.judged > old

        wait_for(judged, "an answer")
    asked_again = int((time.monotonic() - began) / 2)  # at most: where a busy machine leaves the worker waiting so long
    after = node.process.summary()
    assert 1 <= after["totals"]["asked"] <= 1 + asked_again
    assert after["totals"]["packets"] == packets
    other.exchange()
    assert flow.arrived() == []


@pytest.mark.parametrize("run_arguments", [OFFLOAD])
@pytest.mark.parametrize("everything", [False, True])
def test_what_is_killed_closes(bare_lab: Lab, flow: Flow, node: Node, everything: bool) -> None:
    """By tcx at once; by cls_bpf when the supervisor has not been heard of for ten seconds."""
    before = node.forgotten("addresses")
    with bare_lab.plain_ipv4(), closing(Flow(bare_lab, target=PLAIN_HOST6, receiver=PLAIN_HOST6)) as plain:
        wait_for(lambda: node.forgotten("addresses") > before, "a new generation")
        node.learn(flow)
        tcx = node.process.summary()["stamp"]["how"] == "tcx"
        group = node.process.workers()
        for pid in (node.process.pid, *(group if everything else ())):
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not node.process.alive(), "its end")
        wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in group), "the workers' end")

        def closed() -> bool:
            flow.here.send(b"x")
            for _ in range(2):  # what was sent before has one hop more to take
                plain.exchange()
            return flow.arrived() == []

        wait_for(closed, "an end", 5.0 if tcx else 20.0)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--inject", "ip"), "results have to go in through the domain device, not by --inject ip"),
        (("--role", "host"), "packets of the host role come from this host, not from an interface"),
        (("--model", "route"), "it is made for the hook model"),
    ],
)
def test_where_it_cannot_be_one_line_says_so(bare_lab: Lab, arguments: tuple[str, ...], why: str) -> None:
    with TranslatorProcess(bare_lab.translator, bare_lab.directory, *OFFLOAD, *arguments) as process:
        assert [line for line in process.output() if "offload" in line] == [f"no offload: {why}"]
        assert process.summary()["offload"] is None


def test_a_clock_that_is_not_the_kernel_s_is_none_to_go_by(bare_lab: Lab) -> None:
    """Times are compared with those that the program reads: all would be too old, or not out of the queue yet."""
    process = TranslatorProcess(bare_lab.translator, bare_lab.directory, *OFFLOAD)
    process.command[:0] = ["unshare", "--time", "--monotonic", "-100", "--fork", "--"]
    if bare_lab.translator.run([*process.command[:6], "true"], check=False).returncode:
        pytest.skip("no time namespaces")
    with process:
        said = [line for line in process.output() if "offload" in line]
        assert said == ["no offload: this time namespace has a clock of its own, and the kernel's is needed"]
        for pid in process.workers():  # of unshare, which passes no signal on: the supervisor
            os.kill(pid, signal.SIGTERM)
        wait_for(lambda: not process.alive(), "its end")


def test_chains_that_are_passed_over_are_named(bare_lab: Lab) -> None:
    rules = """
        add table inet early { chain pre { type filter hook prerouting priority -500; }; }
        add table ip late { chain pre { type filter hook prerouting priority 0; }; }
        add table netdev first { chain in { type filter hook ingress device "to-r4" priority 0; }; }
    """
    (bare_lab.directory / "rules.nft").write_text(rules)
    bare_lab.translator.run(["nft", "-f", str(bare_lab.directory / "rules.nft")])
    with TranslatorProcess(bare_lab.translator, bare_lab.directory, *OFFLOAD) as process:
        chains = "inet early pre (prerouting, priority -500), netdev first in (ingress, priority 0)"
        assert f"offload: these chains see no packets of known pairs: {chains}" in process.output()


def test_transit_that_is_not_translated_stays_as_it_is(bare_lab: Lab) -> None:
    """Plain IPv4 through the translator, of what would be known if it were translated, beside a pair that is."""
    with (
        TranslatorProcess(bare_lab.translator, bare_lab.directory, *OFFLOAD) as process,
        bare_lab.plain_ipv4(),
        closing(Flow(bare_lab)) as flow,
        closing(Flow(bare_lab, target=PLAIN_HOST6, receiver=PLAIN_HOST6)) as plain,
    ):
        node = Node(process)
        node.learn(flow)
        before = node.outcomes("4to6")
        for _ in range(20):
            plain.exchange()
        after = node.outcomes("4to6")
        assert after["translated"] == before["translated"]
        assert after["missed"] - before["missed"] >= 40  # there and back, both IPv4
        assert process.summary()["offload"]["pairs"] == 2
        assert bare_lab.host6.call(ping, HOST4_6).ok
