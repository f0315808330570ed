"""The real systemd-networkd beside `--setup`: what it takes where it is told nothing, and how our snippets keep it off.

v4 host 10.9.4.2 --- v4  [ node: Setup of siit0, systemd-networkd ]  v6 --- (nobody) 2001:db8:9::/64

It runs in the node's namespace with a /run of its own, without D-Bus.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from setup_node import beside, entered_node, ours, set_up

from nfxlat.lab.netns import Namespace, wait_for

NETWORKD = Path("/lib/systemd/systemd-networkd")
CONTRIB = Path(__file__).parents[2] / "contrib/systemd"
SNIPPETS = {
    "network/00-nfxlat.network": CONTRIB / "00-nfxlat.network",
    "networkd.conf.d/nfxlat.conf": CONTRIB / "networkd.conf.d/nfxlat.conf",
}
BEGIN = """
mount --make-rprivate / && mount -t tmpfs tmpfs /run && mount -o remount,bind,ro /sys || exit 1
mkdir -p /run/systemd/netif/links /run/systemd/netif/leases /run/systemd/netif/lldp
cp -r "$1"/* /run/systemd && chmod -R a+rX /run/systemd && chown -R systemd-network:systemd-network /run/systemd/netif
SYSTEMD_LOG_LEVEL=debug SYSTEMD_LOG_TARGET=console exec "$2"
"""

pytestmark = pytest.mark.skipif(not NETWORKD.exists(), reason="systemd-networkd is not installed")


@contextmanager
def networkd(node: Namespace, folder: Path, snippets: dict[str, Path]) -> Iterator[Callable[[], str]]:
    """It, once it has configured v6; what it has said. It has files for v6, for eth9, and for all that none names."""
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
    command = ["unshare", "--mount", "sh", "-c", BEGIN, "sh", str(folder / "run"), str(NETWORKD)]
    configured = "v6: State changed: configuring -> configured"
    with beside(node, command, folder / "log", configured) as said:
        yield said


@pytest.fixture
def node() -> Iterator[Namespace]:
    with entered_node() as node:
        yield node


def an_interface_comes(node: Namespace, said: Callable[[], str]) -> None:
    node.ip("link add eth9 type veth peer name eth9p")
    node.ip("link set eth9p up")
    wait_for(lambda: "eth9: State changed: configuring -> configured" in said(), "networkd to configure eth9", 30)


def test_with_our_snippets_it_leaves_device_and_routes_alone(node: Namespace, tmp_path: Path) -> None:
    with set_up():
        before = ours()
        with networkd(node, tmp_path, SNIPPETS) as said:
            an_interface_comes(node, said)
            assert "siit0: State changed: initialized -> unmanaged" in said()
            assert ours() == before
        assert ours() == before


def test_without_them_it_takes_unreachable_routes_when_an_interface_comes(node: Namespace, tmp_path: Path) -> None:
    with set_up():
        before = ours()
        with networkd(node, tmp_path, {}) as said:
            wait_for(lambda: "siit0: State changed: configuring -> configured" in said(), "it to meddle", 30)
            an_interface_comes(node, said)
            wait_for(lambda: not any("unreachable" in line for line in ours()), "it to take the routes")
            assert any("10.99.0.1/24" in line for line in ours())
        assert any("unreachable" in line for line in before)
