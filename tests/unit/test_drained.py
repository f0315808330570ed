"""Up to when all that was queued is out, told to the program at ingress."""

from dataclasses import dataclass

from nfxlat.datapath.drained import Drained
from nfxlat.netlink.bound_queues import Seen


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
