"""Packets, and what `nfxlat explain` says about them."""

from ipaddress import ip_address
from struct import pack

from packets import raw4, raw6

from nfxlat import config
from nfxlat.offline.packet import PacketExplanation, explain_packet
from nfxlat.wire import icmp
from nfxlat.wire.checksum import word_sum
from nfxlat.xlat.translator import Translator

TOML = """
prefix6 = "2001:db8:64::/96"
eam = [["203.0.113.2", "2001:db8:2::2"], ["203.0.113.64/27", "2001:db8:5:a0::/60"]]
denylist4 = ["10.0.0.0/8"]
"""
P = "2001:db8:64::"
A, B, EAM4, EAM6 = "198.51.100.7", "203.0.113.80", "203.0.113.2", "2001:db8:2::2"
UDP = pack("!HHHH", 1000, 2000, 12, 0x1234) + b"data"


def v4(
    source: str, destination: str, protocol: int, payload: bytes, *, word: int = 0, ttl: int = 64, options: bytes = b""
) -> bytes:
    return raw4(source, destination, protocol, payload, identification=0x3039, word=word, ttl=ttl, options=options)


def error4(source: str, destination: str, icmp_type: int, code: int, rest: int, quote: bytes) -> bytes:
    return v4(source, destination, 1, icmp.build4(icmp_type, code, rest, quote))


def error6(source: str, destination: str, icmp_type: int, code: int, rest: int, quote: bytes) -> bytes:
    addresses = word_sum(ip_address(source).packed + ip_address(destination).packed)
    return raw6(source, destination, 58, icmp.build6(icmp_type, code, rest, quote, addresses))


def told(packet: bytes, toml: str = TOML, hops: int = 1) -> PacketExplanation:
    translator = Translator(config.parse(f"[domain.siit0]\n{toml}", "test").domain())
    return explain_packet(translator.addresses, packet, None, translator.translate(packet, hops))


def lines(packet: bytes, toml: str = TOML, hops: int = 1) -> list[str]:
    return [line.strip() for line in told(packet, toml, hops).lines(1)]


SYN = bytes.fromhex("4528002c303940004006a3dfc6336407cb0071509c4101bb11223344000000006002faf054470000020405b4")
