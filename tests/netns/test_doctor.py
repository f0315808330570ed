"""`nfxlat doctor`: it tells what is so, changes nothing unless told to, and puts back what it was told to change.

client 10.9.1.2 --- in [ node ] out --- server 10.9.2.2
"""

import json
import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any

import pytest
from link_sizes import allow
from set_up import start

from nfxlat.datapath.nfqueue import NetlinkQueue
from nfxlat.host import offload
from nfxlat.host.udp_superframes import takes_udp_superframes
from nfxlat.lab.leftovers import remove_remains
from nfxlat.lab.netns import Namespace, link
from nfxlat.nft.kernel import load
from nfxlat.queues import Queues
from nfxlat.service import domains
from nfxlat.service.setup import Setup
from nfxlat.wire.nfqueue import SKB_GSO
from nfxlat.wire.stamp import gso_size_of, is_udp
from nfxlat.xlat.domain import Domain

pytestmark = pytest.mark.netns

DOMAIN = Domain(prefix6=IPv6Network("2001:db8:64::/96"), pool4=(IPv4Network("198.51.100.0/24"),))
SIZE = 36  # octets of payload of a 64-octet packet


@pytest.fixture
def node() -> Iterator[Namespace]:
    with Namespace("client") as client, Namespace("node") as node:
        link(client, "eth0", node, "in")
        client.ip("address add 10.9.1.2/24 dev eth0")
        client.ip("route add default via 10.9.1.1")
        node.ip("address add 10.9.1.1/24 dev in")
        node.ip("link add bare type veth peer name bare2")
        node.ip("link set bare up")
        node.ip("link set bare2 up")
        for namespace in (client, node):
            namespace.wait_ready()
        node.sysctl("net.ipv4.conf.all.rp_filter", 0)
        node.sysctl("net.ipv4.conf.in.rp_filter", 0)
        node.sysctl("net.ipv4.ip_forward", 0)
        try:
            yield node
        finally:
            remove_remains(node.inode)


@pytest.fixture
def client(node: Namespace) -> Namespace:
    return Namespace("client")  # by name only: `node` made it and removes it


def doctor(node: Namespace, *arguments: str, prefix: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run inside `node`, its own /sys mounted as `ip netns exec` does."""
    command = ["ip", "netns", "exec", node.name, *prefix, sys.executable, "-m", "nfxlat", "doctor", *arguments]
    return node.run(command, check=False, timeout=90)


def findings(node: Namespace, *, prefix: tuple[str, ...] = ()) -> dict[str, dict[str, str]]:
    """What it says, by subject."""
    done = doctor(node, "--json", prefix=prefix)
    result: dict[str, Any] = json.loads(done.stdout)
    assert done.stderr == ""
    assert result["ok"] == (done.returncode == 0)
    return {finding["what"]: finding for finding in result["findings"]}


def snapshot(node: Namespace) -> dict[str, Any]:
    inode = str(node.inode)
    return {
        "links": node.ip("-d link show"),
        "addresses": node.ip("address show"),
        "routes": node.ip("route show table all"),
        "rules": node.run(["nft", "list", "ruleset"]).stdout,
        "sysctls": [node.sysctl(key) for key in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding")],
        "pinned": sorted(name for name in os.listdir("/run/netns") if inode in name),
        "states": sorted(path.name for path in Path("/run/nfxlat").glob(f"*{inode}*")),
        "settings": settings(node),
    }


def settings(node: Namespace) -> dict[str, dict[str, str]]:
    shown = json.loads(doctor(node, "--tune", "in", "bare", "--json").stdout)["interfaces"]
    return {one["name"]: one["settings"] for one in shown}


def test_a_sound_host_can_run_and_nothing_is_changed(node: Namespace) -> None:
    before = snapshot(node)
    found = findings(node)
    assert snapshot(node) == before
    for what in ("privileges", "NFQUEUE", "nftables", "queue rule", "veth"):
        assert found[what]["state"] == "ok", found[what]
    assert not {finding["state"] for finding in found.values()} & {"fatal", "missing", "unknown"}


def test_what_the_kernel_can_is_what_a_set_up_gets(node: Namespace) -> None:
    found = findings(node)
    with node.entered():
        udp = takes_udp_superframes()
        setup = Setup(DOMAIN, queues=Queues(), role="router", report=lambda line: None, udp_superframes=udp)
        setup.up()
        try:
            assert setup.stamp is not None
            assert found["queue rule"]["found"].split()[0] == setup.rules.path
            assert found["stamp of gso_size"]["found"] == f"by {setup.stamp.how}"
            assert (found["UDP superframes"]["state"] == "ok") == setup.stamp.udp
        finally:
            setup.down()


def test_the_table_says_what_json_says(node: Namespace) -> None:
    done = doctor(node)
    assert done.returncode == 0
    text = " ".join(done.stdout.split())
    for what, finding in findings(node).items():
        assert what in text
        assert finding["state"] in text
    assert text.endswith("nfxlat can run here")


def test_without_capabilities_it_cannot_run_and_says_so(node: Namespace) -> None:
    found = findings(node, prefix=("setpriv", "--bounding-set", "-all", "--inh-caps", "-all"))
    assert found["privileges"]["state"] == "fatal"
    assert found["privileges"]["found"] == "lacks CAP_NET_ADMIN, CAP_NET_RAW"
    assert found["kernel"]["state"] == "unknown"


def test_forwarding_and_rp_filter_are_told(node: Namespace) -> None:
    assert findings(node)["IPv4 forwarding"]["found"] == "net.ipv4.ip_forward=0"
    assert findings(node)["rp_filter"]["found"] == "off or loose"
    node.sysctl("net.ipv4.ip_forward", 1)
    node.sysctl("net.ipv4.conf.in.rp_filter", 1)
    found = findings(node)
    assert found["IPv4 forwarding"]["state"] == "ok"
    assert found["rp_filter"]["found"] == "strict on in"


def test_ipv6_that_is_switched_off_is_told(node: Namespace) -> None:
    assert "IPv6" not in findings(node)
    node.sysctl("net.ipv6.conf.in.disable_ipv6", 1)
    found = findings(node)["IPv6"]
    assert (found["state"], found["found"]) == ("note", "switched off on in")
    node.sysctl("net.ipv6.conf.all.disable_ipv6", 1)
    found = findings(node)["IPv6"]
    assert found["state"] == "missing"
    assert found["found"].startswith("switched off on all interfaces: in, bare")
    assert found["remedy"].startswith("sysctl -w net.ipv6.conf.in.disable_ipv6=0, ")


@pytest.mark.parametrize(("mount", "found"), [("ro", "read-only"), ("nr_inodes=1", "full")])
def test_run_that_cannot_be_written_is_told_by_both(node: Namespace, mount: str, found: str) -> None:
    """By doctor before, and by who is started all the same; and what to do is not to become root."""
    room = f'mount -t tmpfs -o {mount} tmpfs /run && exec "$0" "$@"'
    in_room = ("unshare", "--mount", "sh", "-c", room)
    told = findings(node, prefix=in_room)["/run"]
    assert (told["state"], told["found"]) == ("missing", found)
    for command in (["run", "--setup"], ["run"], ["domain", "add"]):
        words = ["siit0", "prefix6", "2001:db8:64::/96"] if command[0] == "domain" else PLAIN
        done = node.run([*in_room, sys.executable, "-m", "nfxlat", *command, *words], check=False)
        (line,) = [one for one in done.stderr.splitlines() if one.startswith("nfxlat: ")]
        assert "/run" in line
        assert "root" not in line
        assert line.endswith(told["remedy"])


def test_big_tcp_is_told_with_a_command_that_ends_it(node: Namespace) -> None:
    assert "BIG TCP on in" not in findings(node)
    node.ip("link set dev in gro_max_size 130000")
    found = findings(node)["BIG TCP on in"]
    assert found["state"] == "note"
    assert "130000" in found["found"]
    node.ip(found["remedy"].removeprefix("ip ").partition(" (")[0])
    assert "BIG TCP on in" not in findings(node)


def test_big_tcp_of_ipv4_alone_is_told_and_ended_by_the_same_command(node: Namespace) -> None:
    if not allow(node, "in", 130000):
        pytest.skip("the kernel has no IPv4 BIG TCP")
    node.ip("link set dev in gso_max_size 65536")
    remedy = findings(node)["BIG TCP on in"]["remedy"]
    node.ip(remedy.removeprefix("ip ").partition(" (")[0])
    assert "BIG TCP on in" not in findings(node)


def test_queues_in_use_are_told_with_their_holder(node: Namespace) -> None:
    assert "queues in use" not in findings(node)
    with node.entered(), closing(NetlinkQueue(7, superframes=False)):
        assert f" (pid {os.getpid()})" in findings(node)["queues in use"]["found"]


def test_a_domain_that_runs_and_one_that_was_killed_are_told_apart(node: Namespace) -> None:
    process = start(node, "router")
    assert findings(node)["domain siit0"]["found"] == "set up and running"
    process.kill()
    process.wait()
    left = findings(node)["domain siit0"]
    assert (left["state"], left["found"]) == ("warning", "left by a run that was killed")
    with node.entered():
        setup = Setup(DOMAIN, queues=Queues(), role="router", report=lambda line: None)
        setup.up()
        setup.down()
    assert "domain siit0" not in findings(node)


FORWARD = "table inet fw { chain f { type filter hook forward priority 0; policy drop; }; }"
PLAIN = ("--prefix6", "2001:db8:64::/96", "--pool4", "198.51.100.0/24")


def test_a_domain_that_runs_is_judged_as_its_set_up_was(node: Namespace) -> None:
    with node.entered():
        load.run(FORWARD)
        lines: list[str] = []
        setup = Setup(DOMAIN, queues=Queues(), role="router", report=lines.append)
        setup.up()
        setup.stamp.close() if setup.stamp is not None else None
        node.ip("rule add pref 100 blackhole")
        found = findings(node)
        (told,) = [line for line in lines if "[forward-drop]" in line]
        where, judged = next((what, one) for what, one in found.items() if "[forward-drop]" in one["found"])
        assert judged["state"] == "warning"
        assert told == f"warning: {where}: {judged['found']}: {judged['meaning']}; {judged['remedy']}"
        assert found["ip rule 100"]["state"] == "warning"
        setup.down()
    assert "ip rule 100" not in findings(node), "no domain is here"


def test_a_domain_that_is_still_to_be_set_up_is_judged(node: Namespace) -> None:
    def states(*arguments: str) -> dict[str, str]:
        done = doctor(node, "--json", *PLAIN, *arguments)
        return {one["what"]: one["state"] for one in json.loads(done.stdout)["findings"]}

    assert "address 198.51.100.7" not in states()
    node.ip("address add 198.51.100.7/28 dev in")
    node.ip("rule add pref 100 blackhole")
    first = states()
    assert (first["address 198.51.100.7"], first["ip rule 100"]) == ("missing", "warning")
    assert states("--model", "device")["ip rule 100"] == "missing"
    assert "the host role needs an EAM" in doctor(node, *PLAIN, "--role", "host").stderr
    assert "address 198.51.100.7" not in findings(node)


def test_an_added_domain_is_judged_too(node: Namespace) -> None:
    with node.entered():
        domains.add(DOMAIN, "hook", lambda line: None)
        node.ip("address add 198.51.100.7/28 dev in")
        assert findings(node)["address 198.51.100.7"]["state"] == "missing"
        domains.delete("siit0", lambda line: None)


def test_tune_changes_nothing_until_told_and_undo_puts_everything_back(node: Namespace) -> None:
    before = settings(node)
    assert before["in"]["rx-gro"] == "off"
    assert doctor(node, "--tune").returncode == 0
    assert settings(node) == before
    node.run(["ip", "netns", "exec", node.name, "sh", "-c", "echo 7000 > /sys/class/net/in/gro_flush_timeout"])
    before = settings(node)

    applied = doctor(node, "--tune", "--apply")
    assert applied.returncode == 0
    assert "in gro_flush_timeout 7000 -> 50000" in applied.stdout.splitlines()
    tuned = settings(node)
    assert tuned["in"] == offload.FEATURES | offload.TIMERS
    assert tuned["bare"] == before["bare"], "it has no address"
    found = findings(node)
    assert found["GRO of in"]["state"] == "ok"
    assert found["tuning"]["state"] == "note"

    assert "nothing to change" in doctor(node, "--tune", "--apply").stderr
    assert doctor(node, "--tune", "bare", "--apply").returncode == 0
    assert settings(node)["bare"] == offload.FEATURES | offload.TIMERS

    assert doctor(node, "--tune", "--undo").returncode == 0
    assert settings(node) == before
    assert "tuning" not in findings(node)
    assert not list(Path("/run/nfxlat").glob(f"{offload.STATE}-{node.inode}*"))
    assert "nothing to change" in doctor(node, "--tune", "--undo").stderr


def test_ports_of_a_bridge_that_has_the_address_are_shown(node: Namespace) -> None:
    node.ip("link add br0 type bridge")
    node.ip("address flush dev in")
    node.ip("link set in master br0")
    node.ip("address add 10.9.5.1/24 dev br0")
    node.ip("link set br0 up")
    shown = [one["name"] for one in json.loads(doctor(node, "--tune", "--json").stdout)["interfaces"]]
    assert "in" in shown
    assert "bare" not in shown
    node.ip("link set in nomaster")
    assert "in" not in [one["name"] for one in json.loads(doctor(node, "--tune", "--json").stdout)["interfaces"]]


def test_undo_forgets_interfaces_that_are_gone(node: Namespace) -> None:
    assert doctor(node, "--tune", "in", "bare", "--apply").returncode == 0
    node.ip("link del bare")
    assert doctor(node, "--tune", "--undo").returncode == 0
    assert json.loads(doctor(node, "--tune", "in", "--json").stdout)["interfaces"][0]["settings"]["rx-gro"] == "off"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--apply",), "--apply, --undo: needs --tune"),
        (("--tune", "--apply", "--undo"), "--apply, --undo: cannot be combined"),
        (("--tune", "in", "--undo"), "--undo: takes no device"),
        (("--tune", "nosuch"), "nosuch: no such interface"),
    ],
)
def test_mistakes_are_one_line(node: Namespace, arguments: tuple[str, ...], told: str) -> None:
    done = doctor(node, *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith(f"nfxlat: {told}")
    assert len(done.stderr.splitlines()) == 1


@contextmanager
def blasting(client: Namespace, flows: int) -> Iterator[None]:
    """`flows` senders' 64-octet packets to a translated address, as fast as one thread can."""
    stop = threading.Event()
    with ExitStack() as stack:
        with client.entered():
            senders = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(flows)]

        def blast() -> None:
            for sender in senders:
                sender.connect(("198.51.100.9", 4000))
            while not stop.is_set():
                for sender in senders:
                    sender.send(bytes(SIZE))

        thread = threading.Thread(target=blast)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


def coalesced(node: Namespace, client: Namespace, wanted: int) -> tuple[int, int]:
    """(datagrams that came in superframes, all datagrams) of about `wanted`."""
    with node.entered():
        queue = NetlinkQueue(8, superframes=True)
    within = seen = 0
    deadline = time.monotonic() + 60
    with closing(queue), blasting(client, 4):
        while seen < wanted:
            assert select.select([queue], [], [], max(0.0, deadline - time.monotonic()))[0], f"{seen} of {wanted}"
            for _, length, priority, kind in queue.receive():
                assert is_udp(priority)
                count = (length - 28) // SIZE
                seen += count
                if kind.skb_info & SKB_GSO:
                    within += count
                    assert gso_size_of(priority) == SIZE
            queue.conclude(())
    return within, seen


def test_tuned_interfaces_hand_over_udp_superframes(node: Namespace, client: Namespace) -> None:
    with node.entered():
        setup = Setup(DOMAIN, queues=Queues(), role="router", report=lambda line: None, udp_superframes=True)
        setup.up()
    try:
        assert coalesced(node, client, 5000)[0] == 0
        assert doctor(node, "--tune", "in", "--apply").returncode == 0
        within, seen = coalesced(node, client, 20000)
        assert within > seen // 2
        assert doctor(node, "--tune", "--undo").returncode == 0
        assert coalesced(node, client, 5000)[0] == 0
    finally:
        with node.entered():
            setup.down()
            assert "nfxlat" not in load.run("list tables")
