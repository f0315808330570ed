"""nfnetlink_queue messages, octet by octet."""

import struct

from nfxlat.wire import nfqueue as nl
from nfxlat.wire.netlink import NLM_F_ACK, NLM_F_REQUEST


def test_configuration_request_is_laid_out_as_the_kernel_reads_it() -> None:
    message = nl.config(7, nl.config_command(nl.CMD_BIND))
    length, kind, flags, _, _ = struct.unpack_from("=IHHII", message)
    assert (length, kind, flags) == (len(message), 3 << 8 | 2, NLM_F_REQUEST | NLM_F_ACK)
    assert message[16:20] == bytes([0, 0, 0, 7])  # nfgenmsg: the queue number is in network order
    assert message[20:] == struct.pack("=HH", 8, nl.NFQA_CFG_CMD) + bytes([nl.CMD_BIND, 0, 0, 0])


def test_copy_mode_is_packet_with_its_range() -> None:
    assert nl.config_copy(0xFFFB) == struct.pack("=HH", 9, nl.NFQA_CFG_PARAMS) + b"\x00\x00\xff\xfb\x02\0\0\0"


def test_flags_carry_their_mask() -> None:
    assert nl.config_flags(nl.F_GSO, nl.F_GSO | nl.F_FAIL_OPEN) == (
        struct.pack("=HH", 8, nl.NFQA_CFG_FLAGS)
        + struct.pack("!I", 4)
        + struct.pack("=HH", 8, nl.NFQA_CFG_MASK)
        + struct.pack("!I", 5)
    )


def test_verdicts_name_the_packet_and_differ_in_type_only() -> None:
    single, batch = (nl.verdict(8, nl.NF_DROP, 0x01020304, batch=flag) for flag in (False, True))
    assert struct.unpack_from("=H", single, 4)[0] == 3 << 8 | nl.MSG_VERDICT
    assert struct.unpack_from("=H", batch, 4)[0] == 3 << 8 | nl.MSG_VERDICT_BATCH
    assert single[6:] == batch[6:]
    assert single[-8:] == bytes([0, 0, 0, nl.NF_DROP, 1, 2, 3, 4])
    assert single[nl.VERDICT_ID_AT :] == bytes([1, 2, 3, 4])
