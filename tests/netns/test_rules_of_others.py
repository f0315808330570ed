"""Changes of other people's tables, such as fail2ban's of its sets, are not ours, whatever they do to them.

v4 host 10.9.4.2 --- v4  [ node: Setup of siit0, OwnRulesWatch ]  v6 --- (nobody) 2001:db8:9::/64
"""

from collections.abc import Callable, Iterator

import pytest
from setup_node import entered_node, made

from nfxlat.nft.kernel import load
from nfxlat.service.rules_watch import OperatorsRulesWatch, OwnRulesWatch

Timers = list[Callable[[], None]]
BAN = "table inet f2b { set ban { type ipv4_addr; }; chain input { type filter hook input priority -1; }; }"
THEIRS = (
    "add element inet f2b ban { 198.18.0.1 }",
    "delete element inet f2b ban { 198.18.0.1 }",
    "add rule inet f2b input ip saddr @ban drop",
    "flush chain inet f2b input",
    "add table ip nfxlat_siit0_too; delete table ip nfxlat_siit0_too",
    "delete table inet f2b",
)


@pytest.fixture
def timers() -> Timers:
    return []


@pytest.fixture
def own(timers: Timers) -> Iterator[OwnRulesWatch]:
    with entered_node():
        setup = made()
        setup.up()
        watch = OwnRulesWatch(setup, lambda line: None, lambda seconds, call: timers.append(call))
        timers.pop()()
        try:
            yield watch
        finally:
            watch.close()
            setup.down()


def test_what_others_do_to_their_tables_is_not_looked_at(own: OwnRulesWatch, timers: Timers) -> None:
    load.run(BAN)
    for command in THEIRS:
        load.run(command)
        own.changed()
    assert timers == []
    assert not own.elements_too


@pytest.mark.parametrize(
    ("command", "elements_too"),
    [
        ("delete element ip nfxlat_siit0 siit0_to { 203.0.113.2 }", True),
        ("flush chain ip nfxlat_siit0 prerouting", False),
        ("delete table ip6 nfxlat_siit0", False),
        ("flush ruleset", False),
    ],
)
def test_what_they_do_to_ours_is_put_back(own: OwnRulesWatch, timers: Timers, command: str, elements_too: bool) -> None:
    load.run(command)
    own.changed()
    assert own.elements_too >= elements_too
    timers.pop()()
    assert own.counts == {"lost": 1, "repaired": 1}


def test_without_setup_sets_are_not_looked_at_and_rules_are(timers: Timers) -> None:
    with entered_node():
        load.run(BAN)
        watch = OperatorsRulesWatch(range(7, 9), lambda line: None, lambda seconds, call: timers.append(call))
        timers.pop()()
        load.run(THEIRS[0])
        watch.changed()
        assert timers == []
        load.run(THEIRS[2])
        watch.changed()
        assert len(timers) == 1
        watch.close()
