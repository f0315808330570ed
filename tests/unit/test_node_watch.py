"""What workers are told of this node, and when."""

from collections.abc import Callable
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any

import pytest

from nfxlat.service import node_watch
from nfxlat.service.messages import Node
from nfxlat.service.node_watch import NodeWatch

A, B = bytes(4), bytes(16)


class Scene:
    """A node that is watched: what others change of it, and all that is told, in turn."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.local, self.unfit, self.looks = frozenset((A,)), frozenset[bytes](), 0
        self.told: list[object] = []
        self.timers: list[Callable[[], None]] = []
        self.readers: list[Callable[[], None]] = []
        self.stamp = SimpleNamespace(indexes=frozenset((3,)), unfinished=False, refresh=lambda: None)
        self.fails = False
        watched = ExitStack()
        watched.drain = list  # type: ignore[attr-defined]
        monkeypatch.setattr(node_watch, "watch_addresses", lambda vrf: watched)
        monkeypatch.setattr(node_watch, "judged_addresses", self.judged)
        point: Any = SimpleNamespace(stamped=lambda stamp: stamp.indexes)
        loop: Any = SimpleNamespace(
            on_readable=lambda what, handler: self.readers.append(handler),
            later=lambda seconds, handler: self.timers.append(handler),
        )
        offloading: Any = SimpleNamespace(
            forget=self.told.append, interfaces_changed=lambda: self.told.append("interfaces")
        )
        stamp: Any = self.stamp
        with ExitStack() as stack:
            self.watch = NodeWatch(point, stamp, self.told.append, offloading, loop, stack)
        self.run_timers()

    def judged(self, vrf: str | None) -> tuple[frozenset[bytes], frozenset[bytes]]:
        self.looks += 1
        if self.fails:
            raise OSError
        return self.local, self.unfit

    def addresses_change(self) -> None:
        self.readers[0]()

    def interfaces_change(self) -> None:
        self.readers[1]()

    def run_timers(self) -> None:
        due = self.timers[:]
        self.timers.clear()
        for handler in due:
            handler()


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(monkeypatch)


def test_new_workers_know_what_was_there_at_the_start(scene: Scene) -> None:
    assert scene.watch.node == Node(frozenset((A,)), frozenset((3,)))
    assert scene.told == []


def test_workers_know_new_addresses_before_they_teach_anew(scene: Scene) -> None:
    scene.local |= {B}
    scene.addresses_change()
    scene.run_timers()
    assert scene.told == [Node(scene.local, frozenset((3,))), "addresses"]


def test_an_address_that_is_only_deprecated_voids_nothing(scene: Scene) -> None:
    scene.unfit = frozenset((A,))
    scene.addresses_change()
    scene.run_timers()
    assert scene.told == [Node(scene.local, frozenset((3,)), scene.unfit)]


def test_addresses_are_not_listed_for_each_word_of_an_interface(scene: Scene) -> None:
    looks = scene.looks
    scene.interfaces_change()
    scene.stamp.indexes = frozenset((3, 4))
    scene.interfaces_change()
    assert scene.looks == looks
    assert scene.told == ["interfaces", Node(scene.local, frozenset((3, 4))), "interfaces"]


def test_addresses_that_cannot_be_listed_are_listed_by_a_timer_which_the_loop_calls_again(scene: Scene) -> None:
    scene.fails = True
    scene.addresses_change()
    (handler,) = scene.timers
    with pytest.raises(OSError):
        handler()
    scene.fails = False
    handler()
    assert scene.told == []


def test_interfaces_that_cannot_be_looked_at_are_by_a_timer_which_the_loop_calls_again(scene: Scene) -> None:
    def refresh() -> None:
        scene.stamp.unfinished = True
        raise OSError

    scene.stamp.refresh = refresh
    for _ in range(3):
        with pytest.raises(OSError):
            scene.interfaces_change()
    (handler,) = scene.timers
    with pytest.raises(OSError):
        handler()
    with pytest.raises(OSError):
        scene.interfaces_change()
    assert scene.timers == [handler]  # and what the loop has of its own

    def succeed() -> None:
        scene.stamp.unfinished, scene.stamp.indexes = False, frozenset((3, 4))

    scene.stamp.refresh = succeed
    scene.run_timers()
    assert scene.timers == []
    assert scene.told == [Node(scene.local, frozenset((3, 4))), "interfaces"]


def test_words_that_come_while_many_interfaces_are_stamped_wait_for_one_turn(scene: Scene) -> None:
    scene.stamp.unfinished = True
    for _ in range(5):
        scene.interfaces_change()
    assert len(scene.timers) == 1
    scene.run_timers()
    assert len(scene.timers) == 1
    scene.stamp.unfinished = False
    scene.run_timers()
    assert scene.timers == []
