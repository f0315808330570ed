"""What this process may do, asked before anything is changed, so that a lack is one line and not half a set-up."""

import re
from pathlib import Path

from nfxlat.errors import OperatorError

CAPABILITIES = {"CAP_NET_ADMIN": 12, "CAP_NET_RAW": 13, "CAP_SYS_ADMIN": 21}  # linux/capability.h


def missing(*names: str) -> list[str]:
    """Those of the capabilities `names` that are not effective in this process."""
    status = Path("/proc/self/status").read_text()
    match = re.search(r"^CapEff:\s*([0-9a-f]+)$", status, re.MULTILINE)
    effective = int(match[1], 16) if match else 0
    return [name for name in names if not effective >> CAPABILITIES[name] & 1]


def require(*names: str, what: str) -> None:
    """Raise OperatorError naming the capabilities that `what` ("--setup") lacks."""
    if lacking := missing(*names):
        raise OperatorError(f"{what} needs {' and '.join(lacking)}", hint="run as root")
