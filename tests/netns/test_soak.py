"""The scenes of contrib/dev/soak, each for a few seconds: what it holds for twenty minutes holds here too."""

from collections import Counter
from collections.abc import Iterator

import pytest

from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.soak import scenes
from nfxlat.lab.soak.accounts import Account, Row
from nfxlat.lab.soak.facing import facing
from nfxlat.lab.soak.hostile import hostile, is_martian, packets
from nfxlat.lab.topology import Lab


@pytest.fixture(scope="module")
def soaked(shared_bare_lab: Lab) -> Iterator[TranslatorProcess]:
    lab = shared_bare_lab
    scenes.configuration(lab.directory, 0)
    configuration = str(lab.directory / "soak.toml")
    with TranslatorProcess(lab.translator, lab.directory, "--config", configuration) as process:
        yield process


def assert_holds(row: Row) -> None:
    assert row.ok, f"{row.what}: {row.figures}"


@pytest.mark.quiet
def test_killed_workers_lose_what_is_in_their_hands_and_no_more(
    shared_bare_lab: Lab, soaked: TranslatorProcess
) -> None:
    assert_holds(scenes.killed_workers(shared_bare_lab, soaked, 2))


@pytest.mark.quiet
def test_reloads_with_kills_lose_nothing_unexplained(shared_bare_lab: Lab, soaked: TranslatorProcess) -> None:
    assert_holds(scenes.reloads_with_kills(shared_bare_lab, soaked, shared_bare_lab.directory, 3))


@pytest.mark.quiet
def test_of_more_than_fits_each_packet_is_accounted_for(shared_bare_lab: Lab, soaked: TranslatorProcess) -> None:
    assert_holds(scenes.overload(shared_bare_lab, soaked, 2.0))


@pytest.mark.quiet
def test_mixed_load_is_accounted_for_and_nothing_grows(shared_bare_lab: Lab, soaked: TranslatorProcess) -> None:
    assert_holds(scenes.mixed(shared_bare_lab, soaked, shared_bare_lab.directory, 10.0, pace=1.0))


def test_hostile_packets_kill_nobody_and_no_martian_comes_out(shared_bare_lab: Lab, soaked: TranslatorProcess) -> None:
    assert_holds(hostile(shared_bare_lab, soaked, 3.0))


@pytest.mark.parametrize("inject", ["device", "ip"])
def test_two_translators_that_face_each_other_end(inject: str) -> None:
    assert_holds(facing(10, inject))


def test_hostile_packets_are_hostile() -> None:
    made = [packet for pair, _ in zip(packets(1), range(500), strict=False) for packet in pair]
    assert sum(map(is_martian, made)) > 100


def test_a_loss_is_explained_by_what_is_counted_and_nothing_else() -> None:
    account = Account(taken=100, full=3, socket=1, killed=4, backlog=5, restarts=1, others=Counter(x=9))
    assert account.unexplained(lost=8, sent=100) == 0
    assert account.unexplained(lost=10, sent=100) == 1  # of this machine's drops, which may be others', one
    assert account.unexplained(lost=13, sent=1000) == 0
