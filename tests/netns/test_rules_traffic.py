"""Traffic by the rules of rules/xlat, loaded by `nfxlat rules load` beside an `nfxlat run` that sets nothing up.

host4 --- router4 --- translator --- router6 --- host6
"""

import contextlib
import io
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from both_ways import download_both_ways
from rule_file import ROUTER, write
from scapy.layers.inet import UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import Packet, Raw

from nfxlat import config
from nfxlat.cli import main
from nfxlat.lab.capture import Capture, send_packet
from nfxlat.lab.datagram import UdpEcho, exchange, path_mtu
from nfxlat.lab.netns import wait_for
from nfxlat.lab.probe import ping, traceroute
from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.rules import in_lab
from nfxlat.lab.rules import loaded as rules_at_work
from nfxlat.lab.topology import (
    HOST4_6,
    HOST6,
    HOST6_4,
    HOST6_EAM4,
    HOST6_NARROW,
    HOST6_NARROW_4,
    HOST6_PREFIX,
    NARROW_MTU,
    PREFIX6,
    ROUTER6,
    TRANSLATOR,
    Lab,
    in_prefix6,
)
from nfxlat.lab.transfer import download, serving
from nfxlat.netlink import bound_queues
from nfxlat.nft.language.program import program
from nfxlat.nft.shipped import RULES
from nfxlat.queues import Queues
from nfxlat.service.live_check import check_live
from nfxlat.xlat.domain import Domain

pytestmark = pytest.mark.netns

XLAT = RULES / "xlat"


def prepare(lab: Lab, commands: str) -> None:
    """Do what the compiled rules say in their comments about the host."""
    lines = [line.removeprefix("#").split() for line in commands.splitlines() if line.startswith("#     ")]
    wanted = [words for words in lines if words[0] in ("ip", "sysctl")]
    assert len(wanted) >= 4
    for words in wanted:
        lab.translator.run(words)


def nfxlat(lab: Lab, *arguments: str) -> str:
    """The command, without a process of its own; what it prints."""
    output = io.StringIO()
    with lab.translator.entered(), contextlib.redirect_stdout(output):
        assert main(arguments) == 0, output.getvalue()
    return output.getvalue()


FILES = pytest.mark.parametrize("rules", ["router.nft", "blocks.nft"])


@contextlib.contextmanager
def running(lab: Lab, directory: Path, rules: str, *workers: str) -> Iterator[TranslatorProcess]:
    """The lab with rules from `nfxlat rules load` and a translator that sets nothing up."""
    file, toml = str(XLAT / rules), str(XLAT / "router.toml")
    if rules == "blocks.nft":  # no output hook, so that the added ones are at work
        file = write(directory, ROUTER)
    nfxlat(lab, "rules", "load", file, "--config", toml, *workers)
    with TranslatorProcess(lab.translator, lab.directory, "--config", toml, *workers, setup=False) as process:
        prepare(lab, nfxlat(lab, "rules", "compile", file, "--config", toml))
        assert "0 errors, 0 warnings" in nfxlat(lab, "rules", "check", "--live", file, "--config", toml)
        yield process


@pytest.fixture(scope="module", params=["router.nft", "blocks.nft"])
def loaded(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[tuple[Lab, TranslatorProcess]]:
    """A lab for each file."""
    with Lab() as lab, running(lab, tmp_path_factory.mktemp("rules"), request.param) as process:
        yield lab, process


def test_traffic_crosses_by_the_rules_of_a_file(loaded: tuple[Lab, TranslatorProcess]) -> None:
    lab, process = loaded
    assert lab.host4.call(ping, HOST6_EAM4).ok
    assert lab.host6.call(ping, HOST4_6, HOST6).ok
    with UdpEcho(lab.host6, "::") as echo:
        assert lab.host4.call(exchange, HOST6_4, echo.port, 3000).ok
    download_both_ways(lab, 8 << 20)
    summary = process.summary()
    assert summary["totals"]["superframes"] > 0
    assert not set(summary["reasons"]) - {"translated", "fragmented", "packet_too_big"}


def test_kernel_errors_about_translated_packets_reach_their_sender(loaded: tuple[Lab, TranslatorProcess]) -> None:
    lab, _ = loaded
    hops = [hop.address for hop in lab.host4.call(traceroute, HOST6_4)]
    assert None not in hops
    assert TRANSLATOR[0] in hops
    with UdpEcho(lab.host6, HOST6_NARROW) as echo:
        assert lab.host4.call(path_mtu, HOST6_NARROW_4, echo.port).mtu == NARROW_MTU - 20


def test_the_node_itself_is_translated_too(loaded: tuple[Lab, TranslatorProcess]) -> None:
    lab, _ = loaded
    assert lab.translator.call(ping, HOST6_4, TRANSLATOR[0]).ok


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (IPv6(src=HOST6, dst=in_prefix6("127.0.0.1")), "martian_destination"),
        (IPv6(src=HOST6, dst=in_prefix6("224.0.0.1")), "martian_destination"),
        (IPv6(src=in_prefix6("127.0.0.1"), dst=HOST4_6), "martian_source"),
        (IPv6(src="::", dst=HOST4_6), "martian_source"),
    ],
    ids=lambda value: value.summary() if isinstance(value, Packet) else value,
)
def test_martians_come_out_nowhere_and_are_counted_with_their_reason(
    loaded: tuple[Lab, TranslatorProcess], packet: Packet, reason: str
) -> None:
    """From the translator's neighbour, so that no other kernel judges them."""
    lab, process = loaded
    before = process.summary()["reasons"].get(reason, {}).get("6to4", 0)
    with Capture(lab.router4, "to-x") as capture, Capture(lab.translator, "lo") as inside:
        for one, payload in ((packet, b"from mars"), (IPv6(src=HOST6, dst=HOST4_6), b"an ordinary packet")):
            data = bytes(one / UDP(sport=4000, dport=4001) / Raw(payload))
            lab.router6.call(send_packet, data, HOST4_6)
        capture.wait(lambda seen: b"an ordinary packet" in seen)
        assert not [seen for seen in (*capture.drain(), *inside.drain()) if b"from mars" in seen]

    def martians() -> int:
        return int(process.summary()["reasons"].get(reason, {}).get("6to4", 0))

    wait_for(lambda: martians() > before, "the martian to be counted")
    assert martians() == before + 1


def test_flows_are_spread_over_workers_by_the_rules_of_a_file(bare_lab: Lab, tmp_path: Path) -> None:
    lab, flows = bare_lab, 16
    with running(lab, tmp_path, "router.nft", "--workers", "2") as process, UdpEcho(lab.host6, "::") as echo:
        for _ in range(flows):  # as many source ports
            assert lab.host4.call(exchange, HOST6_4, echo.port, 100).ok
        assert lab.host4.call(exchange, HOST6_4, echo.port, 3000).ok
        with serving(lab.host6, 1 << 20) as ready:
            for _ in range(12):  # two flows each, so that one worker gets them all once in 8 million times
                assert lab.host4.call(download, HOST6_4, ready).intact
        with lab.translator.entered():
            rows = [line.split() for line in bound_queues.PROC.read_text().splitlines()]
        queued = {int(row[0]): int(row[7]) for row in rows}  # how many packets each queue has had
        assert all(queued[number] for number in Queues(7, 2).numbers), queued
        assert set(process.summary()["reasons"]) <= {"translated", "fragmented"}


def test_neighbours_find_each_other_where_rules_take_all_of_ipv6(bare_lab: Lab) -> None:
    text = "table ip6 mine { chain c { type filter hook prerouting priority -450; xlat from siit0; }; }\n"
    domains = config.load(XLAT / "router.toml").domains
    with rules_at_work(bare_lab.translator, program(text, "mine.nft", domains)):
        for namespace, device in ((bare_lab.router6, "to-x"), (bare_lab.translator, "to-r6")):
            namespace.ip(f"-6 neighbour flush dev {device}")
        assert bare_lab.router6.call(ping, TRANSLATOR[1]).ok
        assert not bare_lab.router6.call(ping, HOST4_6, count=1, timeout=0.3).rtts  # taken, and nobody listens


@FILES
def test_nothing_leaks_without_a_translator(bare_lab: Lab, tmp_path: Path, rules: str) -> None:
    lab = bare_lab
    with running(lab, tmp_path, rules):
        lab.translator.ip("route add default via 192.0.2.17")

    def asks(packet: bytes) -> bool:
        return packet[:1] == b"\x45" and packet[16:20] == socket.inet_aton(HOST6_4)

    def leaks(timeout: float) -> bool:
        with Capture(lab.translator, "to-r4") as capture:
            assert not lab.host4.call(ping, HOST6_4, count=1, timeout=0.3).rtts
            came = capture.wait(asks)  # the request as it comes in
            try:
                capture.wait(lambda packet: asks(packet) and packet[8] < came[8], timeout)
            except TimeoutError:
                return False
            return True

    assert not leaks(0.3)  # for want of the device: the unreachable routes
    lab.translator.ip("route del unreachable 198.51.100.0/24")
    assert not leaks(0.3)  # for want of a listener: the rules
    lab.translator.run(["nft", "flush", "ruleset"])
    assert leaks(5.0)


CLAT4, CLAT6 = "192.0.0.1", "2001:db8:7::64"  # on no link: router6 has a route


LAB = {"2001:db8:2::2": CLAT6, "2001:db8:12:34::1": CLAT6, "192.0.2.1": "203.0.113.9", "2001:db8:46::/96": str(PREFIX6)}


@pytest.fixture(scope="module", params=["clat", "netdev", "edge-relay"])
def clat(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Lab]:
    """The translator's node as an IPv4 host on an IPv6-only network; host6 is the IPv4 Internet.

    host4 --- router4 --- [ clat ] --- router6 --- host6
    """
    with Lab() as lab, host_on_ipv6(lab, tmp_path_factory.mktemp("clat"), request.param):
        yield lab


@contextlib.contextmanager
def host_on_ipv6(lab: Lab, directory: Path, rules: str) -> Iterator[None]:
    lab.router6.ip(f"route add {CLAT6}/128 via {TRANSLATOR[1]}")
    text = in_lab(XLAT / f"{rules}.nft", LAB)
    toml = in_lab(XLAT / ("clat.toml" if rules == "netdev" else f"{rules}.toml"), LAB)
    if rules == "netdev":  # the lab's prefix, and a domain as the statement makes it
        text, toml = text.replace("64:ff9b::/96", str(PREFIX6)), toml.replace("clat0", "xlat0")
    file, configuration = write(directory, text), write(directory, toml, "clat.toml")
    arguments = () if rules == "netdev" else ("--config", configuration)
    nfxlat(lab, "rules", "load", file, *arguments)
    run = TranslatorProcess(lab.translator, lab.directory, "--config", configuration, "--role", "host", setup=False)
    with run:
        prepare(lab, nfxlat(lab, "rules", "compile", file, *arguments))
        assert "0 errors, 0 warnings" in nfxlat(lab, "rules", "check", "--live", file, *arguments)
        yield


def clat_domains() -> tuple[Domain, ...]:
    return config.parse(in_lab(XLAT / "clat.toml", LAB), "clat.toml").domains


def test_ipv4_of_a_host_on_an_ipv6_only_network_crosses(clat: Lab) -> None:
    assert clat.translator.call(ping, HOST6_4).ok
    with UdpEcho(clat.host6, HOST6_PREFIX) as echo:
        assert clat.translator.call(exchange, HOST6_4, echo.port, 3000).ok
    with serving(clat.host6, 1 << 20) as server:
        assert clat.translator.call(download, HOST6_4, server).intact


def test_routers_outside_the_prefix_are_heard(clat: Lab) -> None:
    with UdpEcho(clat.host6, HOST6_NARROW) as echo:
        assert clat.translator.call(path_mtu, HOST6_NARROW_4, echo.port).mtu == NARROW_MTU - 20
    assert clat.translator.call(traceroute, HOST6_4)[-1].address == HOST6_4


@pytest.mark.parametrize("clat", ["clat"], indirect=True)
def test_its_translated_address_may_be_one_of_its_interfaces_too(clat: Lab) -> None:
    clat.translator.ip(f"address add {CLAT6}/128 dev lo nodad")
    try:
        with clat.translator.entered():
            found = check_live(program(in_lab(XLAT / "clat.nft", LAB), "clat.nft", clat_domains()))
        assert "local-address" not in {finding.code for finding in found}
        assert clat.translator.call(ping, HOST6_4).ok
        assert clat.router6.call(ping, CLAT6).ok  # from outside prefix6: as IPv6
        with UdpEcho(clat.host6, HOST6_NARROW) as echo:
            assert clat.translator.call(path_mtu, HOST6_NARROW_4, echo.port).mtu == NARROW_MTU - 20
    finally:
        clat.translator.ip(f"address del {CLAT6}/128 dev lo")


@pytest.mark.parametrize("clat", ["clat"], indirect=True)
def test_hosts_behind_it_share_its_address(clat: Lab) -> None:
    clat.translator.sysctl("net.ipv4.ip_forward", 1)
    try:
        assert clat.host4.call(ping, HOST6_4).ok
        with UdpEcho(clat.host6, HOST6_PREFIX) as echo:
            assert clat.host4.call(exchange, HOST6_4, echo.port, 100).ok
    finally:
        clat.translator.sysctl("net.ipv4.ip_forward", 0)


def test_a_server_behind_an_edge_relay_is_reached(clat: Lab) -> None:
    assert clat.host6.call(ping, CLAT6, HOST6_PREFIX).ok


def test_a_border_relay_leads_from_the_internet_to_services(bare_lab: Lab, tmp_path: Path) -> None:
    lab = bare_lab
    places = {
        "192.0.2.": "203.0.113.",
        "2001:db8:12:34::": "2001:db8:2::",
        "2001:db8:46::/96": str(PREFIX6),
        '"eth0"': '"to-r4"',
        '"eth1"': '"to-r6"',
    }
    file = write(tmp_path, in_lab(XLAT / "border-relay.nft", places))
    toml = write(tmp_path, in_lab(XLAT / "border-relay.toml", places), "br.toml")
    nfxlat(lab, "rules", "load", file, "--config", toml)
    with TranslatorProcess(lab.translator, lab.directory, "--config", toml, setup=False):
        prepare(lab, nfxlat(lab, "rules", "compile", file, "--config", toml))
        assert "0 errors, 0 warnings" in nfxlat(lab, "rules", "check", "--live", file, "--config", toml)
        assert lab.host4.call(ping, HOST6_EAM4).ok
        assert lab.host6.call(ping, HOST4_6, HOST6).ok
        # a service that comes later is an element more, and no reload
        lab.translator.run(["nft", "delete element ip relay services { 203.0.113.2 }"])
        assert not lab.host4.call(ping, HOST6_EAM4, count=1, timeout=0.5).ok
        lab.translator.run(["nft", "add element ip relay services { 203.0.113.2 }"])
        assert lab.host4.call(ping, HOST6_EAM4).ok


BLUE6 = "2001:db8:64:2::c633:6482"
BLUE6_4 = "198.51.100.130"


def test_two_domains_on_one_box_each_translate_their_own(bare_lab: Lab, tmp_path: Path) -> None:
    lab = bare_lab
    # red has the lab's own prefix6; blue's host is host6 too, by another address
    text, toml = (in_lab(XLAT / name, {"2001:db8:64:1::/96": str(PREFIX6)}) for name in ("domains.nft", "domains.toml"))
    lab.host6.ip(f"address add {BLUE6}/128 dev to-r6")
    lab.router6.ip(f"route add {BLUE6}/128 via {HOST6}")
    lab.translator.ip(f"route add {BLUE6}/128 via {ROUTER6[0]}")
    file, configuration = write(tmp_path, text), write(tmp_path, toml, "domains.toml")
    nfxlat(lab, "rules", "load", file, "--config", configuration)
    with contextlib.ExitStack() as stack:
        processes = {}
        for name, queue in (("red", 7), ("blue", 9)):
            directory = tmp_path / name
            directory.mkdir()
            arguments = ("--config", configuration, "--domain", name)
            process = TranslatorProcess(lab.translator, directory, *arguments, queue=queue, setup=False)
            processes[name] = stack.enter_context(process)
        prepare(lab, nfxlat(lab, "rules", "compile", file, "--config", configuration))
        assert "0 errors, 0 warnings" in nfxlat(lab, "rules", "check", "--live", file, "--config", configuration)
        assert lab.host4.call(ping, HOST6_4, count=3).ok
        assert lab.host4.call(ping, BLUE6_4, count=5).ok
        taken = {name: process.summary()["totals"]["packets"] for name, process in processes.items()}
    assert taken == {"red": 6, "blue": 10}
