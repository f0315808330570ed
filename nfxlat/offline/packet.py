"""The explanation of one packet: what became of it, field by field, or why nothing did.

The core decides, everything here looks on: the packet that went in, the outcome, and what `xlat.explain` says about
single addresses. So an explanation cannot disagree with the core; where no sentence fits the facts, none is made up.
"""

from dataclasses import dataclass

from nfxlat.offline.change import Change, Context
from nfxlat.offline.header import View, view
from nfxlat.offline.icmp_changes import icmp_changes, message, own_error
from nfxlat.offline.ip_changes import ip_changes
from nfxlat.offline.refusal import refusal
from nfxlat.offline.summary import brief
from nfxlat.offline.superframe import Superframe
from nfxlat.offline.transport_changes import transport_changes
from nfxlat.outcome import Action, Outcome
from nfxlat.xlat.addresses import AddressMap
from nfxlat.xlat.explain import Explanation


@dataclass(frozen=True, slots=True)
class PacketExplanation:
    """One packet explained. `changes`: for each packet that came out, in order."""

    packet: bytes | None  # None: a frame without an IP packet
    direction: str | None
    outcome: Outcome
    why: list[str]  # why it was not translated; empty if it was
    addresses: list[tuple[str, Explanation]]
    failed: list[str]  # the roles in `addresses` that failed
    changes: list[list[Change]]
    superframe: Superframe | None = None  # then `packet` is its first segment, and `outcome` what became of that

    def lines(self, number: int) -> list[str]:
        """As text. Of the second packet and those behind it, only what differs from the first."""
        action, reason, packets = self.outcome
        label = "" if reason.label == action.value else f": {reason.label}"
        what = brief(self.packet) if self.packet is not None else "not an IP packet"
        found = [f"packet {number}  {what}"]
        if self.superframe:
            size = self.superframe.gso_size
            found.append(f"  {self.superframe.text()}, taken to be of {size} octets each; this is the first")
        found.append(f"  {action.value}{label} ({reason.rfc})")
        found += [f"  {line}" for line in self.why]
        for role, told in self.addresses:
            verdict = f"is {told.counterpart}" if told.counterpart else "has no counterpart"
            mark = "  <- this one failed" if role in self.failed else ""
            found.append(f"    {role} {told.address} {verdict}{mark}")
        shown: set[str] = set()
        for packet, changes in zip(packets, self.changes, strict=True):
            found.append(f"  => {brief(packet)}")
            texts = [change.text() for change in changes]
            found += [f"    {text}" for text in texts if text not in shown]
            shown.update(texts)
        return found

    def as_json(self, number: int) -> dict[str, object]:
        """Keys n, direction, action, reason, rfc, sentence, why, addresses, failed, packets, fields (one list each);
        of a superframe segments."""
        action, reason, packets = self.outcome
        found: dict[str, object] = {
            "n": number,
            "direction": self.direction,
            "action": action.value,
            "reason": reason.label,
            "rfc": reason.rfc,
            "sentence": reason.sentence,
            "why": self.why,
            "addresses": [{"role": role, **told.as_json()} for role, told in self.addresses],
            "failed": self.failed,
            "packets": [packet.hex() for packet in packets],
            "fields": [[change.as_json() for change in changes] for changes in self.changes],
        }
        return found | {"segments": self.superframe.segments} if self.superframe else found


def explain_packet(
    addresses: AddressMap, packet: bytes | None, direction: str | None, outcome: Outcome
) -> PacketExplanation:
    """The explanation of what `packet` became in the domain of `addresses`."""
    if packet is None:
        why = ["the frame contains no IP packet: no rule would send it to nfxlat"]
        return PacketExplanation(None, direction, outcome, why, [], [], [])
    if outcome.action is Action.TRANSLATED:
        old = view(packet)
        changes = [_changes(addresses, old, result, outcome) for result in outcome.packets]
        return PacketExplanation(packet, direction, outcome, [], [], [], changes)
    found = refusal(addresses, packet, outcome)
    changes = [_own(addresses, packet, result) for result in outcome.packets]
    return PacketExplanation(packet, direction, outcome, found.why, found.addresses, found.failed, changes)


def _changes(addresses: AddressMap, old: View | None, result: bytes, outcome: Outcome) -> list[Change]:
    new = view(result)
    if old is None or new is None:
        raise AssertionError("translated, but not parsed")
    was, now = message(old), message(new)
    context = Context(addresses, outcome.reason, error_hop_limit=old.hop_limit if was else None)
    changes = ip_changes(old, new, context)
    if was and now:
        return changes + icmp_changes(old, new, was, now, context)
    return changes + transport_changes(old, new, context)


def _own(addresses: AddressMap, packet: bytes, result: bytes) -> list[Change]:
    old, new = view(packet), view(result)
    made = message(new) if new else None
    if old is None or new is None or made is None:
        raise AssertionError("an ICMP error that was made here, but is none")
    return own_error(old, new, made, addresses.domain)
