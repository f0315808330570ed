"""Network managers and the domain device: who runs, and whether a snippet keeps it off."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from nfxlat.host import managers, netns

CONTRIB = Path(__file__).parents[2] / "contrib"
NETWORKD, NETWORK_MANAGER = CONTRIB / "systemd/00-nfxlat.network", CONTRIB / "NetworkManager/nfxlat.conf"
ROUTES = CONTRIB / "systemd/networkd.conf.d/nfxlat.conf"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file system of its own, in which both managers run."""
    monkeypatch.setattr(managers, "ROOT", tmp_path)
    monkeypatch.setattr(managers, "_first_namespace", lambda: True)
    for directory in (
        "run/systemd/netif/state",
        "run/NetworkManager",
        "etc/systemd/network",
        "etc/systemd/networkd.conf.d",
        "usr/lib/systemd/network",
    ):
        (tmp_path / directory).mkdir(parents=True)
    (tmp_path / "etc/NetworkManager/conf.d").mkdir(parents=True)
    return tmp_path


def named(device: str = "siit0") -> list[str]:
    return [name for name, _ in managers.unguarded(device)]


def test_who_does_not_run_is_not_named(root: Path) -> None:
    assert named() == ["systemd-networkd", "NetworkManager"]
    (root / "run/systemd/netif/state").rmdir()  # systemd itself makes the directory
    (root / "run/NetworkManager").rmdir()
    assert named() == []


def test_the_snippets_of_contrib_keep_both_off_both_ends(root: Path) -> None:
    (root / "etc/systemd/network/00-nfxlat.network").write_text(NETWORKD.read_text())
    (root / "etc/systemd/networkd.conf.d/nfxlat.conf").write_text(ROUTES.read_text())
    (root / "etc/NetworkManager/conf.d/nfxlat.conf").write_text(NETWORK_MANAGER.read_text())
    assert named("siit0") == named("siit0p") == []
    assert named("siit1") == ["systemd-networkd", "NetworkManager"]


def test_the_remedies_name_files_that_exist(root: Path) -> None:
    remedies = [remedy for _, remedy in managers.unguarded("siit0")]
    files = [word for remedy in remedies for word in remedy.split() if word.startswith("contrib/")]
    assert len(files) == 3
    assert all((CONTRIB.parent / file).is_file() for file in files)


def test_networkd_is_told_of_routes_too(root: Path) -> None:
    (root / "etc/systemd/network/00-nfxlat.network").write_text(NETWORKD.read_text())
    assert "networkd.conf.d/nfxlat.conf" in dict(managers.unguarded("siit0"))["systemd-networkd"]
    assert "00-nfxlat.network" not in dict(managers.unguarded("siit0"))["systemd-networkd"]
    (root / "etc/systemd/networkd.conf").write_text("[Network]\nManageForeignRoutes=off\n")
    assert named() == ["NetworkManager"]
    (root / "etc/systemd/networkd.conf.d/10-all.conf").write_text("[Network]\nManageForeignRoutes=yes\n")
    assert named() == ["systemd-networkd", "NetworkManager"]
    (root / "etc/systemd/networkd.conf.d/nfxlat.conf").write_text(ROUTES.read_text())  # behind 10-all.conf
    (root / "etc/systemd/networkd.conf.d/nfxlat2.conf").write_text("[Network]\nManageForeignRoutingPolicyRules=yes\n")
    assert named() == ["NetworkManager"]


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("10-all.network", "[Match]\nName=*\n[Network]\nDHCP=yes\n", True),  # behind 00-nfxlat.network
        ("00-a.network", "[Match]\nName=e* siit?\n[Network]\nDHCP=yes\n", False),
        ("00-a.network", "[Match]\nName=e*\n", True),
        ("00-a.network", "no sections at all\n", True),
    ],
)
def test_the_first_file_of_networkd_that_matches_decides(root: Path, name: str, text: str, told: bool) -> None:
    (root / "etc/systemd/network/00-nfxlat.network").write_text(NETWORKD.read_text())
    (root / "etc/systemd/networkd.conf.d/nfxlat.conf").write_text(ROUTES.read_text())
    (root / "usr/lib/systemd/network" / name).write_text(text)
    assert ("systemd-networkd" not in named()) == told


@pytest.mark.parametrize(
    ("devices", "told"), [("interface-name:siit*", True), ("mac:02:00:00:00:00:01;siit0", True), ("driver:veth", False)]
)
def test_network_manager_is_told_by_name(root: Path, devices: str, told: bool) -> None:
    (root / "etc/NetworkManager/NetworkManager.conf").write_text(f"[keyfile]\nunmanaged-devices={devices}\n")
    assert ("NetworkManager" not in named()) == told


def test_a_name_of_a_namespace_that_goes_meanwhile_is_nobody_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the first process's is not to be seen."""
    real = os.stat

    def refused(path: Any, *more: Any, **words: Any) -> os.stat_result:
        if path == "/proc/1/ns/net":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return real(path, *more, **words)

    (tmp_path / "gone").symlink_to("nowhere")
    monkeypatch.setattr(netns, "RUN", tmp_path)
    monkeypatch.setattr(os, "stat", refused)
    assert managers._first_namespace()
    (tmp_path / "ours").symlink_to("/proc/thread-self/ns/net")
    assert not managers._first_namespace()


def test_managers_of_the_machine_do_not_look_after_other_namespaces(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(managers, "_first_namespace", lambda: False)
    assert named() == []
