"""Each setting that bounds the shipped units does by itself what it is there for: in one container, a service for each
with that setting alone tries what it forbids, and one without any may do all of it.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from systemd_container import UNITS, Container, container

from nfxlat.lab.netns import Namespace

pytestmark = pytest.mark.timeout(600)  # emulated, it takes minutes
PROBES = "/run/checkout/tests/helpers/setting_probes.py"
BOUNDS = "CapabilityBoundingSet"  # the first of them in each unit


class Row(NamedTuple):
    """`probe` ends with `refused` under the setting, and `spared` with "allowed"; `beside`: settings that it needs."""

    setting: str
    probe: str
    refused: str
    beside: tuple[str, ...] = ()
    spared: str = ""


FILTER = ("SystemCallArchitectures", "SystemCallErrorNumber")
ROWS = (
    Row("CapabilityBoundingSet", "chown", "EPERM"),
    Row("NoNewPrivileges", "new-privileges", "EACCES"),
    Row("RestrictAddressFamilies", "other-family", "EAFNOSUPPORT"),
    Row("RestrictNamespaces", "uts-namespace", "EPERM", spared="net-namespace"),
    Row("SystemCallArchitectures", "new-privileges", "allowed", spared="bpf"),
    Row("SystemCallFilter", "swap", "EPERM", FILTER, spared="new-privileges"),
    Row("SystemCallFilter", "affinity", "EPERM", FILTER),
    Row("SystemCallFilter", "keyring", "EPERM", FILTER),
    Row("SystemCallErrorNumber", "swap", "EPERM", ("SystemCallFilter",)),
    Row("MemoryDenyWriteExecute", "write-execute", "EPERM or EACCES"),  # by a filter; by prctl(2) since systemd 254
    Row("LockPersonality", "personality", "EPERM"),
    Row("RestrictRealtime", "realtime", "EPERM"),
    Row("RestrictSUIDSGID", "set-id", "EPERM"),
    Row("ProtectClock", "clock", "EPERM"),
    Row("ProtectHostname", "hostname", "EPERM"),
    Row("ProtectSystem", "usr", "EROFS"),
    Row("ProtectHome", "home", "EACCES"),
    Row("PrivateTmp", "tmp", "EACCES"),
    Row("ProtectControlGroups", "cgroups", "EROFS"),
    Row("ProtectKernelModules", "modules", "EPERM"),
    Row("ProtectKernelLogs", "kernel-log", "EPERM"),
    Row("DevicePolicy", "device", "EPERM", ("DeviceAllow",)),
    Row("DeviceAllow", "device", "EPERM", ("DevicePolicy",), spared="tun"),
    Row("UMask", "umask", "EACCES"),
    Row("IPAddressDeny", "datagram", "EPERM"),
)
UNPROVED = {"SystemCallArchitectures"}  # of a 64-bit program nothing changes; that its filter is there is told


def settings(unit: Path) -> dict[str, list[str]]:
    """Those that bound it, by name, as lines."""
    found: dict[str, list[str]] = {}
    lines = unit.read_text().partition("[Service]")[2].partition("[Install]")[0].splitlines()
    names = [line.partition("=")[0] for line in lines]
    for name, line in list(zip(names, lines, strict=True))[names.index(BOUNDS) :]:
        if line and not line.startswith("#"):
            found.setdefault(name, []).append(line)
    return found


def test_no_setting_is_without_a_row() -> None:
    known = {row.setting for row in ROWS}
    assert [sorted(settings(unit).keys() - known) for unit in UNITS] == [[], []]
    assert known == set().union(*(settings(unit) for unit in UNITS))


def rows() -> Iterator[tuple[str, Row, list[str]]]:
    """Each with the name of its service, and its lines as the unit has them."""
    for unit in UNITS:
        lines = settings(unit)
        for number, row in enumerate(ROWS):
            if row.setting in lines:
                mine = [line for name in (row.setting, *row.beside) for line in lines.get(name, [])]
                yield f"probe-{unit.stem.rstrip('@')}-{number}", row, mine


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    folder = tmp_path_factory.mktemp("settings")
    with Namespace("settings") as namespace, container(namespace, folder, "--queue 7") as up:
        yield up


@pytest.fixture(scope="module")
def said(up: Container) -> dict[str, dict[str, str]]:
    """By service: what each probe came to."""
    python = f"/run/python/bin/{Path(sys.executable).name}" if sys.prefix != sys.base_prefix else sys.executable
    services = {name: ([row.probe, *([row.spared] if row.spared else [])], lines) for name, row, lines in rows()}
    services["probe-bare"] = sorted({row.probe for row in ROWS}), []
    for name, (probes, lines) in services.items():
        body = ["[Unit]", "DefaultDependencies=no", "[Service]", "Type=oneshot", *lines]
        body += [f"StandardOutput=append:/run/test/{name}.out", "StandardError=inherit"]
        body += [f"ExecStart={python} {PROBES} {' '.join(probes)}"]
        (up.folder / "units" / f"{name}.service").write_text("\n".join(body) + "\n")
    up.systemctl("daemon-reload")
    up.systemctl("start", *(f"{name}.service" for name in services), check=False)
    found = {}
    for name in services:
        told = (up.folder / f"{name}.out").read_text()
        words = told.split()
        assert len(words) == 2 * len(told.splitlines()), told
        found[name] = dict(zip(words[::2], words[1::2], strict=True))
    return found


@pytest.mark.parametrize(("name", "row"), [(name, row) for name, row, _ in rows()], ids=lambda value: str(value))
def test_a_setting_forbids_by_itself_what_it_is_there_for(said: dict[str, dict[str, str]], name: str, row: Row) -> None:
    assert said[name][row.probe] in row.refused.split(" or ")
    assert said[name].get(row.spared, "allowed") == "allowed"
    if row.setting not in UNPROVED:
        assert said["probe-bare"][row.probe] != row.refused
