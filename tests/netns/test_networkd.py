"""The real systemd-networkd beside `--setup`: what it takes where it is told nothing, and how our snippets keep it off.

v4 host 10.9.4.2 --- v4  [ node: Setup of siit0, systemd-networkd ]  v6 --- (nobody) 2001:db8:9::/64

It runs in the node's namespace with a /run/systemd of its own, without D-Bus.
"""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from setup_node import entered_node, made, output

from nfxlat.lab.netns import Namespace, end_processes, wait_for

NETWORKD = Path("/lib/systemd/systemd-networkd")
CONTRIB = Path(__file__).parents[2] / "contrib/systemd"
SNIPPETS = {
    "network/00-nfxlat.network": CONTRIB / "00-nfxlat.network",
    "networkd.conf.d/nfxlat.conf": CONTRIB / "networkd.conf.d/nfxlat.conf",
}
BEGIN = """
mount --make-rprivate / && mount -t tmpfs tmpfs /run/systemd && mount -o remount,bind,ro /sys || exit 1
mkdir -p /run/systemd/netif/links /run/systemd/netif/leases /run/systemd/netif/lldp
cp -r "$1"/* /run/systemd && chmod -R a+rX /run/systemd && chown -R systemd-network:systemd-network /run/systemd/netif
SYSTEMD_LOG_LEVEL=debug SYSTEMD_LOG_TARGET=console exec "$2"
"""

pytestmark = pytest.mark.skipif(not NETWORKD.exists(), reason="systemd-networkd is not installed")


@contextmanager
def present(folder: Path) -> Iterator[None]:
    """A folder to mount at, made where there is none."""
    made = not folder.exists()
    folder.mkdir(exist_ok=True)
    try:
        yield
    finally:
        if made:
            folder.rmdir()


@contextmanager
def networkd(node: Namespace, folder: Path, snippets: dict[str, Path]) -> Iterator[Path]:
    """It, once it has configured v6; its log. It has a file for v6, one for eth9, and one for all that none names."""
    networks = {
        "10-v6": "[Match]\nName=v6\n[Network]\nAddress=2001:db8:9::1/64\nIPv6AcceptRA=no\n",
        "10-eth9": "[Match]\nName=eth9\n[Network]\nAddress=2001:db8:19::1/64\nIPv6AcceptRA=no\n",
        "90-all": "[Match]\nName=siit*\n[Network]\nAddress=10.99.0.1/24\nIPv6AcceptRA=no\n",
    }
    (folder / "run/network").mkdir(parents=True)
    (folder / "run/networkd.conf.d").mkdir()
    for name, text in networks.items():
        (folder / f"run/network/{name}.network").write_text(text)
    for name, source in snippets.items():
        (folder / "run" / name).write_text(source.read_text())
    log = folder / "log"
    with present(Path("/run/systemd")):
        with log.open("wb") as out:
            command = ["unshare", "--mount", "sh", "-c", BEGIN, "sh", str(folder / "run"), str(NETWORKD)]
            process = node.popen(command, stdout=out, stderr=subprocess.STDOUT)
        try:
            configured = "v6: State changed: configuring -> configured"
            wait_for(lambda: configured in said(log), "networkd to configure v6", 30)
            yield log
        finally:
            end_processes([process], grace=5)
            node.processes.remove(process)


def said(log: Path) -> str:
    return log.read_text(errors="replace")


def ours() -> list[str]:
    """Routes and addresses of ours, as they stand."""
    routes = [output("ip", *family, "route", "show", "proto", "118") for family in ((), ("-6",))]
    return [*"".join(routes).splitlines(), output("ip", "-4", "-o", "address", "show", "dev", "siit0")]


@pytest.fixture
def node() -> Iterator[Namespace]:
    with entered_node() as node:
        yield node


def an_interface_comes(node: Namespace, log: Path) -> None:
    node.ip("link add eth9 type veth peer name eth9p")
    node.ip("link set eth9p up")
    wait_for(lambda: "eth9: State changed: configuring -> configured" in said(log), "networkd to configure eth9", 30)


def test_with_our_snippets_it_leaves_device_and_routes_alone(node: Namespace, tmp_path: Path) -> None:
    setup = made()
    setup.up()
    try:
        before = ours()
        with networkd(node, tmp_path, SNIPPETS) as log:
            an_interface_comes(node, log)
            assert "siit0: State changed: initialized -> unmanaged" in said(log)
            assert ours() == before
        assert ours() == before
    finally:
        setup.down()


def test_without_them_it_takes_unreachable_routes_when_an_interface_comes(node: Namespace, tmp_path: Path) -> None:
    setup = made()
    setup.up()
    try:
        before = ours()
        with networkd(node, tmp_path, {}) as log:
            wait_for(lambda: "siit0: State changed: configuring -> configured" in said(log), "it to meddle", 30)
            an_interface_comes(node, log)
            after = ours()
        assert any("unreachable" in line for line in before)
        assert not any("unreachable" in line for line in after)
        assert "10.99.0.1/24" in after[-1]
    finally:
        setup.down()
