"""The lab's own promises: its probes tell failure from success over plain forwarding, and it leaves nothing behind."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import hold_lab
import pytest

from nfxlat.lab import capture, datagram, leftovers, probe, transfer
from nfxlat.lab.netns import Namespace, link, signals_deferred, wait_for
from nfxlat.lab.topology import (
    DEAD4,
    DEAD6,
    HOST4,
    HOST4_NARROW,
    HOST6,
    HOST6_NARROW,
    HOST6_PREFIX,
    PLAIN_HOST6,
    ROUTER4,
    TRANSLATOR,
    Lab,
)
from nfxlat.wire.checksum import internet_checksum

CLOSED = 9


@pytest.fixture(scope="module")
def plain() -> Iterator[Lab]:
    """The lab with IPv4 forwarded from end to end by the kernel alone."""
    with Lab() as lab, lab.plain_ipv4():
        yield lab


def filter_in(namespace: Namespace, rule: str, hook: str = "output") -> None:
    """Drop what `rule` matches at the namespace's `hook`."""
    namespace.run(["nft", f"add table inet f; add chain inet f o {{ type filter hook {hook} priority 0; }}"])
    namespace.run(["nft", f"add rule inet f o {rule} drop"])


@pytest.fixture
def no_filter(plain: Lab) -> Iterator[None]:
    yield
    for namespace in plain.namespaces.values():
        namespace.run(["nft", "add table inet f; delete table inet f"])


# echo and traceroute


def test_ping_counts_every_reply(plain: Lab) -> None:
    echo = plain.host4.call(probe.ping, PLAIN_HOST6, HOST4, count=2)
    assert echo.ok
    assert len(echo.rtts) == 2
    assert plain.host6.call(probe.ping, TRANSLATOR[1], HOST6_PREFIX, count=1).ok


def test_ping_to_a_dead_host_fails(plain: Lab) -> None:
    assert not plain.host4.call(probe.ping, "192.0.2.9", count=1, timeout=0.2).ok
    assert not plain.host6.call(probe.ping, DEAD6, count=1, timeout=0.2).ok


def test_traceroute_lists_every_hop_and_then_the_host(plain: Lab) -> None:
    hops = plain.host4.call(probe.traceroute, PLAIN_HOST6)
    assert [hop.address for hop in hops] == [ROUTER4[0], TRANSLATOR[0], "198.18.0.2", PLAIN_HOST6]
    assert [hop.unreachable for hop in hops] == [False, False, False, True]
    hops = plain.host6.call(probe.traceroute, TRANSLATOR[1])
    assert [hop.address for hop in hops] == ["2001:db8:2::1", TRANSLATOR[1]]


def test_traceroute_shows_a_silent_router_as_nobody(plain: Lab, no_filter: None) -> None:
    filter_in(plain.translator, "icmp type time-exceeded")
    hops = plain.host4.call(probe.traceroute, PLAIN_HOST6, timeout=0.2)
    assert [str(hop) for hop in hops] == [ROUTER4[0], "*", "198.18.0.2", PLAIN_HOST6]


def test_traceroute_to_an_unreachable_host_ends_elsewhere(plain: Lab) -> None:
    hops = plain.translator.call(probe.traceroute, DEAD4)
    assert hops[-1].unreachable
    assert hops[-1].address == ROUTER4[1]


def error_with_extension(words: int, *objects: bytes) -> bytes:
    """An ICMPv4 Time Exceeded with a quote of `words` 32-bit words and these extension objects."""
    structure = b"\x20\x00\x00\x00" + b"".join(objects)
    structure = structure[:2] + internet_checksum(structure).to_bytes(2, "big") + structure[4:]
    return bytes([11, 0, 0, 0, 0, words, 0, 0]) + bytes(words * 4) + structure


def test_node_identification_is_found_behind_other_objects() -> None:
    node = socket.inet_pton(socket.AF_INET6, "2001:db8:1::2")
    other = bytes.fromhex("0008010100000000")
    message = error_with_extension(32, other, bytes.fromhex("0018050400020000") + node)
    assert probe.node_identification(message, is6=False) == "2001:db8:1::2"
    assert probe.node_identification(message[:-1] + b"\xff", is6=False) is None
    assert probe.node_identification(error_with_extension(32, other), is6=False) is None
    assert probe.node_identification(error_with_extension(0, other), is6=False) is None
    assert probe.node_identification(error_with_extension(32, b"\0\0\5\4"), is6=False) is None


# UDP


@pytest.mark.parametrize("size", [1, 100, 4000, 60000])
def test_exchange_brings_datagrams_back(plain: Lab, size: int) -> None:
    with datagram.UdpEcho(plain.host6, PLAIN_HOST6) as echo:
        result = plain.host4.call(datagram.exchange, PLAIN_HOST6, echo.port, size)
    assert result.ok
    assert result.size == size


def test_exchange_without_an_answer_fails_and_says_why(plain: Lab, no_filter: None) -> None:
    assert plain.host4.call(datagram.exchange, PLAIN_HOST6, CLOSED, 100).error == "ECONNREFUSED"
    filter_in(plain.host6, "meta l4proto udp")
    with datagram.UdpEcho(plain.host6, PLAIN_HOST6) as echo:
        result = plain.host4.call(datagram.exchange, PLAIN_HOST6, echo.port, 100, timeout=0.2)
    assert (result.ok, result.error) == (False, "ETIMEDOUT")


def test_exchange_of_large_datagrams_needs_fragments(plain: Lab, no_filter: None) -> None:
    filter_in(plain.router4, "ip frag-off & 0x3fff != 0", "forward")
    with datagram.UdpEcho(plain.host6, PLAIN_HOST6) as echo:
        assert plain.host4.call(datagram.exchange, PLAIN_HOST6, echo.port, 1000).ok
        assert not plain.host4.call(datagram.exchange, PLAIN_HOST6, echo.port, 4000, timeout=0.2).ok


def test_path_mtu_finds_the_narrow_link(plain: Lab) -> None:
    plain.host6.ip("route flush cache")
    plain.translator.ip("-6 route flush cache")
    with datagram.UdpEcho(plain.host4, HOST4_NARROW) as echo:
        result = plain.host6.call(datagram.path_mtu, HOST4_NARROW, echo.port, PLAIN_HOST6)
    assert (result.steps, result.delivered) == ((1500, 1400), 1400)
    with datagram.UdpEcho(plain.host6, HOST6_NARROW) as echo:
        result = plain.translator.call(datagram.path_mtu, HOST6_NARROW, echo.port)
    assert (result.steps, result.delivered) == ((1500, 1400), 1400)


def test_path_mtu_over_a_wide_link_finds_nothing_smaller(plain: Lab) -> None:
    with datagram.UdpEcho(plain.host6, PLAIN_HOST6) as echo:
        result = plain.host4.call(datagram.path_mtu, PLAIN_HOST6, echo.port)
    assert (result.steps, result.delivered) == ((1500,), 1500)


def test_path_mtu_reports_a_black_hole(plain: Lab, no_filter: None) -> None:
    filter_in(plain.router4, "icmp type destination-unreachable")
    plain.host6.ip("route flush cache")
    with datagram.UdpEcho(plain.host4, HOST4_NARROW) as echo:
        result = plain.host6.call(datagram.path_mtu, HOST4_NARROW, echo.port, PLAIN_HOST6, timeout=0.2)
    assert (result.delivered, result.error) == (None, "ETIMEDOUT")


def test_icmp_error_tells_refused_unreachable_silent_and_open_apart(plain: Lab, no_filter: None) -> None:
    assert plain.host4.call(datagram.icmp_error, PLAIN_HOST6, CLOSED) == "ECONNREFUSED"
    assert plain.translator.call(datagram.icmp_error, HOST6, CLOSED) == "ECONNREFUSED"
    assert plain.translator.call(datagram.icmp_error, DEAD4, CLOSED) == "EHOSTUNREACH"
    assert plain.translator.call(datagram.icmp_error, DEAD6, CLOSED) == "ENETUNREACH"
    with datagram.UdpEcho(plain.host6, PLAIN_HOST6) as echo:
        assert plain.host4.call(datagram.icmp_error, PLAIN_HOST6, echo.port) == "answered"
    filter_in(plain.host6, "icmp type destination-unreachable")
    assert plain.host4.call(datagram.icmp_error, PLAIN_HOST6, CLOSED, timeout=0.2) == "ETIMEDOUT"


# TCP


@pytest.fixture(scope="module")
def server(plain: Lab) -> Iterator[transfer.Server]:
    process = transfer.ServerProcess(plain.host6, 3 << 20)
    yield process.ready()
    process.close()


def test_download_verifies_the_sum(plain: Lab, server: transfer.Server) -> None:
    result = plain.host4.call(transfer.download, PLAIN_HOST6, server, HOST4)
    assert (result.octets, result.intact) == (3 << 20, True)
    wrong = transfer.Server(server.http, server.sink, server.octets, "0" * 64)
    assert not plain.host4.call(transfer.download, PLAIN_HOST6, wrong).intact
    short = transfer.Server(server.http, server.sink, server.octets - 1, server.sha256)
    assert not plain.host4.call(transfer.download, PLAIN_HOST6, short).intact


def test_download_from_nobody_raises(plain: Lab, server: transfer.Server) -> None:
    nobody = transfer.Server(CLOSED, CLOSED, server.octets, server.sha256)
    with pytest.raises(ConnectionRefusedError):
        plain.host4.call(transfer.download, PLAIN_HOST6, nobody)


def test_bulk_counts_what_arrived(plain: Lab, server: transfer.Server) -> None:
    def received() -> int:
        return int(plain.host6.run(["cat", "/proc/net/dev"]).stdout.partition("to-r6:")[2].split()[0])

    before, started = received(), time.monotonic()
    result = plain.host4.call(transfer.send_bulk, PLAIN_HOST6, server, 0.2)
    assert 0 < result.octets < received() - before
    assert 0 < result.seconds < time.monotonic() - started
    assert result.gbps == pytest.approx(result.octets * 8e-9 / result.seconds)


def test_a_stalled_transfer_raises(
    plain: Lab, server: transfer.Server, no_filter: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "STALLED", 0.3)
    filter_in(plain.host4, "tcp flags & syn == 0 meta length > 1000")
    with pytest.raises(TimeoutError):
        plain.host4.call(transfer.send_bulk, PLAIN_HOST6, server, 5.0)


# what is left


def test_plain_ipv4_leaves_routes_as_they_were(bare_lab: Lab) -> None:
    def state() -> list[str]:
        return [
            namespace.ip(f"-{family} {what} show")
            for namespace in bare_lab.namespaces.values()
            for family in "46"
            for what in ("route", "address")
        ] + [bare_lab.translator.sysctl("net.ipv4.ip_forward")]

    before = state()
    with bare_lab.plain_ipv4():
        assert state() != before
        assert bare_lab.host4.call(probe.ping, PLAIN_HOST6, count=1).ok
    assert state() == before


def test_without_a_translator_nothing_crosses(bare_lab: Lab) -> None:
    assert not bare_lab.host4.call(probe.ping, "198.51.100.2", count=1, timeout=0.2).ok
    assert not bare_lab.host6.call(probe.ping, "2001:db8:64::c000:202", count=1, timeout=0.2).ok


def test_processes_and_their_children_end_with_the_namespace() -> None:
    with Namespace("end") as namespace:
        # the shell dies of SIGTERM, its child does not hear it
        shell = namespace.popen(["sh", "-c", "trap '' TERM; sleep 60 & trap - TERM; echo $!; wait"], stdout=-1)
        assert shell.stdout is not None
        child = int(shell.stdout.readline())
        assert {shell.pid, child} <= set(leftovers.processes_in(namespace.inode))
    assert not os.path.exists(namespace.path)
    wait_for(lambda: not leftovers.runs(child), "the end of the grandchild", 5)
    assert shell.returncode == -signal.SIGTERM


def test_namespaces_are_removed_after_an_exception() -> None:
    left, right = Namespace("boom"), Namespace("boom2")

    def fail() -> None:
        with left, right:
            link(left, "a", right, "b")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert not os.path.exists(left.path)
    assert not os.path.exists(right.path)


def test_a_lab_that_cannot_be_built_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(lab: Lab) -> None:
        raise RuntimeError

    monkeypatch.setattr(Lab, "_build", refuse)
    lab = Lab()
    with pytest.raises(RuntimeError):
        lab.__enter__()
    assert not any(os.path.exists(namespace.path) for namespace in lab.namespaces.values())
    assert not lab.directory.exists()


@pytest.fixture
def holder() -> Iterator[tuple["subprocess.Popen[str]", int]]:
    """A process that holds a lab, and the pid of a process inside."""
    process = subprocess.Popen(
        [sys.executable, hold_lab.__file__], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    try:
        yield process, int(process.stdout.readline())
    finally:
        process.kill()
        process.communicate()
        leftovers.clean(process.pid)


def of(pid: int) -> list[Path]:
    """What a lab made by this process leaves under /run."""
    return [*Path("/run/netns").glob(f"nfx-{pid:x}-*"), *Path("/run").glob(f"nfx-{pid:x}*")]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_no_namespace_and_no_process(
    holder: tuple["subprocess.Popen[str]", int], number: signal.Signals
) -> None:
    process, inside = holder
    assert len(of(process.pid)) == 6
    process.send_signal(number)
    assert process.wait(60) != 0
    assert of(process.pid) == []
    assert not leftovers.runs(inside)


def test_clean_removes_what_a_killed_process_left(holder: tuple["subprocess.Popen[str]", int]) -> None:
    process, inside = holder
    assert leftovers.leftovers(process.pid) == []
    process.kill()
    process.wait()
    assert len(leftovers.leftovers(process.pid)) == 5
    assert leftovers.runs(inside)
    assert len(leftovers.clean(process.pid)) == 5
    assert of(process.pid) == []
    assert not leftovers.runs(inside)


def test_signals_wait_for_the_end_of_a_deferring_block() -> None:
    done = []

    def interrupted() -> None:
        with signals_deferred():
            signal.raise_signal(signal.SIGINT)
            with signals_deferred():
                signal.raise_signal(signal.SIGINT)
            done.append("whole")

    former = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    try:
        with pytest.raises(KeyboardInterrupt):
            interrupted()
    finally:
        signal.signal(signal.SIGINT, former)
    assert done == ["whole"]


def burst(namespace: Namespace, datagrams: int) -> None:
    with namespace.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        for _ in range(datagrams):
            udp.sendto(bytes(1400), ("127.0.0.1", CLOSED))


def datagrams(tap: capture.Capture) -> list[bytes]:
    return [packet for packet in tap.drain() if packet[9] == socket.IPPROTO_UDP]


def test_a_tap_that_is_read_late_has_seen_all() -> None:
    with Namespace("tap") as namespace, capture.Capture(namespace, "lo") as tap:
        burst(namespace, 1000)
        wait_for(lambda: len(datagrams(tap)) >= 2000, "all, out and in")  # in: once the kernel gets round to it
        assert len(datagrams(tap)) == 2000


def test_a_tap_that_has_dropped_something_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "_BUFFER", 1 << 14)
    with Namespace("tap") as namespace, capture.Capture(namespace, "lo") as tap:
        burst(namespace, 100)
        with pytest.raises(TimeoutError, match=r"the tap has dropped \d+ of \d+"):
            tap.wait(lambda seen: False, 0.05)


def test_wait_for_gives_up_at_its_deadline() -> None:
    started = time.monotonic()
    with pytest.raises(TimeoutError, match="pigs"):
        wait_for(lambda: False, "pigs", 0.05)
    assert 0.05 <= time.monotonic() - started < 10


def test_what_the_lab_starts_is_this_nfxlat_wherever_it_was_started(
    plain: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clone is called nfxlat: in the directory that holds it, `python -m nfxlat` would be what stands there."""
    (tmp_path / "nfxlat").mkdir()
    (tmp_path / "nfxlat/__init__.py").write_text("raise SystemExit(3)\n")
    monkeypatch.chdir(tmp_path)
    server = transfer.ServerProcess(plain.host6, 1 << 16)
    try:
        assert server.ready()
    finally:
        server.close()


@pytest.mark.parametrize("options", ["", " nodad"], ids=["DAD", "no DAD"])
def test_an_ipv6_address_is_local_when_it_has_been_added(options: str) -> None:
    """The kernel makes it that behind ip(8)'s back, on a busy machine after it has returned (71 of 120 looks there)."""
    with Namespace("local") as namespace:
        for number in range(1, 41):
            address = f"2001:db8::{number:x}"
            if number % 2:
                namespace.ip(f"-6 address add {address}/64 dev lo{options}")
            else:
                namespace.ip_batch([f"address add {address}/128 dev lo{options}", "link set lo up"])
            assert f"local {address} " in namespace.ip("-6 route show table local")
