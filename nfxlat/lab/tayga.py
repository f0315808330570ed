"""TAYGA, the translator that nfxlat is compared with: where its binary is, and of which version."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

TAYGA_UNPACKED = Path(sys.prefix, "tayga")  # contrib/dev/prepare.sh


def tayga_binary() -> str | None:
    """Where TAYGA is, installed or unpacked; None where it is not."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin:{TAYGA_UNPACKED}/usr/sbin"
    return shutil.which("tayga", path=path)


def tayga_version() -> str:
    """As the distribution has it; "" where nobody knows."""
    noted = TAYGA_UNPACKED / "version"
    if noted.exists():
        return noted.read_text().strip()
    query = ["dpkg-query", "-W", "-f=${Version}", "tayga"]
    try:
        return subprocess.run(query, capture_output=True, text=True, timeout=10, check=False).stdout.strip()
    except OSError:
        return ""
