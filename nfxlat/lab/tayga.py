"""TAYGA, the translator that nfxlat is compared with: where its binary is, of which version, and how it is started."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from nfxlat.errors import OperatorError
from nfxlat.host.tun import QUEUE_LENGTH
from nfxlat.lab.netns import Namespace, wait_for

DEVICE = "tayga0"
MISSING = "TAYGA is not installed; contrib/test unpacks Debian's package"
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


def started(
    namespace: Namespace, folder: Path, configuration: str, networks: Sequence[str], mtu: int = 1500
) -> subprocess.Popen[str]:
    """At its TUN `DEVICE`, into which `networks` are routed; it ends with its namespace. `configuration`: tayga.conf
    but for the device. Raises OperatorError where it does not get that far."""
    binary, file = tayga_binary(), folder / "tayga.conf"
    if binary is None:
        raise OperatorError(MISSING, where="tayga")
    file.write_text(f"tun-device {DEVICE}\n{configuration}")
    made = namespace.run([binary, "--config", str(file), "--mktun"], check=False)
    if made.returncode:
        said = (made.stderr or made.stdout).strip().splitlines() or [f"ended with status {made.returncode}"]
        raise OperatorError(said[-1], where="tayga --mktun")
    namespace.ip(f"link set {DEVICE} up mtu {mtu} addrgenmode none txqueuelen {QUEUE_LENGTH}")
    namespace.ip_batch([f"route add {network} dev {DEVICE}" for network in networks])
    daemon = namespace.popen(
        [binary, "--config", str(file), "--nodetach"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_for(lambda: daemon.poll() is not None or "LOWER_UP" in namespace.ip(f"link show {DEVICE}"), "TAYGA at its TUN")
    if daemon.poll() is not None:
        raise OperatorError(f"ended with status {daemon.returncode}", where="tayga")
    return daemon
