"""When the program at ingress takes a packet of a pair that it knows, and when not. BPF_PROG_TEST_RUN."""

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from bpf_run import GOES_ON, REDIRECT
from packets import A4, A6, B4, B6, T
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrHopByHop, Jumbo
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw
from taught import ADDRESSES, LOOPBACK, Node

from nfxlat.host.ingress import Table
from nfxlat.offload import table
from nfxlat.offload.program import text
from nfxlat.offload.table import ACTIVE
from nfxlat.wire.stamp import ASKING, MAGIC, NUMBERED, REPEAT_FLOW, REPEAT_PAIR
from nfxlat.wire.stamp import UDP as FIT

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

SECOND = 10**9


@pytest.fixture
def node() -> Iterator[Node]:
    node = Node()
    if not node.udp:
        pytest.skip("no BTF")
    yield node
    node.close()


TCP_PACKET, UDP_PACKET = TCP() / b"data", UDP() / b"data"


def test_a_pair_that_is_not_known_goes_on(node: Node) -> None:
    assert not node.takes(TCP_PACKET)
    assert node.counted("missed") == 1


def test_the_first_packet_after_learning_takes_the_queue_and_the_next_waits_for_it(node: Node) -> None:
    """What had been queued before is out when that one is: and the queue tells only by then."""
    node.teach()
    node.table.drained = time.monotonic_ns() + SECOND
    assert not node.takes(TCP_PACKET)
    node.table.drained = node.pair.tcp_queued - 1
    assert not node.takes(TCP_PACKET)
    assert node.counted("waiting") == 2
    node.table.drained = node.pair.tcp_queued + SECOND // 1000
    assert node.takes(TCP_PACKET)
    assert node.pair.tcp_queued == ACTIVE
    node.table.drained = 0
    assert node.takes(TCP_PACKET)
    assert (node.pair.packets, node.counted("translated"), node.counted("octets")) == (2, 2, 48)


def numbered(node: Node, layer: Packet, *, gso_size: int = 0) -> int:
    """The stamp of a packet that waits."""
    frame = bytes(Ether(dst="00:00:00:00:00:00") / IP(src=A4, dst=B4, flags="DF") / layer)
    result = node.runner.run(frame, ifindex=LOOPBACK, gso_size=gso_size)
    assert result.verdict == GOES_ON
    return result.priority


def waits_without_a_pause(node: Node, **fields: int) -> None:
    """As if it had been taught, and had its first packet, long ago; the last one a moment ago."""
    now = time.monotonic_ns()
    node.teach(**{"udp_since": now - SECOND, "udp_queued": now + SECOND} | fields)
    node.table.drained = now


def test_of_packets_that_wait_each_has_a_number(node: Node) -> None:
    node.teach(tcp_number=0, udp_number=0)
    assert [numbered(node, UDP_PACKET) for _ in range(3)] == [NUMBERED | FIT | number for number in (1, 2, 3)]
    assert numbered(node, TCP_PACKET) == NUMBERED | FIT | 1
    assert (node.pair.udp_number, node.pair.tcp_number) == (3, 1)
    node.teach(udp_number=0xFFFF)
    assert numbered(node, UDP_PACKET) == NUMBERED | FIT
    assert node.pair.udp_number == 0x10000


def test_without_a_pause_the_last_number_tells_that_nothing_waits(node: Node) -> None:
    waits_without_a_pause(node, udp_number=5)
    learnt = node.pair.learnt
    for told in ((learnt, 0, 4), (learnt, 5, 0), (learnt - 1, 0, 5)):
        node.table.arrived(table.key(LOOPBACK, ADDRESSES), *told)
        waits_without_a_pause(node, udp_number=5, learnt=learnt)
        assert not node.takes(UDP_PACKET), told
    waits_without_a_pause(node, udp_number=5, learnt=learnt)
    node.table.arrived(table.key(LOOPBACK, ADDRESSES), learnt, 0, 5)
    assert node.takes(UDP_PACKET)
    assert node.pair.udp_queued == ACTIVE


@pytest.mark.parametrize("field", ["udp_since", "udp_whole"])
def test_what_has_no_number_is_out_when_the_time_tells(node: Node, field: str) -> None:
    """What was on its way when it was taught, superframes, what was diverted."""
    when = time.monotonic_ns()
    for later, taken in ((150_000, False), (250_000, True)):
        waits_without_a_pause(node, udp_number=5, **{field: when})
        node.table.drained = when + later
        node.table.arrived(table.key(LOOPBACK, ADDRESSES), node.pair.learnt, 0, 5)
        assert node.takes(UDP_PACKET) == taken


def test_nobody_has_told_of_number_0(node: Node) -> None:
    waits_without_a_pause(node, udp_number=0)
    node.table.arrived(table.key(LOOPBACK, ADDRESSES), node.pair.learnt, 0, 0)
    assert not node.takes(UDP_PACKET)


def test_a_superframe_has_its_size_and_no_number(node: Node) -> None:
    node.teach(tcp_number=0)
    assert numbered(node, TCP() / bytes(100), gso_size=50) == MAGIC | 50
    assert (node.pair.tcp_number, node.pair.tcp_whole) == (0, node.pair.tcp_queued)


def test_where_the_queue_overflows_packets_are_dropped_until_it_is_empty(node: Node) -> None:
    """A flow that is faster than the queue would never come out of it, and lose packets all the time."""
    now = time.monotonic_ns()
    node.teach(tcp_queued=now, tcp_since=now - SECOND // 5)
    assert not node.takes(TCP_PACKET)  # it waits, but loses nothing
    now = time.monotonic_ns()  # it is dropped for a second only, of which the above may have taken some
    node.table.lost = now - SECOND // 10
    node.teach(tcp_queued=now, tcp_since=now - SECOND // 5)
    assert node.drops(TCP_PACKET)
    assert (node.counted("held"), node.counted("waiting")) == (1, 1)
    node.table.drained = time.monotonic_ns() + SECOND
    assert node.takes(TCP_PACKET)


def test_packets_are_not_dropped_for_longer_than_a_second(node: Node) -> None:
    now = time.monotonic_ns()
    node.table.lost = now
    node.teach(tcp_queued=now - SECOND, tcp_since=now - 2 * SECOND)
    assert not node.takes(TCP_PACKET)
    assert node.counted("waiting") == 1


def test_tcp_and_udp_of_a_pair_wait_each_for_their_own(node: Node) -> None:
    node.teach(tcp_queued=ACTIVE)
    assert node.takes(TCP_PACKET)
    assert not node.takes(UDP_PACKET)
    assert node.takes(TCP_PACKET)


def test_another_interface_is_another_pair(node: Node) -> None:
    node.teach(tcp_queued=ACTIVE, at=LOOPBACK + 1)
    assert not node.takes(TCP_PACKET)
    assert node.counted("missed") == 1


def test_another_generation_forgets_all(node: Node) -> None:
    node.teach(tcp_queued=ACTIVE)
    assert node.takes(TCP_PACKET)
    node.generation = node.table.forget()
    assert not node.takes(TCP_PACKET)
    assert node.counted("stale") == 1
    node.teach(tcp_queued=ACTIVE)
    assert node.takes(TCP_PACKET)


def test_generations_never_come_to_0(node: Node) -> None:
    node.table._generation[0] = 0xFFFFFFFF
    assert node.table.forget() == node.table.generation == 1


@pytest.mark.parametrize(("field", "age"), [("used", table.UNUSED_NS), ("judged", table.JUDGED_NS)])
def test_what_is_old_is_forgotten(node: Node, field: str, age: int) -> None:
    now = time.monotonic_ns()
    node.teach(tcp_queued=ACTIVE, **{field: now - age + 2 * SECOND})
    assert node.takes(TCP_PACKET)
    node.teach(tcp_queued=ACTIVE, **{field: now - age - SECOND})
    assert not node.takes(TCP_PACKET)


def test_without_a_supervisor_nothing_is_taken(node: Node) -> None:
    node.teach(tcp_queued=ACTIVE)
    node.table._beat[0] = time.monotonic_ns() - 11 * SECOND
    assert not node.takes(TCP_PACKET)
    node.table.beat()
    assert node.takes(TCP_PACKET)


def test_an_answer_of_the_rules_keeps_it(node: Node) -> None:
    """The copy by which they are asked: netns/test_offload.py."""
    now = time.monotonic_ns()
    node.teach(tcp_queued=ACTIVE, judged=now - 59 * SECOND)
    node.table.answer(table.key(LOOPBACK, ADDRESSES), now)
    assert node.takes(TCP_PACKET)
    assert node.pair.judged == now


def test_behind_a_fragment_of_udp_whole_datagrams_take_the_queue(node: Node) -> None:
    node.teach(tcp_queued=ACTIVE, udp_queued=ACTIVE)
    assert node.takes(UDP_PACKET)
    assert not node.takes(Raw(bytes(8)), proto=17, flags="MF", frag=3)
    assert not node.takes(UDP_PACKET)
    assert node.takes(TCP_PACKET)
    assert node.pair.udp_until > time.monotonic_ns() + 9 * SECOND
    assert node.counted("diverted") == 2
    # ten seconds later, and when those are out
    queued = node.pair.udp_queued
    node.teach(udp_queued=queued, udp_until=time.monotonic_ns() - SECOND)
    node.table.drained = queued + SECOND
    assert node.takes(UDP_PACKET)


def test_behind_a_datagram_that_the_core_has_to_cut_others_take_the_queue(node: Node) -> None:
    node.teach(tcp_queued=ACTIVE, udp_queued=ACTIVE)
    assert node.takes(UDP() / bytes(1232), flags="")
    assert not node.takes(UDP() / bytes(1233), flags="")
    assert not node.takes(UDP_PACKET)


def test_behind_a_superframe_that_is_no_row_of_datagrams_others_take_the_queue(node: Node) -> None:
    """Its gso_type says nothing, in such a run. rx-gro-list chains some datagrams of a flow and leaves the others."""
    node.teach(tcp_queued=ACTIVE, udp_queued=ACTIVE)
    assert node.takes(UDP_PACKET)
    frame = bytes(Ether(dst="00:00:00:00:00:00") / IP(src=A4, dst=B4, flags="DF") / UDP() / bytes(60))
    assert node.runner.run(frame, ifindex=LOOPBACK, gso_size=20).verdict == GOES_ON
    assert not node.takes(UDP_PACKET)
    assert node.takes(TCP_PACKET)
    assert (node.counted("diverted"), node.counted("unfit")) == (2, 0)


BIG = {
    "IPv4": IP(src=A4, dst=B4, flags="DF", len=0),
    "IPv6": IPv6(src=A6, dst=B6, plen=0),
    "IPv6 with the jumbo option": IPv6(src=A6, dst=B6, plen=0) / IPv6ExtHdrHopByHop(options=[Jumbo(jumboplen=70000)]),
    "IPv6 that would be too long as IPv4": IPv6(src=A6, dst=B6, plen=65520),
}


@pytest.mark.parametrize("header", BIG.values(), ids=BIG)
def test_behind_big_tcp_shorter_superframes_take_the_queue(node: Node, header: Packet) -> None:
    """The kernel cuts it in front of the queue, which takes longer than what is translated here."""
    version, whole = (4, IP(src=A4, dst=B4, flags="DF")) if header.name == "IP" else (6, IPv6(src=A6, dst=B6))

    def takes(layer: Packet, gso_size: int = 0) -> bool:
        frame = bytes(Ether(dst="00:00:00:00:00:00") / layer)
        return node.runner.run(frame, ifindex=LOOPBACK, gso_size=gso_size).verdict == REDIRECT

    node.teach(version=version, tcp_queued=ACTIVE, udp_queued=ACTIVE)
    for layer, gso_size in ((TCP(), 0), (UDP(), 20)):  # no superframe, no TCP
        assert not takes(header / layer / bytes(60), gso_size)
        assert takes(whole / TCP_PACKET)
    assert not takes(header / TCP() / bytes(60), 20)
    assert not takes(whole / TCP_PACKET)
    assert takes(whole / UDP_PACKET)


def test_behind_a_packet_that_finds_no_memory_others_take_the_queue(tmp_path: Path) -> None:
    """bpf_skb_change_proto fails, of which the packet is none the wiser: the call is a constant here."""
    call, failed = (b"\x85\0\0\0" + (31).to_bytes(4, sys.byteorder)).hex(), (b"\xb7\0\0\0" + b"\xff" * 4).hex()
    program = text("offload")
    assert program.count(f"\n{call}\n") == 2
    (tmp_path / f"offload.{sys.byteorder}.bpf").write_text(program.replace(f"\n{call}\n", f"\n{failed}\n"))
    node = Node(tmp_path)
    node.teach(tcp_queued=ACTIVE)
    assert not node.takes(TCP_PACKET)
    assert node.pair.tcp_queued != ACTIVE
    assert not node.takes(TCP_PACKET)
    assert (node.counted("failed"), node.counted("diverted"), node.counted("translated")) == (1, 1, 0)
    node.close()


def test_only_udp_s_fragments_divert(node: Node) -> None:
    node.teach(tcp_queued=ACTIVE, udp_queued=ACTIVE)
    for protocol in (1, 6):
        assert not node.takes(Raw(bytes(24)), proto=protocol, flags="MF")
    assert node.takes(UDP_PACKET)
    assert node.counted("unfit") == 2


def test_what_the_program_leaves_stays_as_it_was_for_the_next_packet(node: Node) -> None:
    node.teach(tcp_queued=ACTIVE)
    assert not node.takes(TCP_PACKET, mark=5)
    assert not node.takes(TCP_PACKET, ttl=1)
    assert node.takes(TCP_PACKET)


def test_of_a_pair_that_is_told_by_flow_its_flows_alone_are_taken(node: Node) -> None:
    node.teach_flow(1000, 80, 6)
    one = TCP(sport=1000, dport=80) / b"data"
    assert not node.takes(one)  # the pair is not known
    node.tell_by_flow()
    assert node.takes(one)
    for other in (TCP(sport=1000, dport=81), TCP(sport=80, dport=1000), UDP(sport=1000, dport=80)):
        missed = node.counted("missed")
        assert not node.takes(other / b"data")
        assert node.counted("missed") == missed + 1


def test_a_flow_is_void_with_its_own_generation_or_its_pair_s(node: Node) -> None:
    one = UDP(sport=1000, dport=53) / b"data"
    node.tell_by_flow()
    old = time.monotonic_ns() - 61 * SECOND
    for fields in ({"generation": node.generation - 1}, {"used": old}, {"judged": old}):
        node.teach_flow(1000, 53, 17, **fields)
        stale = node.counted("stale")
        assert not node.takes(one)
        assert node.counted("stale") == stale + 1
    node.teach_flow(1000, 53, 17)
    assert node.takes(one)
    node.tell_by_flow(node.generation + 1)
    assert not node.takes(one)


def test_only_a_flow_s_first_fragment_diverts_it(node: Node) -> None:
    """The others have no ports: octets of theirs may look like some."""
    node.tell_by_flow()
    one = UDP(sport=1000, dport=53) / b"data"
    node.teach_flow(1000, 53, 17)
    assert not node.takes(one, frag=1)
    assert node.takes(one)
    assert node.counted("diverted") == 0
    assert not node.takes(one, flags="MF")
    assert not node.takes(one)
    assert node.counted("diverted") == 2


def test_a_flow_s_waiting_is_its_own(node: Node) -> None:
    node.tell_by_flow()
    key = node.teach_flow(1000, 80, 6, tcp_queued=0)
    node.teach_flow(1000, 81, 6)
    assert not node.takes(TCP(sport=1000, dport=80) / b"data")
    assert node.takes(TCP(sport=1000, dport=81) / b"data")
    flow = node.table.get(key)
    assert flow is not None
    assert flow.tcp_queued not in (0, ACTIVE)


@pytest.mark.parametrize("priority", [MAGIC, MAGIC | REPEAT_FLOW, MAGIC | REPEAT_PAIR | 1000, NUMBERED | 7])
def test_a_stamp_that_was_there_is_written_anew(node: Node, priority: int) -> None:
    """What a container writes allows nothing."""
    frame = Ether(dst="00:00:00:00:00:00") / IP(src=A4, dst=B4, flags="DF") / TCP_PACKET
    result = node.runner.run(bytes(frame), ifindex=LOOPBACK, priority=priority)
    assert (result.verdict, result.priority) == (GOES_ON, MAGIC | FIT)


def test_behind_the_program_of_another_domain_it_is_at_work_all_the_same(node: Node) -> None:
    """That has stamped what it does not know; a copy that asks is nobody's to translate."""
    node.teach(tcp_queued=ACTIVE)
    frame = bytes(Ether(dst="00:00:00:00:00:00") / IP(src=A4, dst=B4, flags="DF") / TCP_PACKET)
    result = node.runner.run(frame, ifindex=LOOPBACK, priority=MAGIC | FIT)
    assert (result.verdict, result.priority) == (REDIRECT, 0)
    result = node.runner.run(frame, ifindex=LOOPBACK, priority=ASKING)
    assert (result.verdict, result.priority) == (GOES_ON, ASKING)


def test_pairs_can_be_listed_and_removed(node: Node) -> None:
    node.teach()
    assert [key for key, _ in node.table.pairs()] == [table.key(LOOPBACK, ADDRESSES)]
    assert node.table.remove(table.key(LOOPBACK, ADDRESSES))
    assert not node.table.remove(table.key(LOOPBACK, ADDRESSES))
    assert not list(node.table.pairs())


def test_many_pairs_are_listed_once_each() -> None:
    many = Table(entries=20000)
    template = T.template(ADDRESSES)
    assert template is not None
    pair = table.learnt(template, 1, 1)
    for number in range(10000):
        many.put(table.key(2, number.to_bytes(8, "big")), pair)
    found = [key for key, _ in many.pairs()]
    assert len(found) == len(set(found)) == 10000
    many.close()


def test_what_is_in_use_stays_where_the_table_is_full_and_what_is_not_goes(node: Node) -> None:
    """Least recently used first, so that a flood of others pushes out none but each other."""
    node.teach(udp_queued=ACTIVE)
    for number in range(64 * 50):
        template = T.template(ADDRESSES)
        assert template is not None
        others = number.to_bytes(4, "big") + ADDRESSES[4:]
        node.table.put(table.key(LOOPBACK, others), table.learnt(template, node.generation, time.monotonic_ns()))
        if number % 8 == 0:
            node.table.beat()  # all of it may take longer than the ten seconds for which one counts
            assert node.takes(UDP())
    assert len(list(node.table.pairs())) <= 64
    assert node.table.get(table.key(LOOPBACK, bytes(4) + ADDRESSES[4:])) is None
