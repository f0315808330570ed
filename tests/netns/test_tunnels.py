"""What a tunnel's sender has left unfinished comes out whole, inside and outside.

Over veth and virtio the checksum of the packet inside is left to the device (CHECKSUM_PARTIAL), and the UDP header
around it has a whole one already, or none.
"""

import struct
from collections.abc import Iterator

import pytest
from packets import transport_is_valid
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import GRE, Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet, Raw

from nfxlat.datapath.inject import DeviceInjector
from nfxlat.lab.capture import Capture
from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.topology import DOMAIN, HOST4, HOST4_6, HOST6, HOST6_EAM4, Lab
from nfxlat.wire import vnet

WAYS = pytest.mark.parametrize(
    "run_arguments",
    [(), ("--no-fast-path",), ("--inject", "ip"), ("--model", "device"), ("--model", "route")],
    ids=" ".join,
    scope="module",
)
INNER = {
    "tcp": IP(src="10.9.0.1", dst="10.9.0.2") / TCP(sport=1111, dport=2222, flags="PA") / Raw(b"inside, unfinished"),
    "udp6": IPv6(src="fd00::1", dst="fd00::2") / UDP(sport=1111, dport=2222) / Raw(b"odd inside, unfinished"),
}
TUNNELS: dict[str, Packet | None] = {
    "vxlan": UDP(sport=5555, dport=4789) / VXLAN(vni=5) / Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02"),
    "geneve": UDP(sport=5555, dport=6081) / Raw(b"\0\0\x65\x58\0\0\5\0") / Ether(dst="02:00:00:00:00:02"),
    "fou": UDP(sport=5555, dport=6080),
    "gre": GRE(),
    "ipip": None,
}
ADDRESSES = {4: (HOST4, HOST6_EAM4), 6: (HOST6, HOST4_6)}


@pytest.fixture(scope="module")
def shared_process(shared_bare_lab: Lab, run_arguments: tuple[str, ...]) -> Iterator[TranslatorProcess]:
    """One that computes what UDP leaves out."""
    lab, file = shared_bare_lab, shared_bare_lab.directory / "compute.toml"
    file.write_text(DOMAIN + 'udp-zero-checksum = "compute"\n')
    with TranslatorProcess(lab.translator, lab.directory, "--config", str(file), *run_arguments) as process:
        yield process


def unfinished(version: int, tunnel: str, inner: Packet, *, zero: bool = False) -> tuple[bytes, int, int]:
    """The outer packet, and where the inner transport header is and its checksum in it; `zero`: no outer checksum."""
    source, destination = ADDRESSES[version]
    octets = bytes(inner)
    number = 4 if octets[0] >> 4 == 4 else 41
    outer: Packet = IP(src=source, dst=destination) if version == 4 else IPv6(src=source, dst=destination)
    if (layer := TUNNELS[tunnel]) is not None:
        outer = outer / layer.copy()
    if zero:
        outer[UDP].chksum = 0
    whole = bytes(outer / inner)  # a whole outer checksum is that of the finished packet
    at = len(whole) - len(octets) + (20 if number == 4 else 40)
    protocol, field = (octets[9], 16) if number == 4 else (octets[6], 6)
    addresses = octets[12:20] if number == 4 else octets[8:40]
    pseudo = (int.from_bytes(addresses, "big") + protocol + len(whole) - at) % 0xFFFF
    return whole[: at + field] + struct.pack("!H", pseudo) + whole[at + field + 2 :], at, field


def send(lab: Lab, version: int, packet: bytes, start: int, field: int) -> None:
    """As the last router hands it to the translator, with its checksum left to do."""
    sender, there = (lab.router4, "to-r4") if version == 4 else (lab.router6, "to-r6")
    offload = vnet.pack(vnet.NEEDS_CSUM, vnet.GSO_NONE, 0, 0, 14 + start, field)
    link = lab.translator.mac(there) + sender.mac("to-x") + (b"\x08\x00" if version == 4 else b"\x86\xdd")
    with sender.entered():
        packet_socket = DeviceInjector.open_socket("to-x")
    with packet_socket:
        packet_socket.send(offload + link + packet)


@WAYS
@pytest.mark.parametrize("inner", sorted(INNER))
@pytest.mark.parametrize("tunnel", [*TUNNELS, "vxlan without a checksum"])
@pytest.mark.parametrize("version", [4, 6])
def test_what_is_in_a_tunnel_comes_out_whole(
    shared_lab: Lab, shared_process: TranslatorProcess, version: int, tunnel: str, inner: str
) -> None:
    lab, name = shared_lab, tunnel.split()[0]
    inside = bytes(INNER[inner])
    assert transport_is_valid(inside)
    packet, start, field = unfinished(version, name, INNER[inner], zero=name != tunnel)
    assert inside not in packet
    receiver, interface = (lab.host6, "to-r6") if version == 4 else (lab.host4, "to-r4")
    with Capture(receiver, interface) as capture:
        send(lab, version, packet, start, field)
        seen = capture.wait(lambda seen: seen[-12:] == inside[-12:])
    assert seen[0] >> 4 == 10 - version
    assert seen.endswith(inside), "the inner checksum is unfinished, or wrong"
    if "UDP" in repr(TUNNELS[name]):
        judged = transport_is_valid(seen)
        assert judged or (judged is None and name != tunnel and version == 6)
