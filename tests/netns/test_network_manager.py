"""The real NetworkManager beside `--setup`: what it does where it is told nothing, and how our snippet keeps it off.

v4 host 10.9.4.2 --- v4  [ node: Setup of siit0, NetworkManager ]  v6 --- (nobody) 2001:db8:9::/64

It runs in the node's namespace with a /run and a D-Bus of its own. contrib/dev/network-manager.sh unpacks it where it
is not installed.
"""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from setup_node import beside, entered_node, ours, set_up

from nfxlat.lab.netns import Namespace, wait_for

ROOT = Path(__file__).parents[2]
SNIPPET = ROOT / "contrib/NetworkManager/nfxlat.conf"
BUS = """\
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>unix:path=/run/dbus/system_bus_socket</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_destination="*"/><allow receive_sender="*"/>
</policy></busconfig>
"""
SETTINGS = "[main]\nplugins=keyfile\ndhcp=internal\ndns=none\nauth-polkit=false\nsystemd-resolved=false\n"
BEGIN = """
mount --make-rprivate / && mount -t tmpfs tmpfs /run && mount -t tmpfs tmpfs /var/lib || exit 1
mount -o remount,bind,ro /sys && mkdir -p /run/dbus /var/lib/NetworkManager /run/test || exit 1
cp -r "$1"/* /run/test || exit 1
LD_LIBRARY_PATH=$(echo "$2"/usr/lib/*-linux-gnu) PATH=$2/usr/bin:$PATH
export LD_LIBRARY_PATH PATH
dbus-daemon --config-file=/run/test/bus.conf --nofork &
bus=$!
until [ -S /run/dbus/system_bus_socket ]; do kill -0 $bus || exit 1; sleep 0.05; done
at=/run/test
exec "$2/usr/sbin/NetworkManager" --debug --config=$at/nm.conf --config-dir=$at/conf.d --system-config-dir=$at/lib \
    --intern-config=$at/intern.conf --state-file=$at/state --pid-file=$at/pid
"""


def folder_of_manager() -> str:
    found = subprocess.run(
        ["sh", str(ROOT / "contrib/dev/network-manager.sh"), "find"], capture_output=True, text=True, check=False
    )
    if found.returncode:
        pytest.skip(found.stderr.strip())
    return found.stdout.strip().rstrip("/")


@contextmanager
def network_manager(node: Namespace, folder: Path, *snippets: Path) -> Iterator[Callable[[], str]]:
    """It, once it has looked at all interfaces; what it has said."""
    settings = folder / "settings"
    (settings / "conf.d").mkdir(parents=True)
    (settings / "bus.conf").write_text(BUS)
    (settings / "nm.conf").write_text(SETTINGS)
    for snippet in snippets:
        (settings / "conf.d" / snippet.name).write_text(snippet.read_text())
    command = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", BEGIN, "sh", str(settings)]
    command.append(folder_of_manager())
    with beside(node, command, folder / "log", "device (eth9): Activation: starting") as said:
        yield said


@pytest.fixture
def node() -> Iterator[Namespace]:
    """With an interface that it is to manage."""
    folder_of_manager()
    with entered_node() as node:
        node.ip("link add eth9 type veth peer name eth9p")
        node.ip("link set eth9 up")
        node.ip("link set eth9p up")
        yield node


def test_with_our_snippet_it_leaves_the_device_alone(node: Namespace, tmp_path: Path) -> None:
    with set_up():
        before = ours()
        with network_manager(node, tmp_path, SNIPPET) as said:
            assert "device (siit0): state change" not in said()
            assert ours() == before
        assert ours() == before


def test_without_it_begins_to_configure_the_device(node: Namespace, tmp_path: Path) -> None:
    with set_up():
        before = ours()
        with network_manager(node, tmp_path) as said:
            wait_for(lambda: "device (siit0): Activation: starting connection" in said(), "it to meddle", 60)
            wait_for(lambda: ours() != before, "an address of its own", 60)
