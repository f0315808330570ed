"""Up to which number the packets of a pair that was taught are out, told to the program at ingress."""

import pytest
from packets import T, ipv4
from scapy.layers.inet import TCP
from school import FORTH, FORTH_KEY, GENERATION, IN, NONE, QUEUED, SECOND, Pairs, School

from nfxlat.datapath.numbers import ON_THE_WAY, Numbers
from nfxlat.datapath.source import Record
from nfxlat.offload import table
from nfxlat.wire.stamp import NUMBERED, REPEAT_PAIR


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
