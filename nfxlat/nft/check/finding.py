"""What a judgement on rules looks like."""

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How bad it is."""

    ERROR = "error"  # packets are lost or leak: `load` refuses it
    WARNING = "warning"  # it depends on what is not seen here
    NOTE = "note"  # worth knowing


@dataclass(frozen=True, slots=True)
class Finding:
    """One judgement: `code` is its stable name, `effect` what goes wrong on which packets, `instead` what to write."""

    code: str
    severity: Severity
    where: str
    what: str
    effect: str
    instead: str = ""

    def lines(self) -> list[str]:
        """As a person reads it."""
        head = f"{self.where}: {self.severity}: {self.what} [{self.code}]"
        return [
            head,
            *([f"    {self.effect}"] if self.effect else []),
            *([f"    -> {self.instead}"] if self.instead else []),
        ]
