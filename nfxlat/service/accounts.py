"""Where packets went, added up to zero: by what the translator says of itself, and the kernel of its queues.

    arrived = translated + answered + passed + dropped + lost by the kernel + waiting + in hands + killed hands

Three sums, which hold at every moment since workers publish whole batches (nfxlat.datapath.counters):

- with the kernel: a queue's verdicts are the packets that a worker has counted, and those in hands. Of these no more
  can be than workers hold, and held when they were killed.
- of reasons: each packet taken, and each further piece of a superframe that was cut, has one.
- of what left: one packet for each that was translated, and the further parts that some became.

The program at ingress counts by itself: what it has translated left, what it holds back is lost.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from nfxlat.outcome import PASSING, REFUSING, TRANSLATING, Reason
from nfxlat.terms import DIRECTIONS

_WRAPS = 1 << 32  # of what the kernel counts of queues

Rows = Mapping[str, Mapping[str, int]]  # {reason: {direction: n}}
_REASONS = {reason.label: reason for reason in Reason}


@dataclass(frozen=True, slots=True)
class Account:
    """Of one translator. `arrived` is the sum of `went`; `off`: what does not add up, a line each."""

    arrived: int
    went: dict[str, int]
    off: tuple[str, ...] = ()

    def __str__(self) -> str:
        parts = [f"{number} {what}" for what, number in self.went.items() if number]
        return f"{self.arrived} packets arrived = {' + '.join(parts) or '0'}"


def action_of(label: str, model: str) -> str:
    """What a reason does to packets that no ICMP error answers: "translated", "passed" or "dropped". What a TUN has
    given away cannot go on."""
    reason = _REASONS.get(label)
    if reason in TRANSLATING:
        return "translated"
    return "passed" if reason in PASSING and model != "device" else "dropped"


def by_action(summary: Mapping[str, Any]) -> Iterator[tuple[str, str, str, int]]:
    """(direction, action, reason, packets) of all that workers have taken; a piece of a superframe that was cut counts
    as one."""
    rejected: Rows = summary.get("rejected", {})
    for label, row in summary["reasons"].items():
        for direction, number in row.items():
            if _REASONS.get(label) in REFUSING and direction not in DIRECTIONS:
                continue  # parts and ICMP errors, which have not arrived
            answered = rejected.get(label, {}).get(direction, 0)
            otherwise = action_of(label, summary.get("model", ""))
            for action, packets in (("rejected", answered), (otherwise, number - answered)):
                if packets:
                    yield direction, action, label, packets


def account(summary: Mapping[str, Any]) -> Account:
    """Of a summary as `service.answer` lets it pass; numbers that an older translator does not tell are not asked
    for."""
    totals, queues = summary["totals"], summary["queues"]
    went = dict.fromkeys(("translated", "rejected", "passed", "dropped"), 0)
    for _, action, _, packets in by_action(summary):
        went[action] += packets
    counted = taken(totals)
    away = 0
    if queues and all("judged" in row for row in queues.values()):
        away = _apart(sum(row["judged"] for row in queues.values()), counted)
    went = {
        "translated": went["translated"],
        "answered by ICMP errors": went["rejected"],
        "passed": went["passed"],
        "dropped": went["dropped"],
        "lost in full queues": sum(row["full"] for row in queues.values()),
        "lost at sockets": sum(row["socket"] for row in queues.values()),
        "waiting": max(0, sum(row.get("waiting", 0) for row in queues.values()) + min(0, away)),  # some no more
        "in hands or killed hands": max(0, away),
    }
    offload = summary.get("offload")
    for outcome, what in (("translated", "translated at ingress"), ("held", "dropped at ingress")):
        went[what] = sum(offload[direction][outcome] for direction in DIRECTIONS) if offload else 0
    return Account(sum(went.values()), went, tuple(_off(summary, went, away)))


def taken(totals: Mapping[str, int]) -> int:
    """What workers have counted of what the kernel has given them."""
    return totals["packets"] + totals.get("requeued", 0) + totals.get("asked", 0)


def _apart(one: int, other: int) -> int:
    """The difference, modulo 2^32, that is nearest to 0."""
    return (one - other + _WRAPS // 2) % _WRAPS - _WRAPS // 2


def _off(summary: Mapping[str, Any], went: Mapping[str, int], away: int) -> Iterator[str]:
    totals = summary["totals"]
    if "parts" not in totals:  # an older translator
        return
    hands = totals["in_hands"] + totals["in_killed_hands"] + summary.get("inherited", 0)
    if away > hands:
        yield f"{away - hands} packets had a verdict and were counted by no worker"
    early = away + taken(totals) - summary.get("taken_before", 0)  # asked before the kernel was
    if early < 0:
        yield f"{-early} packets were counted that no queue has given"
    answered, translated = went["answered by ICMP errors"], went["translated"]
    disposed = translated + answered + went["passed"] + went["dropped"]
    for what, one, other in (
        ("packets taken and with a reason", totals["packets"] + totals["cut"], disposed),
        ("packets translated and injected", translated + totals["parts"], totals["injected"]),
        ("ICMP errors due and sent", answered - totals["errors_refused"], totals["errors_sent"]),
    ):
        if one != other:
            yield f"{what} are apart by {abs(one - other)} ({one}, {other})"
