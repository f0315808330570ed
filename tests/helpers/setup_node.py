"""What tests of `--setup` share: domains, a node between an IPv4 host and nobody, and all that a set-up may touch.

v4 host 10.9.4.2 --- v4  [ node: Setup of siit0 ]  v6 --- (nobody) 2001:db8:9::/64
"""

import contextlib
import json
import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from nfxlat.host import device, netns
from nfxlat.lab.netns import Namespace, end_processes, link, wait_for
from nfxlat.queues import Queues
from nfxlat.service.setup import Setup
from nfxlat.terms import Role
from nfxlat.xlat.domain import Domain
from nfxlat.xlat.eamt import Eamt

DOMAIN = Domain(
    prefix6=IPv6Network("2001:db8:64::/96"),
    pool4=(IPv4Network("198.51.100.0/24"),),
    eamt=Eamt([(IPv4Network("203.0.113.2"), IPv6Network("2001:db8:2::2"))]),
    rfc6791_v4=(IPv4Network("203.0.113.240/28"),),
)

OTHER = Domain(
    prefix6=DOMAIN.prefix6,
    pool4=(IPv4Network("192.0.2.0/24"),),
    eamt=Eamt([(IPv4Network("203.0.113.7"), IPv6Network("2001:db8:2::7"))]),
)


@contextlib.contextmanager
def entered_node() -> Iterator[Namespace]:
    """The node, which the calling thread has entered; what a test leaves of `siit0` goes with it."""
    with Namespace("host") as host, Namespace("node") as node:
        link(node, "v4", host, "eth0")
        node.ip("address add 10.9.4.1/24 dev v4")
        host.ip("address add 10.9.4.2/24 dev eth0")
        host.ip("route add default via 10.9.4.1")
        node.ip("link add v6 type veth peer name v6p")
        node.ip("link set v6 up")
        node.ip("link set v6p up")
        node.ip("-6 address add 2001:db8:9::1/64 dev v6 nodad")
        node.wait_ready()
        with node.entered():
            leave_nothing()  # of a namespace that is gone, and had the same inode
            yield node
            leave_nothing()


def leave_nothing() -> None:
    device.remove_named("siit0")
    for left in Path("/run/nfxlat").glob(f"*-{netns.own_inode()}.json"):
        left.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # somebody else's files are in it, or it is gone
        Path("/run/nfxlat").rmdir()


def output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def ours() -> list[str]:
    """Routes of ours and all addresses of the device, as they stand."""
    routes = [output("ip", *family, "route", "show", "proto", "118") for family in ((), ("-6",))]
    return [*"".join(routes).splitlines(), *output("ip", "-o", "address", "show", "dev", "siit0").splitlines()]


@contextlib.contextmanager
def set_up() -> Iterator[None]:
    """With the domain set up in the node."""
    setup = made()
    setup.up()
    try:
        yield
    finally:
        setup.down()


@contextlib.contextmanager
def beside(node: Namespace, command: Sequence[str], log: Path, until: str) -> Iterator[Callable[[], str]]:
    """Another manager of networks, once it has said `until`; what it has said so far."""

    def said() -> str:
        return log.read_text(errors="replace")

    with log.open("wb") as out:
        process = node.popen(command, stdout=out, stderr=subprocess.STDOUT)
    try:
        wait_for(lambda: process.poll() is not None or until in said(), until, 60)
        assert process.poll() is None, said()
        yield said
    finally:
        end_processes([process], grace=0)  # `unshare --fork` passes no signal on
        node.processes.remove(process)


def snapshot() -> dict[str, object]:
    """All that Setup may touch, as text, in the calling thread's namespace."""
    inode = str(netns.own_inode())
    sysctls = {}
    for file in [*Path("/proc/sys/net/ipv4").rglob("*"), *Path("/proc/sys/net/ipv6").rglob("*")]:
        if file.is_file() and os.access(file, os.R_OK) and "stable_secret" not in file.name:
            sysctls[str(file)] = file.read_text()
    return {
        "routes": output("ip", "route", "show", "table", "all"),
        "routes6": output("ip", "-6", "route", "show", "table", "all"),
        "rules": output("nft", "list", "ruleset"),
        "links": [entry["ifname"] for entry in json.loads(output("ip", "-j", "link"))],
        "neighbours": output("ip", "neigh", "show", "proxy") + output("ip", "-6", "neigh", "show", "proxy"),
        "addresses": [line.partition(": ")[2] for line in output("ip", "-o", "address").splitlines()],
        "pinned": sorted(name for name in os.listdir("/run/netns") if inode in name),
        "states": sorted(path.name for path in Path("/run/nfxlat").glob(f"*{inode}*")),
        "sysctls": sysctls,
    }


def made(role: Role = "router", domain: Domain = DOMAIN, report: Callable[[str], None] = lambda line: None) -> Setup:
    return Setup(domain, queues=Queues(), role=role, report=report)
