"""What is counted of each mapping: by workers, in messages, by the supervisor, and told to who asks."""

import json
import socket
from collections.abc import Callable, Iterator
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any

import pytest
from packets import ipv4, ipv6

from nfxlat.datapath import tally as tallies
from nfxlat.datapath.tally import Tally
from nfxlat.errors import OperatorError
from nfxlat.service import mapping_readers
from nfxlat.service.counted import Asking
from nfxlat.service.counting import OTHERWISE, Counting
from nfxlat.service.loop import Loop
from nfxlat.service.mapping_readers import NOW, MappingReaders
from nfxlat.service.messages import Busiest, Count, Counted, Message, decode
from nfxlat.service.requests import Answer, Asker, Line
from nfxlat.service.status import Running
from nfxlat.xlat.domain import Domain
from nfxlat.xlat.eamt import Eamt

EAMT = Eamt(
    (IPv4Network(four), IPv6Network(six))
    for four, six in (("203.0.113.2", "2001:db8:2::2"), ("203.0.113.128/25", "2001:db8:3::80/121"))
)
DOMAIN = Domain(prefix6=IPv6Network("2001:db8:64::/96"), eamt=EAMT)
HOST, PREFIX = bytes((203, 0, 113, 2, 32)), bytes((203, 0, 113, 128, 25))
FRAME = 14


def place(address: bytes) -> bytes:
    return EAMT.place_of(address) or OTHERWISE


def packed(*addresses: str) -> bytes:
    return b"".join(ip_address(address).packed for address in addresses)


def test_an_address_of_either_family_has_the_place_of_its_entry() -> None:
    assert place(packed("203.0.113.2")) == place(packed("2001:db8:2::2")) == HOST
    assert place(packed("203.0.113.130")) == place(packed("2001:db8:3::82")) == PREFIX
    assert place(packed("203.0.113.3")) == place(packed("2001:db8:2::3")) == OTHERWISE
    assert Eamt().place_of(packed("203.0.113.3")) is None
    assert Eamt().place_of(packed("2001:db8::3")) is None


def test_packets_count_for_the_mappings_of_both_ends_and_parts_with_their_octets() -> None:
    tally = Tally(place, FRAME)
    six = ipv6(b"x" * 100, src="2001:db8:64::c000:202", dst="2001:db8:2::2")
    four = ipv4(b"y" * 50, src="203.0.113.2", dst="203.0.113.130")
    buffer, messages = bytearray(), list[int]()
    for packet in (six, four, four):
        messages += (len(buffer) + 1000, FRAME + len(packet))
        buffer += bytes(FRAME) + packet
    tally.took(buffer, 1000, messages, [messages[4]])
    tally.left([six, six])
    rows, busiest = tally.drain()
    assert rows == {OTHERWISE: [2, 300, 0, 0], HOST: [1, 100, 2, 300], PREFIX: [0, 0, 1, 100]}
    assert busiest == [(six[8:40], 2, 300), (four[12:20], 1, 100)]
    assert tally.drain() == ({}, [])


def test_pairs_are_bounded_and_lose_nothing() -> None:
    tally = Tally(place, FRAME, capacity=4)
    for number in range(100):
        tally.left([ipv4(b"z" * 10, src="203.0.113.2", dst=f"198.51.100.{number}")])
    rows, busiest = tally.drain()
    assert rows == {HOST: [100, 1000, 0, 0], OTHERWISE: [0, 0, 100, 1000]}
    assert 0 < len(busiest) <= tallies.BUSIEST


def test_messages_hold_what_was_counted() -> None:
    for message in (
        Count(True),
        Count(False),
        Counted(((HOST, 1, 2, 3, 1 << 60), (OTHERWISE, 0, 0, 5, 6))),
        Busiest(3, ((packed("192.0.2.1", "192.0.2.2"), 1, 2), (packed("2001:db8::1", "2001:db8::2"), 3, 4))),
    ):
        assert decode(message.encode()) == message


class Stand:
    """The supervisor's side, whose loop is turned by hand, and one who asks."""

    def __init__(self) -> None:
        self.told: list[Message] = []
        self.timers: list[tuple[float, Callable[[], object]]] = []
        self.entries: list[tuple[bytes, bytes, int, int]] = []
        loop: Any = Loop()
        loop.later = lambda seconds, call: self.timers.append((seconds, call))
        self.counting = Counting(DOMAIN, loop, self.told.append, lambda: self.entries)
        self.readers = MappingReaders(self.counting, loop, self.told.append)
        self.ours, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.ours.setblocking(False)
        self.theirs.setblocking(False)

    def ask(self, wanted: str = "") -> Answer:
        self.asker = Asker(self.ours, lambda asker: asker.ends.close())
        return self.readers.begin(self.asker, {"filter": wanted})

    def say(self, word: bytes) -> None:
        assert self.asker.on_word is not None
        self.asker.on_word(word)

    def tick(self) -> None:
        timers, self.timers = self.timers, []
        for _, call in timers:
            call()

    def rows(self) -> list[Any]:
        self.say(NOW)
        found: list[Any] = []
        while True:
            self.tick()
            try:
                said = json.loads(self.theirs.recv(1 << 16))
            except BlockingIOError:
                continue
            if not said:
                return sorted(found)
            found += said


@pytest.fixture
def stand() -> Iterator[Stand]:
    stand = Stand()
    yield stand
    stand.ours.close()
    stand.theirs.close()


def test_it_is_counted_only_while_somebody_asks(stand: Stand) -> None:
    stand.counting.heard(Counted(((HOST, 9, 9, 9, 9),)))
    assert (stand.told, stand.counting.on, stand.counting.summary()) == ([], False, None)
    assert stand.ask() == {"always": False, "seconds": 0.0}
    assert stand.told == [Count(True)]
    stand.counting.heard(Counted(((HOST, 1, 100, 2, 200), (OTHERWISE, 0, 0, 1, 50))))
    stand.counting.heard(Counted(((HOST, 1, 100, 0, 0),)))
    assert stand.rows() == [
        ["", "2001:db8:64::/96", 0, 0, 1, 50],
        ["203.0.113.2/32", "2001:db8:2::2/128", 2, 200, 2, 200],
    ]
    stand.asker.ends.close()
    assert stand.told[-1] == Count(False)
    assert stand.counting.summary() is None


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        ("203.0.113.2", ["203.0.113.2/32"]),
        ("203.0.113.0/24", ["203.0.113.128/25", "203.0.113.2/32"]),
        ("2001:db8:3::81", ["203.0.113.128/25"]),
        ("2001:db8:64::c000:201", [""]),
        ("192.0.2.0/24", []),
    ],
    ids=str,
)
def test_a_filter_takes_what_overlaps_it(stand: Stand, wanted: str, names: list[str]) -> None:
    stand.ask(wanted)
    stand.counting.heard(Counted(tuple((name, 1, 1, 1, 1) for name in (HOST, PREFIX, OTHERWISE))))
    assert [row[0] for row in stand.rows()] == names


def test_entries_at_ingress_count_from_the_first_look_on(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = packed("203.0.113.2", "192.0.2.1")
    stand.entries = [(b"old", pair, 100, 1000)]
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    stand.ask()
    now += 1
    stand.entries = [(b"old", pair, 103, 1030), (b"new", packed("2001:db8:64::c000:201", "2001:db8:2::2"), 5, 50)]
    stand.tick()
    told = stand.counting.summary()
    assert told is not None
    assert told["busiest"] == [["4to6", "192.0.2.1", "203.0.113.2", 5, 50], ["6to4", "203.0.113.2", "192.0.2.1", 3, 30]]
    stand.entries = [(b"old", pair, 2, 20)]  # learnt anew
    assert stand.rows()[1] == ["203.0.113.2/32", "2001:db8:2::2/128", 5, 50, 5, 50]


def test_over_a_reload_numbers_go_on_and_what_is_gone_is_told(stand: Stand) -> None:
    stand.ask()
    stand.counting.heard(Counted(((HOST, 1, 10, 0, 0), (PREFIX, 2, 20, 0, 0))))
    stand.counting.renew(Domain(prefix6=DOMAIN.prefix6, eamt=Eamt([next(iter(EAMT))]), count_mappings=True))
    stand.asker.ends.close()
    assert stand.counting.on
    assert stand.told == [Count(True)]
    assert stand.ask()["always"]
    assert [row[:3] for row in stand.rows()] == [
        ["203.0.113.128/25", "", 2],
        ["203.0.113.2/32", "2001:db8:2::2/128", 1],
    ]


def test_what_is_no_filter_and_one_too_many_are_told_so(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OperatorError, match="no address and no prefix"):
        stand.ask("nonsense")
    monkeypatch.setattr(mapping_readers, "READERS", 0)
    with pytest.raises(OperatorError, match="others ask already"):
        stand.ask()
    assert not stand.counting.on


def test_many_rows_come_in_turns_and_a_reader_may_be_slow(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapping_readers, "ROOM", 1 << 16)
    stand.ask()
    names = [bytes((198, 18, number >> 8, number & 255, 32)) for number in range(5000)]
    stand.counting.heard(Counted(tuple((name, 1, 1, 1, 1) for name in names)))
    assert len(stand.rows()) == 5000
    monkeypatch.setattr(mapping_readers, "_PATIENCE", 3)
    stand.say(NOW)
    for _ in range(200):  # nobody reads
        stand.tick()
    assert not stand.counting.on


def test_who_says_something_else_is_hung_up_on(stand: Stand) -> None:
    stand.ask()
    stand.say(b"nonsense")
    assert not stand.counting.on


NONE = [b"", b"{}", b'{"protocol": 1, "error": "no"}', b'{"protocol": 1, "ok": true, "seconds": -1}', b"[" * 9999]


@pytest.mark.parametrize("said", NONE, ids=lambda said: str(said[:30]))
def test_an_answer_that_is_none_is_one_line(said: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    monkeypatch.setattr("nfxlat.service.status.connected", lambda one, kind: ours)
    monkeypatch.setattr("nfxlat.service.counted.line_to", Line)
    theirs.send(said)
    with theirs, pytest.raises(OperatorError):
        Asking(Running("siit0", 1))
