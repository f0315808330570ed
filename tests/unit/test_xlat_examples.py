"""Worked examples, octet for octet: computed by hand, so they judge the core from outside."""

from packets import T, only

from nfxlat.outcome import Reason
from nfxlat.wire.checksum import internet_checksum

P = "20010db8 00640000 00000000 "
A, B = P + "c6336407 ", P + "cb007150 "  # 198.51.100.7, 203.0.113.80


def octets(*parts: str) -> bytes:
    return bytes.fromhex("".join(parts))


def translated(packet: bytes) -> bytes:
    return only(T.translate(packet))


# 4.1-05 to 4.1-12, 4.5-01
def test_tcp_syn_4to6() -> None:
    packet = octets(
        "4528002c 30394000 4006a3df c6336407 cb007150",
        "9c4101bb 11223344 00000000 6002faf0 54470000 020405b4",
    )
    assert translated(packet) == octets(
        "62800000 0018063f", A, B, "9c4101bb 11223344 00000000 6002faf0 f80c0000 020405b4"
    )


ECHO_DATA = "0a0b0007 736969742d70696e67"


# 4.2-01, 4.2-02, 4.0-05
def test_echo_request_4to6() -> None:
    packet = octets("45000025 10010000 4001044c c6336407 cb007150 08001331", ECHO_DATA)
    assert translated(packet) == octets("60000000 00113a3f", A, B, "8000d81e", ECHO_DATA)


# 5.1-01 to 5.1-10, 5.2-01
def test_echo_reply_6to4() -> None:
    packet = octets("60000000 00113a39", B, A, "8100d71e", ECHO_DATA)
    result = translated(packet)
    # The identification is the generator's, so the header checksum follows it.
    assert result[:4] + result[6:10] == octets("45000025 0000 3801")
    assert result[4:6] != b"\0\0"
    assert internet_checksum(result[:20]) == 0
    assert result[12:] == octets("cb007150 c6336407 00001b31", ECHO_DATA)


UDP_DATA = "030a11181f262d343b424950575e656c"
PACKET_TOO_BIG = octets(
    "60000000 00483a3e 20010db8 00fe0000 00000000 00000001", A, "0200aa19 00000578",
    "60000000 05b4113b", A, B, "cf8413c4 05b4024f", UDP_DATA,
)  # fmt: skip


# 5.3-01, 5.3-02, Q-04, Q-06, Q-07, Q-09, M-05, D-01, D-02, D-04
def test_packet_too_big_of_a_router_without_a_mapping() -> None:
    result = translated(PACKET_TOO_BIG)
    assert result[:4] + result[6:10] == octets("450000b8 0000 3d01")  # 184 octets, TTL 62 - 1
    assert internet_checksum(result[:20]) == 0
    assert result[12:20] == octets("c0000008 c6336407")
    assert result[20:28] == octets("03040e18 00200564")
    quote = octets("450005c8 00004000 3b11d399 c6336407 cb007150 cf8413c4 05b45e89", UDP_DATA)
    assert result[28:156] == quote.ljust(128, b"\0")
    assert result[156:] == octets("2000ac29 00180504 00020000 20010db8 00fe0000 00000000 00000001")


# D-03
def test_packet_too_big_of_a_router_with_a_mapping_carries_no_extension() -> None:
    packet = bytearray(PACKET_TOO_BIG)
    router = octets(P, "c0000009")
    packet[8:24] = router
    packet[42:44] = bytes(2)
    pseudo = router + octets(A) + octets("00000048 0000003a")
    packet[42:44] = internet_checksum(pseudo + packet[40:]).to_bytes(2, "big")
    result = translated(bytes(packet))
    assert result[12:16] == octets("c0000009")
    assert len(result) == 72
    assert result[20:28] == octets("03040e38 00000564")


# 4.2-07, 4.2-09, X-04, X-06: nothing of the quote is cut
def test_time_exceeded_with_an_mpls_object_4to6() -> None:
    data = bytes(range(0x40, 0xA4)).hex()
    extension = "2000ca0d 00080101 03e81101"
    packet = octets(
        "45c000a8 07770000 fa01cb61 c0000281 c6336407", "0b005be9 00200000",
        "45000080 22220000 011130c0 c6336407 cb007150", "829a829b 006c6afa", data, extension,
    )  # fmt: skip
    assert translated(packet) == octets(
        "6c000000 00ac3af9", P, "c0000281", A, "03002f32 13000000",
        "60000000 006c1101", A, B, "829a829b 006c0ec0", data, "00000000", extension,
    )  # fmt: skip


# 4.1-01, 4.1-17 to 4.1-22
def test_df_0_is_cut_to_1280() -> None:
    header = octets("450005dc 30390000 40110000 c6336407 cb007150")
    checksum = internet_checksum(header).to_bytes(2, "big")
    packet = header[:10] + checksum + header[12:] + octets("00350035 05c81234") + bytes(1472)
    outcome = T.translate(packet)
    assert outcome.reason is Reason.FRAGMENTED
    first, second = outcome.packets
    assert first[:40] == octets("60000000 04d82c3f", A, B)
    assert first[40:48] == octets("11000001 00003039")
    assert second[:48] == octets("60000000 01002c3f", A, B, "110004d0 00003039")
    assert (len(first), len(second)) == (1280, 296)
    assert first[48 + 8 :] + second[48:] == bytes(1472)
