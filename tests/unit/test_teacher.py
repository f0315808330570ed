"""What a worker teaches the program at ingress."""

from collections.abc import Collection
from ipaddress import ip_address

import pytest
from packets import A4, A6, B4, B6, R4, T, ipv4, ipv6
from scapy.layers.inet import ICMP, TCP, UDP
from scapy.layers.inet6 import IPv6ExtHdrDestOpt, IPv6ExtHdrFragment
from school import BACK, FLOW, FORTH, FORTH_KEY, GENERATION, IN, NONE, OTHER, School

from nfxlat.datapath.counters import Total
from nfxlat.datapath.source import Kind
from nfxlat.datapath.teacher import AGAIN, ASKED, NEVER_MIND, WATCH
from nfxlat.netlink.bound_queues import Seen
from nfxlat.offload import table
from nfxlat.wire.nfqueue import FORWARD, PREROUTING
from nfxlat.wire.stamp import ASKING, MAGIC, REPEAT_FLOW, REPEAT_PAIR


def test_the_second_packet_of_a_pair_teaches_it() -> None:
    school = School()
    school.batch(ipv4(), ipv6())
    assert not school.taught
    school.batch(ipv4(TCP()))
    assert school.taught == {(IN, FORTH, NONE)}
    school.batch(ipv6(TCP()))
    assert school.taught == {(IN, FORTH, NONE), (IN, BACK, NONE)}
    assert school.counters.totals[Total.TAUGHT] == 2
    pair, template = school.pairs.pairs[FORTH_KEY], T.template(FORTH)
    assert template is not None
    assert (pair.addresses, pair.delta, pair.new_sum) == (template.addresses, template.delta, template.pseudo)
    assert (pair.generation, pair.traffic_class, pair.tcp_queued, pair.udp_queued) == (GENERATION, 0xFF00, 0, 0)


def test_two_packets_in_one_batch_are_two() -> None:
    school = School()
    school.batch(ipv4(), ipv4())
    assert school.taught == {(IN, FORTH, NONE)}


@pytest.mark.parametrize(
    "packet",
    [
        ipv4(ICMP() / b"data"),
        ipv4(flags="MF"),
        ipv4(frag=3),
        ipv4(frag=256),
        ipv4(options=b"\1\1\1\0"),
        ipv6(IPv6ExtHdrFragment() / UDP()),
        ipv6(IPv6ExtHdrDestOpt() / UDP()),
        ipv4()[:27],
        ipv6()[:47],
        b"",
    ],
)
def test_what_is_not_the_program_s_teaches_nothing(packet: bytes) -> None:
    school = School()
    school.batch(packet, packet)
    school.batch(packet)
    assert not school.taught


@pytest.mark.parametrize("kind", [Kind(FORWARD, IN), Kind(PREROUTING, OTHER), Kind(PREROUTING, 0)])
def test_only_what_is_queued_at_prerouting_from_such_an_interface_teaches(kind: Kind) -> None:
    school = School()
    school.batch(ipv4(), ipv4(), kind=kind)
    school.batch(ipv4(), kind=kind)
    assert not school.taught


@pytest.mark.parametrize("own", [A4, B4, A6, B6])
def test_addresses_of_this_node_are_not_taught(own: str) -> None:
    school = School(local=frozenset({ip_address(own).packed}))
    for _ in range(3):
        school.batch(ipv4(), ipv6())
    taught = {addresses for _, addresses, _ in school.taught}
    for addresses in taught:
        template = T.template(addresses)
        assert template is not None
        assert ip_address(own).packed not in (template.addresses[:4], template.addresses[4:])
        assert ip_address(own).packed not in (template.addresses[:16], template.addresses[16:])
        assert addresses[: len(addresses) // 2] != ip_address(own).packed


@pytest.mark.parametrize("priority", [0, MAGIC, MAGIC | 1000, ASKING])
def test_what_no_rule_allows_to_be_repeated_is_not_taught(priority: int) -> None:
    school = School()
    for _ in range(3):
        school.batch(ipv4(), priority=priority)
    assert not school.taught
    assert not school.pairs.answers


def test_a_flow_is_taught_with_its_pair_in_front_of_it() -> None:
    school = School()
    packet, other = ipv4(UDP(sport=1000, dport=53)), ipv4(UDP(sport=1001, dport=53))
    school.batch(packet, other, priority=FLOW)
    assert not school.taught
    school.batch(packet, priority=FLOW)
    flow = bytes((3, 232, 0, 53, 17))
    assert school.taught == {(IN, FORTH, NONE), (IN, FORTH, flow)}
    assert school.pairs.pairs[FORTH_KEY].by_flow
    assert school.counters.totals[Total.TAUGHT] == 1
    back = ipv6(TCP(sport=80, dport=1000))
    school.batch(back, back, priority=FLOW)
    assert (IN, BACK, bytes((0, 80, 3, 232, 6))) in school.taught
    school.batch(packet, priority=ASKING | REPEAT_FLOW)
    assert list(school.pairs.answers) == [table.key(IN, FORTH, table.flow(flow[:4], 17))]


def test_without_its_pair_a_flow_that_still_comes_is_not_known() -> None:
    school = School()
    packet = ipv4(TCP(sport=80))
    school.batch(packet, packet, priority=FLOW)
    flow = next(pair for pair in school.pairs.pairs.values() if not pair.by_flow)
    for pair in (None, flow, table.told_by_flow(GENERATION + 1, 1)):
        if pair is None:
            del school.pairs.pairs[FORTH_KEY]
        else:
            school.pairs.pairs[FORTH_KEY] = pair
        school.now += AGAIN
        school.batch(packet, priority=FLOW)
        assert school.pairs.pairs[FORTH_KEY].counts(GENERATION, school.now)
        assert school.pairs.pairs[FORTH_KEY].by_flow
    assert school.counters.totals[Total.TAUGHT] == 1


def test_what_cannot_be_translated_is_looked_at_again_only_after_long() -> None:
    school = School()
    stranger = ipv4(dst="127.0.0.1")
    for _ in range(3):
        school.batch(stranger)
    assert not school.taught
    assert school.teacher._known[IN, stranger[12:20], NONE] == school.now - 1000 + NEVER_MIND


def test_narrow_paths_are_not_taught_and_are_unlearnt() -> None:
    school = School()
    school.batch(ipv6(), ipv6(), ipv4(), ipv4())
    assert school.taught == {(IN, FORTH, NONE), (IN, BACK, NONE)}
    school.narrow[FORTH] = 1000  # what BACK becomes
    school.teacher.unlearn(FORTH)
    assert school.taught == {(IN, FORTH, NONE)}
    school.now += AGAIN
    school.batch(ipv6())
    assert school.taught == {(IN, FORTH, NONE)}
    school.teacher.unlearn(bytes(8))  # nobody's


def test_a_pair_that_still_comes_is_taught_again_only_where_it_does_not_count_any_more() -> None:
    school = School()
    school.batch(ipv4(), ipv4())
    waiting = school.pairs.pairs[FORTH_KEY]._replace(tcp_queued=5)
    school.pairs.pairs[FORTH_KEY] = waiting
    school.now += AGAIN
    school.batch(ipv4())
    assert school.pairs.pairs[FORTH_KEY] == waiting
    for gone in (waiting._replace(generation=6), waiting._replace(used=0), waiting._replace(judged=0), None):
        school.now += table.JUDGED_NS
        if gone is None:
            del school.pairs.pairs[FORTH_KEY]
        else:
            school.pairs.pairs[FORTH_KEY] = gone
        school.batch(ipv4())
        assert school.pairs.pairs[FORTH_KEY].tcp_queued == 0
        assert school.pairs.pairs[FORTH_KEY].generation == GENERATION


def test_how_it_ended_is_counted_when_it_is_taught_anew() -> None:
    school = School()
    school.batch(ipv4(), ipv4())
    totals = school.counters.totals
    for fields in ({"generation": 6}, {"used": 0}):
        school.now += table.JUDGED_NS
        school.pairs.pairs[FORTH_KEY] = school.pairs.pairs[FORTH_KEY]._replace(**fields)  # type: ignore[arg-type]
        school.batch(ipv4())
    assert (totals[Total.TAUGHT], totals[Total.FLUSHED], totals[Total.EXPIRED]) == (3, 1, 1)
    school.teacher.unlearn(FORTH)
    assert totals[Total.NARROWED] == 0
    school.batch(ipv6(), ipv6())
    school.teacher.unlearn(FORTH)
    assert totals[Total.NARROWED] == 1


def test_between_two_looks_a_pair_costs_no_system_call() -> None:
    school = School()
    school.batch(ipv4(), ipv4())
    del school.pairs.pairs[FORTH_KEY]
    school.batch(ipv4())
    assert not school.taught


def test_what_was_queued_before_a_generation_teaches_nothing_for_it() -> None:
    school = School()
    school.seen = {7: Seen(3, 0, 0, 9)}
    school.teacher.serve(8, {IN})
    school.batch(ipv4(), ipv4())
    school.batch(ipv4(), ipv4())
    assert not school.taught
    school.seen = {7: Seen(0, 0, 0, 9)}
    school.batch(ipv4())
    school.batch(ipv4(), ipv4())
    assert school.pairs.pairs[FORTH_KEY].generation == 8


def test_without_a_generation_nothing_is_looked_at() -> None:
    school = School()
    school.teacher.serve(0, {IN})
    school.seen = {}
    school.batch(ipv4(), ipv4())
    school.batch(ipv4(), priority=ASKING | REPEAT_PAIR)
    assert not school.taught
    assert not school.pairs.answers


def test_a_copy_is_no_packet_and_answers() -> None:
    school = School()
    school.batch(ipv4(), ipv4())
    records = school.batch(ipv4(UDP() / b"x"), ipv4(), priority=ASKING | REPEAT_PAIR)
    assert [record[3] for record in records] == [ASKED, ASKED]
    assert all(record[3] is ASKED for record in records)
    assert school.pairs.answers == {FORTH_KEY: school.now}
    assert school.counters.totals[Total.ASKED] == 2


@pytest.mark.parametrize(("generation", "interfaces"), [(0, ()), (GENERATION + 1, {OTHER})])
def test_a_copy_that_was_on_its_way_when_teaching_ended_is_no_packet_either(
    generation: int, interfaces: Collection[int]
) -> None:
    """It would arrive twice."""
    school = School()
    school.batch(ipv4(), ipv4())
    school.teacher.serve(generation, interfaces)
    assert [record[3] for record in school.batch(ipv4(), priority=ASKING | REPEAT_PAIR)] == [ASKED]
    assert not school.pairs.answers
    assert school.counters.totals[Total.ASKED] == 1


def test_copies_of_what_may_not_be_taught_any_more_are_not_answered() -> None:
    school = School()
    school.batch(ipv4(ICMP()), priority=ASKING | REPEAT_PAIR)
    school.narrow[FORTH] = 1000
    school.batch(ipv6(), priority=ASKING | REPEAT_PAIR)
    assert not school.pairs.answers


def test_a_table_without_room_costs_nothing_but_the_pair() -> None:
    school = School()
    school.pairs.full = True
    school.batch(ipv4(), ipv4())
    assert school.counters.totals[Total.TAUGHT] == 0


def test_of_two_workers_one_teaches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both see that it is not known, before either has taught it."""
    first, second = School(), School()
    second.pairs.pairs = first.pairs.pairs
    taught: list[table.Pair] = []

    def unknown(key: bytes) -> None:
        second.batch(ipv4(), ipv4())
        taught.append(second.pairs.pairs[FORTH_KEY])

    monkeypatch.setattr(first.pairs, "get", unknown)
    first.batch(ipv4(), ipv4())
    assert [school.counters.totals[Total.TAUGHT] for school in (first, second)] == [0, 1]
    assert [first.pairs.pairs[FORTH_KEY]] == taught


def test_a_flood_is_forgotten_and_what_is_in_use_is_not() -> None:
    school = School(capacity=10)
    school.batch(ipv4(), ipv4())
    for number in range(100):
        school.batch(ipv4(src=f"198.51.100.{number}", dst=R4), ipv4())
        assert len(school.teacher._known) + len(school.teacher._old) <= 20
    assert school.taught == {(IN, FORTH, NONE)}
    assert school.counters.totals[Total.TAUGHT] == 1


def test_what_is_out_is_looked_up_only_while_something_is_taught() -> None:
    school = School()
    before = school.pairs.drained
    school.batch(ipv4(ICMP()))
    assert school.pairs.drained == before
    school.settled.clear()
    school.batch(ipv4(), ipv4())
    assert school.pairs.drained == school.now
    assert school.settled == [school.now]
    before = school.now
    school.now += WATCH
    school.batch(ipv4(ICMP()))
    assert school.pairs.drained == before
    assert school.settled == [before]


def test_a_pair_of_which_nothing_can_be_taught_is_not_waited_for() -> None:
    school, stranger = School(), ipv4(dst="127.0.0.1")
    school.batch(stranger, stranger)
    school.now += WATCH
    before = school.pairs.drained
    school.batch(stranger)
    assert school.pairs.drained == before
    school.now += NEVER_MIND
    school.batch(stranger)  # it may be another's by now
    assert school.pairs.drained == school.now
