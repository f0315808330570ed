"""Sums that come to zero, and what is said where they do not."""

from typing import Any

import pytest
from told_summary import summary

from nfxlat.service.accounts import account, action_of


def changed(key: str, value: int, **totals: int) -> dict[str, Any]:
    """A summary with one number of a queue or of the totals changed."""
    told = summary()
    (told["queues"]["7"] if key in told["queues"]["7"] else told["totals"])[key] = value
    told["totals"] |= totals
    return told


def test_of_a_translator_whose_counters_are_whole_all_adds_up() -> None:
    found = account(summary())
    assert found.off == ()
    assert found.arrived == sum(found.went.values())
    assert str(found).startswith(
        "50 packets arrived = 12 translated + 3 answered by ICMP errors + 2 passed + 7 dropped"
    )
    assert found.went["in hands or killed hands"] == 4


@pytest.mark.parametrize(
    ("told", "what"),
    [
        (changed("judged", 30), "1 packets had a verdict and were counted by no worker"),
        (changed("judged", 23), "1 packets were counted that no queue has given"),
        (changed("packets", 22), "packets taken and with a reason are apart by 1 (25, 24)"),
        (changed("injected", 13), "packets translated and injected are apart by 1 (14, 13)"),
        (changed("errors_sent", 3), "ICMP errors due and sent are apart by 1 (2, 3)"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_one_packet_too_many_or_too_few_is_told(told: dict[str, Any], what: str) -> None:
    assert what in account(told).off


def test_what_the_kernel_counts_begins_anew_behind_32_bits() -> None:
    told = changed("judged", 3, packets=(1 << 32) + 1, requeued=0, asked=0)
    told["taken_before"] = 1 << 32
    assert not any("verdict" in line or "no queue" in line for line in account(told).off)
    assert account(told).went["in hands or killed hands"] == 2


def test_what_was_taken_behind_the_kernel_s_answer_does_not_wait_any_more() -> None:
    told = changed("judged", 23, taken_before=20)
    told["taken_before"] = 23
    found = account(told)
    assert (found.went["waiting"], found.went["in hands or killed hands"], found.off) == (0, 0, ())


def test_what_a_tun_has_given_away_is_dropped_if_it_is_not_ours() -> None:
    assert [action_of("not_ours", model) for model in ("hook", "route", "device")] == ["passed", "passed", "dropped"]
    assert action_of("of a newer version", "hook") == "dropped"


def test_an_older_translator_is_not_asked_for_what_it_does_not_tell() -> None:
    told = summary(offload=None, queues={"7": {"full": 2, "socket": 3}})
    del told["rejected"]
    told["totals"] = {key: told["totals"][key] for key in ("packets", "injected", "superframes", "fast", "errors_sent")}
    found = account(told)
    assert (found.off, found.went["dropped"], found.went["lost in full queues"]) == ((), 10, 2)
