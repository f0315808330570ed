"""The program at ingress equals the core octet for octet on all that it takes, takes all that is plain, and nothing
else. BPF_PROG_TEST_RUN; superframes are compared after segmentation, as far as it lets them be made.
"""

import errno
import os
import random
import struct
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from pathlib import Path

import pytest
from bpf_run import GOES_ON, REDIRECT, Runner
from packets import raw4, raw6

from nfxlat.datapath.superframe import segments
from nfxlat.host import ingress
from nfxlat.host.ingress import Table
from nfxlat.offload import program, table
from nfxlat.outcome import Action
from nfxlat.wire.stamp import ANY, ANY_MASK, MAGIC
from nfxlat.wire.stamp import UDP as FIT
from nfxlat.xlat.domain import Domain
from nfxlat.xlat.eamt import Eamt
from nfxlat.xlat.translator import Translator

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

BUILD = Path(__file__).resolve().parents[2] / "contrib" / "dev" / "build-offload"
PACKETS = 3000  # of each domain, of which there are eight
LOOPBACK = 1
NEAR, FAR = bytes.fromhex("026e66780001"), bytes.fromhex("026e66780002")
HERE = bytes(6)  # the loopback's address
ETH_IP, ETH_IPV6 = b"\x08\x00", b"\x86\xdd"
LOWEST_IPV6_MTU = 1400

DOMAINS: dict[str, Domain] = {
    f"prefix of {length}": Domain(prefix6=IPv6Network(f"2001:db8::/{length}"), lowest_ipv6_mtu=LOWEST_IPV6_MTU)
    for length in (32, 40, 48, 56, 64, 96)
}
_HOST = Eamt(
    [
        (IPv4Network("203.0.113.2"), IPv6Network("2001:db8:2::2")),
        (IPv4Network("198.51.100.0/24"), IPv6Network("2001:db8:a::/120")),
    ]
)
DOMAINS["EAM"] = Domain(eamt=_HOST, lowest_ipv6_mtu=LOWEST_IPV6_MTU)
DOMAINS["dscp"] = Domain(eamt=_HOST, traffic_class="dscp-46", lowest_ipv6_mtu=LOWEST_IPV6_MTU)
DOMAINS["both"] = Domain(prefix6=IPv6Network("2001:db8:64::/96"), eamt=_HOST, traffic_class=40, lowest_ipv6_mtu=1280)
HOSTS4 = [
    IPv4Address(text).packed for text in ("203.0.113.2", "198.51.100.7", "198.51.100.200", "192.0.2.33", "8.8.8.8")
]


@dataclass(frozen=True)
class Case:
    """A frame, whether the program is to take it, and what the kernel says of it."""

    name: str
    frame: bytes
    plain: bool
    mark: int = 0
    priority: int = 0
    ifindex: int = LOOPBACK


class Lab:
    """The program, and the pairs of a domain taught to it."""

    def __init__(self, folder: Path) -> None:
        self.table = Table(entries=4096)
        descriptor, self.udp = ingress.load("offload", self.table.descriptors, ingress.places(), folder=folder)
        self.runner = Runner(descriptor)
        self.table.beat()

    def teach(self, translator: Translator, pairs: list[bytes], by_flow: Collection[bytes] = ()) -> None:
        """`by_flow`: those of which flows are told apart."""
        mtu = translator.domain.lowest_ipv6_mtu
        self.table.beat()
        self._translator, self._generation = translator, self.table.configure(LOOPBACK, mtu, NEAR, FAR)
        for pair in pairs:
            told = table.told_by_flow(self._generation, 0)
            self.table.put(table.key(LOOPBACK, pair), told if pair in by_flow else self._learnt(pair))

    def teach_flow(self, pair: bytes, packet: bytes) -> bytes:
        """That of the packet; its key."""
        at, protocol = (20, packet[9]) if len(pair) == 8 else (40, packet[6])
        key = table.key(LOOPBACK, pair, table.flow(packet[at : at + 4].ljust(4, b"\0"), protocol))
        self.table.put(key, self._learnt(pair))
        return key

    def _learnt(self, pair: bytes) -> table.Pair:
        template = self._translator.template(pair)
        assert template is not None
        known = table.learnt(template, self._generation, time.monotonic_ns())
        return known._replace(tcp_queued=table.ACTIVE, udp_queued=table.ACTIVE)

    def close(self) -> None:
        self.runner.close()
        self.table.close()


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Those of the repository, if the compiler that is here makes the same; else what it makes."""
    built = tmp_path_factory.mktemp("programs")
    try:
        subprocess.run([BUILD, built], check=True)
        version = subprocess.run(
            ["clang", "--version"], capture_output=True, text=True, check=True
        ).stdout.splitlines()[0]
    except FileNotFoundError:
        pytest.skip("needs clang")
    names = sorted(path.name for path in program.FOLDER.glob("*.bpf"))
    assert names == sorted(path.name for path in built.iterdir())
    if version not in (program.FOLDER / names[0]).read_text().partition("\n")[0]:
        return built
    for name in names:
        assert (built / name).read_text() == (program.FOLDER / name).read_text(), f"run {BUILD}"
    return program.FOLDER


@pytest.fixture(scope="module")
def lab(programs: Path) -> Iterator[Lab]:
    lab = Lab(programs)
    if not lab.udp:
        pytest.skip("no BTF")
    yield lab
    lab.close()


def pairs_of(translator: Translator) -> list[bytes]:
    """All that can be translated, both ways."""
    found = []
    for source in HOSTS4:
        for destination in HOSTS4:
            if source == destination:
                continue
            there = source + destination
            template = translator.template(there)
            if template is None:
                continue
            found.append(there)
            back = template.addresses
            if translator.template(back) is not None:
                found.append(back)
    assert len({len(pair) for pair in found}) == 2
    return found


def link(packet: bytes, destination: bytes = HERE) -> bytes:
    return destination + b"\2far\0\0" + (ETH_IP if packet[0] >> 4 == 4 else ETH_IPV6) + packet


def checked(packet: bytes) -> bytes:
    """Its transport checksum completed, of a packet whose field is 0."""
    at, protocol = (20, packet[9]) if packet[0] >> 4 == 4 else (40, packet[6])
    addresses = packet[12:20] if at == 20 else packet[8:40]
    field = at + (16 if protocol == 6 else 6)
    words = addresses + struct.pack("!HH", protocol, len(packet) - at) + packet[at:]
    check = 0xFFFF - (int.from_bytes(words + bytes(len(words) & 1), "big") % 0xFFFF)
    return packet[:field] + struct.pack("!H", check or 0xFFFF) + packet[field + 2 :]


def transport(chance: random.Random, protocol: int, size: int) -> bytes:
    """A header with random octets, its checksum 0, and `size` octets of payload."""
    payload = chance.randbytes(size)
    if protocol == 6:
        head = bytearray(chance.randbytes(20))
        head[12] = 0x50 | head[12] & 0xF
        head[16:18] = bytes(2)
        return bytes(head) + payload
    return chance.randbytes(4) + struct.pack("!HH", 8 + size, 0) + payload


def ip(chance: random.Random, pair: bytes, protocol: int, payload: bytes, **fields: int) -> bytes:
    """An IP packet of the pair around it."""
    if len(pair) == 8:
        words = {
            "tos": chance.randrange(256),
            "identification": chance.randrange(65536),
            "ttl": chance.randrange(2, 256),
        }
        return raw4(pair[:4], pair[4:], protocol, payload, **(words | {"word": 0x4000} | fields))  # type: ignore[arg-type]
    words = {
        "traffic_class": chance.randrange(256),
        "flow": chance.randrange(1 << 20),
        "hop_limit": chance.randrange(2, 256),
    }
    return raw6(pair[:16], pair[16:], protocol, payload, **(words | fields))


def plain(chance: random.Random, pair: bytes, mtu: int) -> Case:
    protocol = chance.choice((6, 17))
    df = chance.random() < 0.7 or len(pair) == 32
    header = 20 if protocol == 6 else 8
    most = (1400 if df else mtu - 40) - header
    size = chance.choice((0, 1, 7, 8, 9, most, chance.randrange(most + 1)))
    if len(pair) == 32:
        size = chance.choice((size, 1240 - header, 1241 - header))
    fields = {"word": 0x4000 if df else 0} if len(pair) == 8 else {}
    packet = checked(ip(chance, pair, protocol, transport(chance, protocol, size), **fields))
    at = (20 if len(pair) == 8 else 40) + (16 if protocol == 6 else 6)
    if chance.random() < 0.1:  # it looks like an unfinished one
        words = pair + struct.pack("!HH", protocol, size + header)
        packet = packet[:at] + struct.pack("!H", int.from_bytes(words, "big") % 0xFFFF or 0xFFFF) + packet[at + 2 :]
    elif chance.random() < 0.1:  # wrong, and stays wrong
        packet = packet[:at] + struct.pack("!H", chance.randrange(1, 65536)) + packet[at + 2 :]
    padding = bytes(chance.choice((0, 0, 6)))
    return Case("plain", link(packet) + padding, True)


def odd(chance: random.Random, pair: bytes, mtu: int) -> Case:
    """Never the program's."""
    is4 = len(pair) == 8
    base = plain(chance, pair, mtu)
    packet = base.frame[14:]
    protocol = packet[9] if is4 else packet[6]
    small = transport(chance, 17, 20)
    good = checked(ip(chance, pair, 17, small))

    def ttl() -> Case:
        fields = {"ttl" if is4 else "hop_limit": chance.randrange(2)}
        return Case("ttl", link(checked(ip(chance, pair, 17, small, **fields))), False)

    def icmp() -> Case:
        return Case("icmp", link(ip(chance, pair, 1 if is4 else 58, b"\x08\0" + chance.randbytes(30))), False)

    def other() -> Case:
        return Case(
            "other protocol", link(ip(chance, pair, chance.choice((33, 50, 132, 136)), chance.randbytes(60))), False
        )

    def no_checksum() -> Case:
        return Case("UDP without checksum", link(ip(chance, pair, 17, small)), False)

    def header_cut() -> Case:
        which, size = chance.choice(((6, 19), (17, 7), (6, 0), (17, 0)))
        return Case("cut transport", link(ip(chance, pair, which, chance.randbytes(size))), False)

    def cut() -> Case:
        return Case("cut packet", link(good[: chance.randrange(20 if is4 else 40, len(good))]), False)

    def mark() -> Case:
        return Case("mark", base.frame, False, mark=chance.randrange(1, 1 << 31))

    def priority() -> Case:
        others = chance.randrange(1, 1 << 31)
        if others & ANY_MASK == ANY:  # a stamp, which is written anew
            others ^= ANY
        return Case("priority", base.frame, False, priority=others or 1)

    def elsewhere() -> Case:
        return Case("another's frame", b"\2else\1" + base.frame[6:], False)

    def doff() -> Case:
        segment = bytearray(transport(chance, 6, 10))
        segment[12] = chance.choice((0x00, 0x40, 0x80, 0xF0))
        return Case("data offset", link(checked(ip(chance, pair, 6, bytes(segment)))), False)

    kinds: list[Callable[[], Case]] = [
        *(ttl, icmp, other, no_checksum, header_cut, cut, doff, mark, priority, elsewhere)
    ]
    if is4:

        def options() -> Case:
            return Case("options", link(raw4(pair[:4], pair[4:], protocol, packet[20:], options=b"\1\1\1\0")), False)

        def header_checksum() -> Case:
            return Case("header checksum", base.frame[:24] + bytes((base.frame[24] ^ 0x55,)) + base.frame[25:], False)

        def reserved() -> Case:
            return Case("reserved bit", link(checked(ip(chance, pair, 6, transport(chance, 6, 9), word=0x8000))), False)

        def tcp_fragment() -> Case:
            word = chance.choice((0x2000, 0x2001, 0x00B9))
            return Case("TCP fragment", link(ip(chance, pair, 6, transport(chance, 6, 9), word=word)), False)

        kinds += [options, header_checksum, reserved, tcp_fragment]
    else:

        def extension() -> Case:
            kind = chance.choice((0, 43, 60))
            return Case(
                "extension header", link(ip(chance, pair, kind, bytes((17, 0, 1, 4, 0, 0, 0, 0)) + small)), False
            )

        def tcp_fragment6() -> Case:
            extension = bytes((6, 0, 0, 1)) + chance.randbytes(4)
            return Case("TCP fragment", link(ip(chance, pair, 44, extension + transport(chance, 6, 9))), False)

        kinds += [extension, tcp_fragment6]
    return chance.choice(kinds)()


def expected_stamp(case: Case) -> int:
    """Of a packet that goes on."""
    if case.priority or case.name == "another's frame":
        return case.priority
    return MAGIC | FIT


@pytest.mark.parametrize("name", DOMAINS)
def test_the_program_equals_the_core(lab: Lab, name: str) -> None:
    translator = Translator(DOMAINS[name])
    pairs = pairs_of(translator)
    mtu = translator.domain.lowest_ipv6_mtu
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    by_flow = set(chance.sample(pairs, len(pairs) // 2))
    lab.teach(translator, pairs, by_flow)
    seen: Counter[tuple[str, int, bool]] = Counter()
    for _ in range(PACKETS):
        pair = chance.choice(pairs)
        case = (plain if chance.random() < 0.8 else odd)(chance, pair, mtu)
        if pair in by_flow:
            flow = lab.teach_flow(pair, case.frame[14:])
            if case.plain and chance.random() < 0.1:
                lab.table.remove(flow)
                case = Case("another flow", case.frame, False)
        lab.table.beat()  # ten seconds without one, as on a busy machine, and nothing is taken
        result = lab.runner.run(case.frame, mark=case.mark, priority=case.priority, ifindex=case.ifindex)
        told = f"seed {seed}: {case.name}: {case.frame.hex()}"
        seen[case.name, len(pair), result.verdict == REDIRECT] += 1
        assert result.verdict == (REDIRECT if case.plain else GOES_ON), told
        if not case.plain:
            assert (result.frame, result.mark, result.priority) == (case.frame, case.mark, expected_stamp(case)), told
            continue
        outcome = translator.translate(case.frame[14:], 0, next_hop_mtu=65535)
        assert outcome.action is Action.TRANSLATED, told
        (wanted,) = outcome.packets
        link_header, made = result.frame[:14], result.frame[14:]
        assert link_header == NEAR + FAR + (ETH_IPV6 if len(pair) == 8 else ETH_IP), told
        assert made[: len(wanted)] == wanted, told
        padding = len(case.frame) - 14 - length(case.frame[14:])
        assert (len(made) - len(wanted), result.mark, result.priority) == (padding, 0, 0), told
    for version in (8, 32):
        assert seen["plain", version, True] > PACKETS / 5
        assert sum(number for (_, size, taken), number in seen.items() if size == version and not taken) > PACKETS / 50


@pytest.mark.parametrize("name", ["prefix of 40", "prefix of 96", "EAM", "both"])
def test_skb_csum_follows_each_octet_that_changes(lab: Lab, name: str) -> None:
    """Of what comes with CHECKSUM_COMPLETE, from many network cards and out of tunnels: else the kernel would complain
    of the card ("hw csum failure")."""
    translator = Translator(DOMAINS[name])
    pairs, mtu = pairs_of(translator), translator.domain.lowest_ipv6_mtu
    lab.teach(translator, pairs)
    chance = random.Random(name)
    for _ in range(600):
        case = (plain if chance.random() < 0.9 else odd)(chance, chance.choice(pairs), mtu)
        lab.table.beat()
        try:
            result = lab.runner.run(
                case.frame, mark=case.mark, priority=case.priority, ifindex=case.ifindex, complete=True
            )
        except OSError as error:
            if error.errno == errno.EINVAL:
                pytest.skip("the kernel knows no such runs")
            pytest.fail(f"{os.strerror(error.errno or 0)}: {case.name}: {case.frame.hex()}")
        assert result.verdict == (REDIRECT if case.plain else GOES_ON)


def length(packet: bytes) -> int:
    """As its header says."""
    return int.from_bytes(packet[2:4], "big") if packet[0] >> 4 == 4 else 40 + int.from_bytes(packet[4:6], "big")


@pytest.mark.parametrize("gso_size", [536, 1220, 1240, 1241, 1348])
@pytest.mark.parametrize("size", [8, 32])
def test_segments_of_a_superframe_are_what_the_core_makes_of_each(lab: Lab, size: int, gso_size: int) -> None:
    """Identifications count up in the kernel, and the last segment has the DF of the others."""
    translator = Translator(DOMAINS["prefix of 96"])
    pair = next(pair for pair in pairs_of(translator) if len(pair) == size)
    lab.teach(translator, [pair])
    chance = random.Random(gso_size)
    packet = checked(ip(chance, pair, 6, transport(chance, 6, 2 * gso_size + 100)))
    result = lab.runner.run(link(packet), ifindex=LOOPBACK, gso_size=gso_size, gso_segs=3)
    assert result.verdict == REDIRECT
    stamp = MAGIC | gso_size
    made = list(segments(result.frame[14:], stamp))
    wanted = [translator.translate(one, 0, next_hop_mtu=65535).packets[0] for one in segments(packet, stamp)]
    assert len(made) == len(wanted) == 3
    if size == 8:
        assert made == wanted
        return
    df = [bool(one[6] & 0x40) for one in made]
    assert df == [gso_size + 40 > 1260] * 3
    assert [one[20:] for one in made] == [one[20:] for one in wanted]
    for left, right in zip(made[:2], wanted[:2], strict=True):
        assert (left[:4], left[6:10], left[12:20]) == (right[:4], right[6:10], right[12:20])


def test_translating_a_packet_costs_a_few_times_what_looking_it_up_does(lab: Lab) -> None:
    """There and back in turn, since the program is run again on what it has made; against a packet that it leaves, with
    its Hop Limit of 1. Nanoseconds: contrib/dev/decisions/offload.md."""
    translator = Translator(DOMAINS["both"])
    pairs = pairs_of(translator)
    lab.teach(translator, pairs)
    chance = random.Random(1)
    pair = next(pair for pair in pairs if len(pair) == 8)
    taken, left = (link(checked(ip(chance, pair, 6, transport(chance, 6, 22), ttl=ttl))) for ttl in (64, 1))
    cost, control = (
        min(lab.runner.run(frame, ifindex=LOOPBACK, repeat=10000).nanoseconds for _ in range(5))
        for frame in (taken, left)
    )
    assert cost < 15 * control
