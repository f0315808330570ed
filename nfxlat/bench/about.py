"""Where and with what a run was made, for its report."""

from __future__ import annotations

import contextlib
import datetime
import importlib.metadata
import os
import platform
import shutil
import subprocess
from pathlib import Path

from nfxlat import __version__
from nfxlat.lab.tayga import tayga_binary, tayga_version


def machine() -> dict[str, str]:
    """Processor, memory, kernel, distribution."""
    processors = [line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    memory = next((int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), 0)
    name = {"PRETTY_NAME": "unknown"}
    with contextlib.suppress(OSError):
        name = platform.freedesktop_os_release()
    return {
        "processor": f"{os.cpu_count()} x {processors[0] if processors else platform.machine()}",
        "memory": f"{memory / (1 << 20):.1f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "distribution": name["PRETTY_NAME"],
        "load before": " ".join(f"{load:.2f}" for load in os.getloadavg()),
    }


def versions() -> dict[str, str]:
    """Of all that has a part in it; what is not installed is left out."""
    found = {"nfxlat": __version__, "python": platform.python_version()}
    for package in ("pyroute2", "netfilterqueue"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    for package in ("tayga", "nftables", "iproute2"):
        if version := _package(package):
            found[package] = version
    if "tayga" not in found and tayga_binary():
        found["tayga"] = tayga_version() or "of unknown version"
    return found


def date() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(" ", "minutes")


def _package(name: str) -> str:
    """The version of a Debian package; "" where it is not installed."""
    if shutil.which("dpkg-query") is None:
        return ""
    done = subprocess.run(
        ["dpkg-query", "-W", "-f=${db:Status-Status} ${Version}", name], capture_output=True, text=True, check=False
    )
    status, _, version = done.stdout.partition(" ")
    return version if status == "installed" else ""


def _lines(path: str) -> list[str]:
    with contextlib.suppress(OSError):
        return Path(path).read_text().splitlines()
    return []
