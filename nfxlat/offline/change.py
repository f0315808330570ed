"""What became of one field, and why."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from nfxlat.outcome import Reason
from nfxlat.xlat.addresses import AddressMap


@dataclass(frozen=True, slots=True)
class Change:
    """A field before and after; a name and value of None: there is no such field on that side."""

    old_name: str | None
    old: str | None
    new_name: str | None
    new: str | None
    why: str
    rfc: str = ""

    def text(self) -> str:
        """`ttl 64 -> hop_limit 63: one hop is taken off (RFC 7915 4.1)`"""
        if self.old_name is None:
            what = f"{self.new_name} {self.new}"
        elif self.new_name is None:
            what = f"{self.old_name} {self.old} -> removed"
        elif self.new_name == self.old_name:
            what = f"{self.old_name} {self.old}" + ("" if self.new == self.old else f" -> {self.new}")
        else:
            what = f"{self.old_name} {self.old} -> {self.new_name} {self.new}"
        return f"{what}: {self.why}" + (f" ({self.rfc})" if self.rfc else "")

    def as_json(self) -> dict[str, str | None]:
        """Keys from, old, field, new, why, rfc."""
        return {
            "from": self.old_name,
            "old": self.old,
            "field": self.new_name,
            "new": self.new,
            "why": self.why,
            "rfc": self.rfc or None,
        }


@dataclass(frozen=True, slots=True)
class Context:
    """What the explanation of one packet needs to know beside the packets themselves."""

    addresses: AddressMap
    reason: Reason
    quoted: bool = False  # the fields are those of the packet inside an ICMP error
    error_hop_limit: int | None = None  # of an ICMP error as it came in: its source may be RFC 6791's


def prefixed(prefix: str, changes: Iterable[Change]) -> list[Change]:
    """The same changes with `prefix` before their names."""
    return [
        replace(
            change,
            old_name=change.old_name and prefix + change.old_name,
            new_name=change.new_name and prefix + change.new_name,
        )
        for change in changes
    ]


def clause(version: int, subsection: int) -> str:
    """Of RFC 7915, for packets that came in as IPv4 (section 4) or IPv6 (section 5)."""
    return f"RFC 7915 {4 if version == 4 else 5}.{subsection}"
