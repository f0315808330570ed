"""Whether the host's network managers are kept off a domain device, by snippets such as those in contrib/.

networkd has to be told two things: to leave the device alone, and routes that it has not made, since the unreachable
ones are no device's (networkd.conf(5), ManageForeignRoutes). Of its .network files the first one that matches an
interface decides, in the order of their names, a file in /etc taking the place of one of that name in /run or /usr/lib
(systemd.network(5)). NetworkManager adds all its files up (NetworkManager.conf(5)).
"""

import configparser
import os
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from nfxlat import files
from nfxlat.host import netns

ROOT = Path("/")
TRUE = ("1", "yes", "true", "on", "y", "t")  # systemd.syntax(7)
PLACES = ("usr/lib", "run", "etc")  # the last one wins


def unguarded(device: str) -> Iterator[tuple[str, str]]:
    """Name and remedy of each manager that runs in the calling thread's namespace and has no word on `device`."""
    if not _first_namespace():
        return
    if (ROOT / "run/systemd/netif/state").exists():
        lacking = [] if _networkd_told(device) else ["contrib/systemd/00-nfxlat.network to /etc/systemd/network"]
        if _networkd_manages_routes():
            lacking.append("contrib/systemd/networkd.conf.d/nfxlat.conf to /etc/systemd/networkd.conf.d")
        if lacking:
            yield "systemd-networkd", f"copy {' and '.join(lacking)}, then systemctl restart systemd-networkd"
    if (ROOT / "run/NetworkManager").exists() and not _network_manager_told(device):
        remedy = "copy contrib/NetworkManager/nfxlat.conf to /etc/NetworkManager/conf.d, then nmcli general reload conf"
        yield "NetworkManager", remedy


def _first_namespace() -> bool:
    """Managers look after the namespace that the machine has started with."""
    own = netns.own_inode()
    try:
        return os.stat("/proc/1/ns/net").st_ino == own
    except PermissionError:  # then one that has no name
        return own not in map(_inode, netns.RUN.glob("*"))


def _inode(path: Path) -> int:
    """0 of a namespace that has just gone."""
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return 0


def _files(directory: str, pattern: str) -> list[Path]:
    found = {path.name: path for place in PLACES for path in (ROOT / place / directory).glob(pattern)}
    return [path for _, path in sorted(found.items())]


def _networkd_told(device: str) -> bool:
    for path in _files("systemd/network", "*.network"):
        file = _read(path)
        names = file.get("Match", "Name", fallback="").split()
        if any(fnmatchcase(device, name) for name in names):
            return file.get("Link", "Unmanaged", fallback="no").lower() in TRUE
    return False


def _networkd_manages_routes() -> bool:
    """Those of others; the last file that says something decides, networkd.conf before all others."""
    told = "yes"
    for path in [ROOT / "etc/systemd/networkd.conf", *_files("systemd/networkd.conf.d", "*.conf")]:
        told = _read(path).get("Network", "ManageForeignRoutes", fallback="") or told
    return told.lower() in TRUE


def _network_manager_told(device: str) -> bool:
    for path in [ROOT / "etc/NetworkManager/NetworkManager.conf", *_files("NetworkManager/conf.d", "*.conf")]:
        file = _read(path)
        for key in ("unmanaged-devices", "unmanaged-devices+"):
            for spec in file.get("keyfile", key, fallback="").replace(",", ";").split(";"):
                kind, colon, name = spec.strip().rpartition(":")
                if (kind in ("interface-name", "") or not colon) and fnmatchcase(device, name.removeprefix("=")):
                    return True
    return False


def _read(path: Path) -> configparser.ConfigParser:
    """What can be read of it; keys keep their case."""
    file = configparser.ConfigParser(strict=False, interpolation=None, delimiters=("=",), allow_no_value=True)
    file.optionxform = lambda optionstr: optionstr  # type: ignore[method-assign]
    try:
        file.read_string(files.text(path, "replace"), str(path))
    except (OSError, configparser.Error):
        return configparser.ConfigParser()
    return file
