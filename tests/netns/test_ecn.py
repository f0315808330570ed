"""CWR of superframes: the first segment's alone (RFC 3168), or every segment's (AccECN, RFC 9768 3.2.2).

host4 --- router4 --- translator --- router6 --- host6: superframes up to the translator, segments behind it
"""

import socket
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import pytest
from offloaded import OFFLOAD
from packets import raw4, raw6
from pinned import on_one_processor
from pyroute2.ethtool import Ethtool

from nfxlat.lab.capture import Capture
from nfxlat.lab.netns import Namespace, wait_for
from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.topology import HOST4, HOST4_6, HOST6, HOST6_4, Lab
from nfxlat.wire import vnet
from nfxlat.wire.checksum import internet_checksum

pytestmark = pytest.mark.quiet

ACK, CWR, ACE = 0x10, 0x80, 0x1C0  # of TCP's flags; ACE: AE, CWR, ECE
SEGMENTS, SIZE = 5, 1000
OCTETS = 300_000
WAYS = pytest.mark.parametrize("to6", [True, False], ids=["4to6", "6to4"])
RUNS = pytest.mark.parametrize(
    "run_arguments",
    [(), ("--no-fast-path",), ("--model", "device"), ("--model", "route"), OFFLOAD],
    ids=" ".join,
    scope="module",
)


@pytest.fixture(scope="module", autouse=True)
def _segments_leave_the_translator(shared_bare_lab: Lab) -> None:
    with shared_bare_lab.translator.entered(), Ethtool() as ethtool:
        for interface in ("to-r4", "to-r6"):
            settings = ethtool.get_features(interface)
            for name, feature in settings.features.items():
                if name.startswith("tx-tcp") and feature.available:
                    feature.enable = False
            ethtool.set_features(interface, settings)


def superframe(source: str, destination: str, number: int, flags: int) -> bytes:
    """The frame that the router sends behind its Ethernet addresses, the `number`th of its flow; vnet header first."""
    family, at = (socket.AF_INET6, 40) if ":" in source else (socket.AF_INET, 20)
    size = SEGMENTS * SIZE
    addresses = socket.inet_pton(family, source) + socket.inet_pton(family, destination)
    pseudo = 0xFFFF - internet_checksum(addresses + struct.pack("!II", 20 + size, 6))
    tcp = struct.pack("!HHIIHHHH", 9, 9, 1 + number * size, 1, 0x5000 | flags, 65535, pseudo, 0) + bytes(size)
    packet = raw4(source, destination, 6, tcp, word=0x4000) if at == 20 else raw6(source, destination, 6, tcp)
    kind = (vnet.GSO_TCPV4 if at == 20 else vnet.GSO_TCPV6) | (vnet.GSO_ECN if flags & CWR else 0)
    return vnet.pack(vnet.NEEDS_CSUM, kind, 14 + at + 20, SIZE, 14 + at, 16) + packet


def data_of(capture: Capture) -> list[tuple[int, int]]:
    """(sequence number, flags) of the large segments that were seen."""
    found = []
    for packet in capture.drain():
        at = 20 if packet[0] >> 4 == 4 else 40
        if len(packet) >= SIZE and packet[9 if at == 20 else 6] == 6:
            found.append(struct.unpack_from("!I4xH", packet, at + 4))
    return [(number, flags & 0x1FF) for number, flags in found]


@WAYS
@RUNS
def test_a_superframe_with_cwr_keeps_its_place_and_the_first_segment_its_cwr(
    shared_lab: Lab, shared_process: TranslatorProcess, to6: bool
) -> None:
    lab = shared_lab
    side, source, destination = ("to-r4", HOST4, HOST6_4) if to6 else ("to-r6", HOST6, HOST4_6)
    sender, seer = (lab.router4, lab.router6) if to6 else (lab.router6, lab.router4)
    link = lab.translator.mac(side) + sender.mac("to-x") + (b"\x08\0" if to6 else b"\x86\xdd")
    with sender.entered():
        tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    with tap, on_one_processor(shared_process.workers()):
        tap.setsockopt(vnet.SOL_PACKET, vnet.PACKET_VNET_HDR, 1)
        tap.bind(("to-x", 0))
        for _ in range(4):  # with offload they cross in the kernel in the end
            with Capture(seer, "to-x") as capture:
                for number in range(6):
                    frame = superframe(source, destination, number, ACK | (CWR if number & 1 else 0))
                    tap.send(frame[: vnet.SIZE] + link + frame[vnet.SIZE :])
                wait_for(lambda: len(data_of(capture)) >= 6 * SEGMENTS, "all segments")
                seen = data_of(capture)
            assert [number for number, _ in seen] == [1 + n * SIZE for n in range(6 * SEGMENTS)]
            first_of_odd = [n % SEGMENTS == 0 and n // SEGMENTS % 2 == 1 for n in range(6 * SEGMENTS)]
            assert [bool(flags & CWR) for _, flags in seen] == first_of_odd


@contextmanager
def congestion(namespace: Namespace) -> Iterator[None]:
    """IPv4 packets of TCP that arrive there with data have met it (CE)."""
    for line in (
        "add table ip ce",
        "add chain ip ce in { type filter hook prerouting priority -300; }",
        "add rule ip ce in ip protocol tcp ip length > 100 ip ecn set ce",
    ):
        namespace.run(["nft", line])
    try:
        yield
    finally:
        namespace.run(["nft", "delete table ip ce"])


@contextmanager
def accecn(hosts: Sequence[Namespace]) -> Iterator[None]:
    """New connections of these ask for it. Skips where the kernel has none."""
    with ExitStack() as stack:
        for host in hosts:
            stack.callback(host.sysctl, "net.ipv4.tcp_ecn", host.sysctl("net.ipv4.tcp_ecn"))
            try:
                host.sysctl("net.ipv4.tcp_ecn", 3)
            except OSError:
                pytest.skip("the kernel has no AccECN")
        yield


@WAYS
@RUNS
def test_every_segment_of_a_flow_with_accecn_keeps_its_ace(
    shared_lab: Lab, shared_process: TranslatorProcess, to6: bool
) -> None:
    """One CE is met on the way back; the count of it that the sender's segments carry has the bit that CWR is."""
    lab = shared_lab
    receiver, sender, source, target = (
        (lab.host6, lab.host4, HOST4, HOST6_4) if to6 else (lab.host4, lab.host6, HOST6, HOST4_6)
    )
    with receiver.entered():
        listener = socket.create_server(("::" if to6 else "", 0), family=socket.AF_INET6 if to6 else socket.AF_INET)
    with sender.entered():
        tcp = socket.socket(socket.AF_INET if to6 else socket.AF_INET6)
    with listener, tcp, accecn((lab.host4, lab.host6)):
        for one in (listener, tcp):
            one.settimeout(20)
        tcp.bind((source, 0))
        tcp.connect((target, listener.getsockname()[1]))
        taker, _ = listener.accept()
        taker.settimeout(20)
        with congestion(lab.host4 if to6 else lab.router4):
            taker.send(bytes(200))
            assert len(tcp.recv(200)) == 200
        with taker, Capture(lab.router6 if to6 else lab.router4, "to-x") as capture:
            thread = threading.Thread(target=tcp.sendall, args=(bytes(OCTETS),))
            thread.start()
            arrived = 0
            while arrived < OCTETS:
                arrived += len(taker.recv(1 << 16))
            thread.join()
            assert {flags & ACE for _, flags in data_of(capture)} == {0x180}
