"""What `nfxlat doctor` says of one thing."""

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """How it stands with one thing."""

    OK = "ok"
    NOTE = "note"  # it works; better is possible, or something is worth knowing
    WARNING = "warning"  # packets may be lost, or go another way than is meant
    MISSING = "missing"  # a part of nfxlat does not work
    FATAL = "fatal"  # nfxlat cannot run
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One line: what was looked at, how it stands, what was found, what that means, what to do (if anything)."""

    what: str
    state: State
    found: str
    meaning: str
    remedy: str = ""
