"""What may be wrong with rules or a host: a judgement is one entry of a table, a finding is a judgement at a place.

The tables, which say all that can be said, are the enums in nfxlat/nft/check/judgements. Each entry is data: texts with
`{placeholders}` for the facts of the case. Several entries may share a code, which is stable, and which tests name:
each code has a test with packets that go wrong as it says (tests/unit/test_rules_advice_ledger.py).
"""

from dataclasses import dataclass
from enum import Enum, StrEnum


class Severity(StrEnum):
    """How bad it is, the worst first."""

    ERROR = "error"  # packets are lost or leak: `rules load` refuses it
    WARNING = "warning"  # it depends on what is not seen here
    NOTE = "note"  # worth knowing


@dataclass(frozen=True, slots=True)
class Finding:
    """One judgement at a place: `effect` is what goes wrong on which packets, `instead` what to write or do."""

    code: str
    severity: Severity
    where: str
    what: str
    effect: str
    instead: str = ""

    def line(self) -> str:
        """As a log has it."""
        instead = f"; {self.instead}" if self.instead else ""
        return f"{self.severity}: {self.where}: {self.what} [{self.code}]: {self.effect}{instead}"

    def lines(self) -> list[str]:
        """As a person reads it."""
        head = f"{self.where}: {self.severity}: {self.what} [{self.code}]"
        return [
            head,
            *([f"    {self.effect}"] if self.effect else []),
            *([f"    -> {self.instead}"] if self.instead else []),
        ]


class Judgement(Enum):
    """An entry of a table: (code, severity, what, effect, instead), the last three with placeholders."""

    def __init__(self, code: str, severity: Severity, what: str, effect: str, instead: str = "") -> None:
        self.code, self.severity, self.what, self.effect, self.instead = code, severity, what, effect, instead

    def at(self, where: str, **facts: object) -> Finding:
        """The finding at a place (file:line:column, or a thing of the host). KeyError: a text's fact is not given."""
        texts = (text.format(**facts) for text in (self.what, self.effect, self.instead))
        return Finding(self.code, self.severity, where, *texts)
