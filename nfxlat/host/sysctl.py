"""sysctls of the calling thread's network namespace: read, written, put back. Which are needed: nfxlat.plan.sysctls."""

import errno
import os
from collections.abc import Sequence
from pathlib import Path

from nfxlat.errors import OperatorError
from nfxlat.plan.sysctls import FORWARD4, FORWARD6, Sysctl, dotted
from nfxlat.terms import Report

ROOT = Path("/proc/sys")
READ_ONLY = "set this where the container is started, e.g. by --sysctl of docker or podman run"


def read(key: str) -> str | None:
    """The value of `key` ("net/ipv4/ip_forward") in the calling thread's namespace, or None where there is none."""
    try:
        return (ROOT / key).read_text().strip()
    except FileNotFoundError:
        return None


def write(key: str, value: str) -> None:
    """Set `key`; OperatorError where it cannot be."""
    try:
        (ROOT / key).write_text(value)
    except OSError as error:
        hint = READ_ONLY if error.errno == errno.EROFS else "set it by hand, or run as root"
        raise OperatorError(f"cannot set it to {value}: {error.strerror}", where=dotted(key), hint=hint) from None


def refuse_read_only(wanted: Sequence[Sysctl]) -> None:
    """Raise OperatorError where some of these have another value and cannot be set, naming all of them."""
    fixed = [one for one, _ in differing(wanted) if not writable(one.key)]
    if fixed:
        keys = " ".join(f"{dotted(one.key)}={one.value}" for one in fixed)
        raise OperatorError(f"cannot be set, /proc/sys is read-only: {keys}", where="--setup", hint=READ_ONLY)


def writable(key: str) -> bool:
    """Whether `key` is there and can be set: in a container /proc/sys may be read-only."""
    return os.access(ROOT / key, os.W_OK)


def differing(wanted: Sequence[Sysctl]) -> list[tuple[Sysctl, str]]:
    """Those that have another value, and which; what does not exist is left out (a host without IPv6)."""
    values = ((one, read(one.key)) for one in wanted)
    return [(one, now) for one, now in values if now is not None and now != one.value]


def set_all(wanted: Sequence[Sysctl], report: Report) -> None:
    """Set in order those that differ. Raises OperatorError where one cannot be set."""
    for one, now in differing(wanted):
        write(one.key, one.value)
        report(f"sysctl {dotted(one.key)} {now} -> {one.value}")


def side_effects(key: str) -> dict[str, str]:
    """The present values of the sysctls that a change of `key` rewrites (nfxlat.plan.sysctls)."""
    family = {FORWARD4: "ipv4", FORWARD6: "ipv6"}.get(key)
    if family is None:
        return {}
    names = sorted(os.listdir(ROOT / "net" / family / "conf"))
    values = {other: read(other) for other in (f"net/{family}/conf/{name}/forwarding" for name in names)}
    return {other: value for other, value in values.items() if other != key and value is not None}


def restore(originals: dict[str, str], report: Report) -> None:
    """Put `originals` (in the order of their change) back, last first; what has vanished since is left alone.

    What rewrites others comes before all of these: some may have been noted when it was changed once more.
    Raises OperatorError for the first that cannot be, behind all others.
    """
    failures = []
    last_first = list(reversed(originals.items()))
    for key, value in sorted(last_first, key=lambda item: item[0] not in (FORWARD4, FORWARD6)):
        now = read(key)
        if now is not None and now != value:
            try:
                write(key, value)
            except OperatorError as error:
                failures.append(error)
                continue
            report(f"sysctl {dotted(key)} {now} -> {value}")
    if failures:
        raise failures[0]
