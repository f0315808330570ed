"""Traffic by rules that select what no route can: by the socket that sends it, and behind NAT.

host4 --- router4 --- translator --- router6 --- host6
"""

import contextlib
import errno
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from socket import SOCK_DGRAM

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import Raw

from nfxlat.lab.capture import Capture, send_packet
from nfxlat.lab.datagram import UdpEcho, exchange, icmp_error, path_mtu
from nfxlat.lab.netns import wait_for
from nfxlat.lab.probe import ping, traceroute
from nfxlat.lab.rules import example, offload_flows
from nfxlat.lab.topology import (
    HOST4,
    HOST4_6,
    HOST6,
    HOST6_4,
    HOST6_NARROW,
    HOST6_NARROW_4,
    HOST6_PREFIX,
    NARROW_MTU,
    ROUTER4,
    TRANSLATOR,
    Lab,
    in_prefix6,
)
from nfxlat.lab.transfer import ServerProcess, download, serving

pytestmark = pytest.mark.netns

STATEFUL = "type filter hook forward priority 0; policy drop; ct state established,related accept;"
STATEFUL = f"table inet fw {{ chain f {{ {STATEFUL} }}; }}"
PRIVATE4 = "192.168.255.2"  # what HOST6 is to NAT
PROBE = b"nfxlat probe"  # icmp_error
PAYLOAD = b"from behind one address"


@pytest.fixture
def shared(bare_lab: Lab) -> Iterator[Lab]:
    """host6 on the Internet as the translator's own address, 192.0.2.18."""
    with example(bare_lab, "masquerade", {'"eth0"': '"to-r4"'}):
        yield bare_lab


def test_ipv6_hosts_share_the_address_of_the_box(shared: Lab) -> None:
    lab = shared
    with Capture(lab.host4, "to-r4") as capture:
        assert lab.host6.call(ping, HOST4_6, HOST6).ok
        arrived = {socket.inet_ntoa(packet[12:16]) for packet in capture.drain() if packet[16:20] == b"\xc0\0\2\2"}
    assert arrived == {TRANSLATOR[0]}
    with UdpEcho(lab.host4, HOST4) as echo:
        assert lab.host6.call(exchange, HOST4_6, echo.port, 3000, HOST6).ok
    servers = [ServerProcess(lab.host4, 4 << 20), ServerProcess(lab.host6, 1 << 20)]
    try:
        server4, server6 = (server.ready() for server in servers)
        assert lab.host6.call(download, HOST4_6, server4, HOST6).intact
        # and a port of it leads to one of them
        leads = f'iifname "to-r4" tcp dport {server6.http} dnat to {PRIVATE4}'
        lab.translator.run(["nft", f"add rule ip shared dstnat {leads}"])
        assert lab.host4.call(download, TRANSLATOR[0], server6).intact
    finally:
        for server in servers:
            server.close()


def test_each_direction_takes_one_hop(shared: Lab) -> None:
    lab = shared
    with Capture(lab.host4, "to-r4") as capture:
        request = IPv6(src=HOST6, dst=HOST4_6, hlim=64) / UDP(sport=4000, dport=4001) / Raw(PAYLOAD)
        lab.host6.call(send_packet, bytes(request), HOST4_6)
        arrived = IP(capture.wait(lambda seen: PAYLOAD in seen))
    assert (arrived.src, arrived.ttl) == (TRANSLATOR[0], 64 - 3)
    with Capture(lab.host6, "to-r6") as capture:
        reply = IP(src=HOST4, dst=TRANSLATOR[0], ttl=64) / UDP(sport=4001, dport=arrived[UDP].sport) / Raw(PAYLOAD)
        lab.host4.call(send_packet, bytes(reply), TRANSLATOR[0])
        back = IPv6(capture.wait(lambda seen: PAYLOAD in seen and seen[:1] == b"\x60"))
    assert (back.src, back.dst, back.hlim, back[UDP].dport) == (HOST4_6, HOST6, 64 - 3, 4000)


def test_icmp_errors_find_their_way_through_nat(shared: Lab) -> None:
    lab = shared
    hops = [hop.address for hop in lab.host6.call(traceroute, HOST4_6, HOST6)]
    assert len(hops) == 4
    assert None not in hops
    assert hops[-1] == HOST4_6
    # the other way: host4's large replies meet the narrow link to host6, whose router says so
    with lab.host4.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((HOST4, 0))
        server.settimeout(5)
        server.setsockopt(socket.IPPROTO_IP, 10, 2)  # IP_MTU_DISCOVER, IP_PMTUDISC_DO (linux/in.h)
        with lab.host6.entered(), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as client:
            client.bind((HOST6, 0))
            client.settimeout(5)
            client.sendto(PAYLOAD, (HOST4_6, server.getsockname()[1]))
            _, sharing = server.recvfrom(100)
            lab.router6.ip(f"route replace {HOST6}/128 dev to-h6 mtu {NARROW_MTU}")
            server.connect(sharing)
            server.send(bytes(1440))
            wait_for(lambda: server.getsockopt(socket.IPPROTO_IP, 14) == NARROW_MTU - 20, "frag needed")  # IP_MTU
            assert server.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.EMSGSIZE
            server.send(bytes(NARROW_MTU - 20 - 28))
            assert len(client.recv(2000)) == NARROW_MTU - 20 - 28


def test_conntrack_keeps_what_nat_needs_and_a_stateful_firewall_is_content(shared: Lab) -> None:
    lab = shared
    lab.translator.run(["nft", STATEFUL])
    assert lab.host6.call(ping, HOST4_6, HOST6).ok
    assert not lab.host4.call(ping, PRIVATE4, count=1, timeout=0.3).ok


@pytest.mark.advice("flowtable")
@pytest.mark.parametrize("advised", [True, False])
def test_flow_offload_takes_replies_past_the_rule(shared: Lab, advised: bool) -> None:
    lab = shared
    if not offload_flows(lab.translator, 'oifname "siit0" accept' if advised else ""):
        print("no flow offload in this kernel (CONFIG_NFT_FLOW_OFFLOAD): nft refuses the flowtable")
        return
    with UdpEcho(lab.host4, HOST4) as echo, lab.host6.entered(), socket.socket(socket.AF_INET6, SOCK_DGRAM) as client:
        client.bind((HOST6, 0))
        client.settimeout(5.0 if advised else 0.5)
        client.connect((HOST4_6, echo.port))
        answered = 0
        with contextlib.suppress(TimeoutError):
            for _ in range(5):
                client.send(PAYLOAD)
                answered += client.recv(100) == PAYLOAD
        assert (answered == 5) == advised


CGROUP = '# ip daddr $pool4 socket cgroupv2 level 2 "system.slice/legacy.service"'


@pytest.fixture(scope="module")
def cgroup() -> Iterator[Path | None]:
    """A control group for the service of rules/xlat/users; None where this kernel or machine has none of version 2."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    places = [words[1] for words in mounts if words[2] == "cgroup2" and words[1].startswith("/sys/fs/cgroup")]
    if not places:
        print("no cgroup2 below /sys/fs/cgroup")
        yield None
        return
    made = Path(places[0], f"nfxlat-test-{os.getpid()}")
    made.mkdir()
    yield made
    wait_for(lambda: not (made / "cgroup.procs").read_text(), "the group is empty")
    made.rmdir()


@pytest.fixture(scope="module")
def users(shared_bare_lab: Lab, cgroup: Path | None) -> Iterator[Lab]:
    name = cgroup.relative_to("/sys/fs/cgroup") if cgroup else ""
    places = {CGROUP: f'ip daddr $pool4 socket cgroupv2 level 1 "{name}"'} if cgroup else {}
    with example(shared_bare_lab, "users", places):
        yield shared_bare_lab


def told_by(uid: int, function: Callable[[], str], group: Path | None = None) -> str:
    """What the function says in a process of this user, and of this control group."""
    ours, theirs = os.pipe()
    child = os.fork()
    if not child:
        try:
            if group is not None:
                (group / "cgroup.procs").write_text(str(os.getpid()))
            os.setuid(uid)
            os.write(theirs, function().encode())
        finally:
            os._exit(0)
    os.close(theirs)
    with os.fdopen(ours) as said:
        answer = said.read()
    os.waitpid(child, 0)
    return answer


def error_for(uid: int, group: Path | None = None) -> str:
    """What a datagram of user `uid` to a closed port of host6 brings back: the name of an errno."""
    return told_by(uid, lambda: icmp_error(HOST6_4, 9), group)


def test_one_user_is_translated_and_the_others_are_not(users: Lab) -> None:
    lab = users
    assert lab.translator.call(error_for, 1000) == "ECONNREFUSED"  # of host6
    assert lab.translator.call(error_for, 1001) == "EPERM"  # of the rule that rejects
    # with a route of their own the others stay with IPv4
    lab.translator.ip(f"route add {HOST6_4} via {ROUTER4[1]}")
    lab.router4.ip(f"address add {HOST6_4}/32 dev lo")
    try:
        assert lab.translator.call(error_for, 1001) == "ECONNREFUSED"
        with Capture(lab.translator, "to-r4") as ipv4, Capture(lab.translator, "to-r6") as ipv6:
            assert lab.translator.call(error_for, 1000) == "ECONNREFUSED"
            assert not any(PROBE in packet for packet in ipv4.drain())
            assert any(PROBE in packet for packet in ipv6.drain())
    finally:
        lab.router4.ip(f"address del {HOST6_4}/32 dev lo")
        lab.translator.ip(f"route del {HOST6_4} via {ROUTER4[1]}")


def test_a_user_s_traffic_crosses_both_ways_with_fragments_and_errors(users: Lab) -> None:
    lab = users

    def there() -> str:
        found = path_mtu(HOST6_NARROW_4, narrow.port)
        return f"{exchange(HOST6_4, wide.port, 3000).ok} {download(HOST6_4, server).intact} {found.mtu}"

    with (
        serving(lab.host6, 1 << 20) as server,
        UdpEcho(lab.host6, HOST6_PREFIX) as wide,
        UdpEcho(lab.host6, HOST6_NARROW) as narrow,
    ):
        assert lab.translator.call(told_by, 1000, there) == f"True True {NARROW_MTU - 20}"


def socket_of(uid: int) -> socket.socket:
    """A UDP socket of that user: what counts is who opened it (nft_meta.c, NFT_META_SKUID)."""
    os.seteuid(uid)
    try:
        return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    finally:
        os.seteuid(0)


def test_a_server_of_that_user_is_reached_and_another_s_answers_nobody(users: Lab) -> None:
    """Answers are translated as the one is whose socket sends them."""
    for uid, size, answers in ((1000, 100, True), (1000, 3000, True), (1001, 100, False)):
        with users.translator.entered(), socket_of(uid) as server:
            server.bind((TRANSLATOR[0], 0))
            port = server.getsockname()[1]
            with users.host6.entered(), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as client:
                client.bind((HOST6_PREFIX, 0))
                client.settimeout(5.0 if answers else 0.3)
                client.connect((in_prefix6(TRANSLATOR[0]), port))
                client.send(bytes(size))
                data, asker = server.recvfrom(65535)
                with contextlib.suppress(PermissionError):  # of the rule that rejects
                    server.sendto(data, asker)
                with contextlib.suppress(TimeoutError):
                    assert client.recv(65535) == data
                    assert answers
                    continue
            assert not answers


def test_a_service_is_translated_by_its_cgroup(users: Lab, cgroup: Path | None) -> None:
    if cgroup is not None:
        assert users.translator.call(error_for, 1001, cgroup) == "ECONNREFUSED"
        assert users.translator.call(error_for, 1001) == "EPERM"
