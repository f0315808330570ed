"""What a worker teaches the program at ingress, and up to when it says that all is out."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from ipaddress import ip_address

import pytest
from packets import A4, A6, B4, B6, R4, T, ipv4, ipv6
from scapy.layers.inet import ICMP, TCP, UDP
from scapy.layers.inet6 import IPv6ExtHdrDestOpt, IPv6ExtHdrFragment

from nfxlat.datapath.counters import Counters, Total
from nfxlat.datapath.drained import Drained
from nfxlat.datapath.numbers import ON_THE_WAY, Numbers
from nfxlat.datapath.source import Kind, Record
from nfxlat.datapath.teacher import AGAIN, ASKED, NEVER_MIND, WATCH, Teacher
from nfxlat.netlink.bound_queues import Seen
from nfxlat.offload import table
from nfxlat.wire.nfqueue import FORWARD, PREROUTING
from nfxlat.wire.stamp import ASKING, MAGIC, NUMBERED, REPEAT_FLOW, REPEAT_PAIR

IN, OTHER, GENERATION = 3, 4, 7
SECOND = 10**9
QUEUED = Kind(PREROUTING, IN)
FORTH, BACK = ipv4()[12:20], ipv6()[8:40]
PAIR, FLOW = MAGIC | REPEAT_PAIR, MAGIC | REPEAT_FLOW
FORTH_KEY, NONE = table.key(IN, FORTH), b""


class Pairs:
    """The kernel's table."""

    def __init__(self) -> None:
        self.drained = self.lost = 0
        self.pairs: dict[bytes, table.Pair] = {}
        self.answers: dict[bytes, int] = {}
        self.told: dict[bytes, tuple[int, int, int]] = {}
        self.full = False

    def get(self, key: bytes) -> table.Pair | None:
        return self.pairs.get(key)

    def put(self, key: bytes, pair: table.Pair) -> None:
        if self.full:
            raise OSError
        self.pairs[key] = pair

    def answer(self, key: bytes, time: int) -> None:
        self.answers[key] = time

    def arrived(self, key: bytes, learnt: int, tcp: int, udp: int) -> None:
        self.told[key] = learnt, tcp, udp

    def remove(self, key: bytes) -> bool:
        return self.pairs.pop(key, None) is not None


class School:
    """A teacher of what comes in at IN, whose queue is empty unless told otherwise."""

    def __init__(self, *, local: frozenset[bytes] = frozenset(), capacity: int = 100) -> None:
        self.now = SECOND
        self.pairs, self.counters = Pairs(), Counters()
        self.seen: Mapping[int, Seen] = {7: Seen(0, 0, 0, 0)}
        self.narrow: dict[bytes, int] = {}
        self.settled: list[int] = []
        self.teacher = Teacher(
            self.pairs,
            T,
            local=local,
            narrow=self.narrow,
            look=lambda: self.seen,
            settle=lambda: self.settled.append(self.now),
            counters=self.counters,
            clock=lambda: self.now,
            capacity=capacity,
        )
        self.teacher.serve(GENERATION, {IN})
        self.batch()

    def batch(self, *packets: bytes, kind: Kind = QUEUED, priority: int = PAIR) -> list[Record]:
        self.now += 1000
        buffer, records = bytearray(), []
        for packet in packets:
            records.append((len(buffer), len(packet), priority, kind))
            buffer += packet
        result = self.teacher.look(buffer, records)
        self.teacher.injected()
        self.teacher.concluded()
        assert len(result) == len(records)
        return list(result)

    @property
    def taught(self) -> set[tuple[int, bytes, bytes]]:
        found = set()
        for ifindex, addresses, flow in map(table.KEY.unpack, self.pairs.pairs):
            found.add((ifindex, addresses if any(addresses[8:]) else addresses[:8], flow.rstrip(b"\0")))
        return found


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


def numbered(number: int) -> int:
    return NUMBERED | REPEAT_PAIR | number & 0xFFFF


def first(school: School) -> tuple[int, int]:
    """When the pair was taught, and the number in front of its first one."""
    pair = school.pairs.pairs[FORTH_KEY]
    assert pair.tcp_number == pair.udp_number != 0
    return pair.learnt, pair.tcp_number


def test_numbers_that_come_in_their_order_are_told_when_their_batch_is_out() -> None:
    school = School()
    school.batch(ipv4(), ipv4())
    learnt, last = first(school)
    assert not school.pairs.told
    for number in range(last + 1, last + 4):
        school.batch(ipv4(TCP()), priority=numbered(number))
        assert school.pairs.told == {FORTH_KEY: (learnt, number, 0)}
    school.batch(ipv4(), priority=numbered(last + 1))
    assert school.pairs.told == {FORTH_KEY: (learnt, last + 3, last + 1)}
    del school.pairs.told[FORTH_KEY]
    school.batch(ipv4())
    assert not school.pairs.told


@pytest.mark.parametrize("next_one", [3, 1, 200, -3])
def test_behind_a_number_that_lacks_nothing_is_told_until_all_before_it_is_out(next_one: int) -> None:
    """Lost, another worker's, or late: what was told is taken back at once, of TCP too."""
    school = School()
    school.batch(ipv4(), ipv4())
    learnt, last = first(school)
    school.batch(ipv4(), priority=numbered(last + 1))
    assert school.pairs.told == {FORTH_KEY: (learnt, 0, last + 1)}
    tcp, udp = ipv4(TCP()), ipv4()
    records: list[Record] = [
        (0, len(tcp), numbered(last + 1), QUEUED),
        (len(tcp), len(udp), numbered(last + next_one), QUEUED),
    ]
    school.teacher.look(bytearray(tcp + udp), records)
    assert school.pairs.told == {FORTH_KEY: (learnt, 0, 0)}
    school.teacher.injected()
    school.teacher.concluded()
    assert school.pairs.told == {FORTH_KEY: (learnt, last + 1, 0)}
    school.batch(ipv4(), priority=numbered(last + next_one + 1))
    assert school.pairs.told[FORTH_KEY][2] == 0
    school.now += ON_THE_WAY
    for number in (2, 3):
        school.batch(ipv4(), priority=numbered(last + next_one + number))
    assert school.pairs.told == {FORTH_KEY: (learnt, last + 1, last + next_one + 3)}


def test_numbers_of_a_time_before_it_was_taught_do_not_count() -> None:
    school = School()
    school.batch(ipv4(), ipv4())
    _, last = first(school)
    for number in (last + 7, last + 8, last):
        school.batch(ipv4(), priority=numbered(number))
    assert all(told[1:] == (0, 0) for told in school.pairs.told.values())
    school.batch(ipv4(), priority=numbered(last + 1))
    assert school.pairs.told[FORTH_KEY][1:] == (0, last + 1)


def of_numbers(pairs: Pairs, capacity: int, *keys: tuple[int, bytes, bytes]) -> tuple[Numbers, table.Pair]:
    template = T.template(FORTH)
    assert template is not None
    numbers, pair = Numbers(pairs, capacity), table.learnt(template, GENERATION, SECOND)
    for key in keys:
        numbers.begin(key, pair)
    return numbers, pair


def test_numbers_are_told_ahead_of_the_verdicts_when_the_backlog_is_empty() -> None:
    """Nobody is watched any more, and all was taught long ago."""
    school = School()
    school.batch(ipv4(), ipv4())
    learnt, last = first(school)
    school.now += SECOND
    packet = ipv4()
    school.settled.clear()
    school.teacher.look(bytearray(packet), [(0, len(packet), numbered(last + 1), QUEUED)])
    school.teacher.injected()
    assert (len(school.settled), school.pairs.told) == (1, {FORTH_KEY: (learnt, 0, last + 1)})


def test_a_number_goes_beyond_16_bits() -> None:
    pairs, key = Pairs(), (IN, FORTH, NONE)
    numbers, pair = of_numbers(pairs, 10, key)
    last = pair.udp_number + (1 << 16) + 2
    for number in range(pair.udp_number + 1, last + 1):
        numbers.see(key, True, number & 0xFFFF, SECOND)
    numbers.tell(SECOND)
    assert pairs.told == {FORTH_KEY: (SECOND, 0, last)}


def test_nobody_tells_of_a_pair_that_another_worker_taught_or_that_was_forgotten() -> None:
    pairs = Pairs()
    keys = [(IN + index, FORTH, NONE) for index in range(3)]
    numbers, pair = of_numbers(pairs, 2)
    one = pair.tcp_number + 1
    numbers.see(keys[0], False, one, SECOND)
    for key in keys:
        numbers.begin(key, pair)
    for key in keys:
        numbers.see(key, False, one, SECOND)
    numbers.tell(SECOND)
    assert pairs.told == {table.key(*keys[2]): (SECOND, one, 0)}
    numbers.see(keys[2], False, one + 1, SECOND)
    numbers.forget()
    numbers.tell(SECOND)
    assert pairs.told == {table.key(*keys[2]): (SECOND, one, 0)}


def test_a_table_without_room_for_what_arrived_costs_nothing_but_time(monkeypatch: pytest.MonkeyPatch) -> None:
    school = School()
    school.batch(ipv4(), ipv4())
    _, last = first(school)
    monkeypatch.setattr(school.pairs, "arrived", full)
    school.batch(ipv4(), priority=numbered(last + 1))


def full(*_: object) -> None:
    raise OSError


@dataclass
class State:
    drained: int = 0
    lost: int = 0


class Queues:
    def __init__(self) -> None:
        self.state = State()
        self.seen: dict[int, Seen] = {}
        self.drained = Drained(self.state, lambda: self.seen)
        self.now = 0

    def look(self, *, socket: int = 0, **waiting: tuple[int, int]) -> int:
        """`waiting`: how many wait in queue `q7`, and the last one's id; when all was out."""
        self.now += 1
        self.seen = {int(name[1:]): Seen(number, 0, socket, newest) for name, (number, newest) in waiting.items()}
        self.drained.look(self.now)
        return self.state.drained


def test_all_is_out_where_nothing_waits() -> None:
    queues = Queues()
    assert [queues.look(q7=(0, 5), q8=(0, 0)), queues.look(q7=(0, 6), q8=(0, 0))] == [1, 2]


def test_a_queue_that_is_never_empty_is_out_when_it_holds_no_more_than_it_got_since() -> None:
    queues = Queues()
    assert queues.look(q7=(5, 15)) == 0
    assert queues.look(q7=(5, 19)) == 0  # id 15 waits, and 16 to 19
    assert queues.look(q7=(5, 20)) == 1
    assert queues.look(q7=(5, 24)) == 1
    assert queues.look(q7=(5, 25)) == 3


def test_every_worker_s_queues_count() -> None:
    queues = Queues()
    assert queues.look(q7=(5, 15), q9=(2, 8)) == 0
    assert queues.look(q7=(5, 20), q9=(2, 9)) == 0
    assert queues.look(q7=(9, 90), q9=(2, 10)) == 1


def test_what_the_socket_had_no_room_for_has_an_id_and_does_not_wait() -> None:
    queues = Queues()
    assert queues.look(q7=(5, 15)) == 0
    assert queues.look(q7=(5, 20), socket=1) == 0  # four came in, so one of the five was there
    assert queues.look(q7=(4, 20), socket=1) == 1


def test_a_queue_that_is_another_s_now_holds_nothing_of_it() -> None:
    queues = Queues()
    assert queues.look(q7=(5, 15)) == 0
    assert queues.look(q7=(2, 2)) == 1


def test_ids_begin_anew() -> None:
    queues = Queues()
    assert queues.look(q7=(5, 0xFFFFFFFE)) == 0
    assert queues.look(q7=(8, 5)) == 0
    assert queues.look(q7=(7, 5)) == 1


def test_where_the_kernel_does_not_tell_nothing_is_out() -> None:
    queues = Queues()
    assert queues.look() == 0


def test_losses_are_told_from_the_second_look_on() -> None:
    queues = Queues()
    for full, socket, told in ((5, 2, 0), (5, 2, 0), (6, 2, 3), (6, 2, 3), (6, 3, 5)):
        queues.now += 1
        queues.seen = {7: Seen(0, full, socket, 1)}
        queues.drained.look(queues.now)
        assert queues.state.lost == told
