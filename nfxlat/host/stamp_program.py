"""The stamp's program: at ingress it writes a superframe's gso_size into skb->priority (`wire.stamp`).

It stamps only IP that is addressed to this node's link layer and has no priority yet; the rules put 0 back on all that
is not queued (rules/, priority -449).

Whether a UDP superframe is a row of datagrams (SKB_GSO_UDP_L4) is not in __sk_buff: the program reads gso_type where
BTF says it lies. Without BTF or CAP_PERFMON, and where it is not asked for, nothing is called fit as UDP. Where it is,
single datagrams are stamped too, so that all of a UDP flow goes to the same queue and keeps its order.
"""

import socket
from pathlib import Path

from nfxlat.host import bpf
from nfxlat.wire import bpf as code
from nfxlat.wire.btf import member_offsets
from nfxlat.wire.stamp import MAGIC, UDP

BTF = Path("/sys/kernel/btf/vmlinux")
ETH_P_IP, ETH_P_IPV6 = 0x0800, 0x86DD  # linux/if_ether.h
PACKET_HOST = 0  # linux/if_packet.h
SKB_GSO_DODGY, SKB_GSO_UDP_L4 = 1 << 1, 1 << 17  # linux/skbuff.h
NEXT = -1  # TCX_NEXT, TC_ACT_UNSPEC: whatever comes behind us decides


def gso_type_offsets() -> tuple[int, int, int] | None:
    """Offsets of sk_buff.head, sk_buff.end and skb_shared_info.gso_type; None where the kernel does not tell."""
    try:
        btf = BTF.read_bytes()
    except OSError:
        return None
    buffer, shared = (
        member_offsets(btf, "sk_buff", ("head", "end")),
        member_offsets(btf, "skb_shared_info", ("gso_type",)),
    )
    return (buffer[0], buffer[1], shared[0]) if buffer and shared else None


def program(offsets: tuple[int, int, int] | None) -> bytes:
    """The instructions; with `offsets` (of `gso_type_offsets`) it stamps UDP too."""
    r0, r1, r6, r7 = code.R0, code.R1, code.R6, code.R7
    udp: list[code.Instruction | str] = []
    if offsets is not None:
        udp = [*_unless_udp_l4(*offsets, target="store"), "udp", code.or_value(r7, UDP)]
    return code.assemble(
        code.move(r6, r1),
        code.load(r1, r6, bpf.SKB_PROTOCOL),
        code.jump_if(r1, socket.htons(ETH_P_IP), "ip"),
        code.jump_unless(r1, socket.htons(ETH_P_IPV6), "out"),
        "ip",
        code.load(r1, r6, bpf.SKB_PKT_TYPE),
        code.jump_unless(r1, PACKET_HOST, "out"),
        code.load(r1, r6, bpf.SKB_PRIORITY),
        code.jump_unless(r1, 0, "out"),
        code.load(r7, r6, bpf.SKB_GSO_SIZE),
        code.jump_if(r7, 0, "udp" if udp else "out"),
        *udp,
        "store",
        code.or_value(r7, MAGIC),
        code.store(r6, bpf.SKB_PRIORITY, r7),
        "out",
        code.move_value(r0, NEXT),
        code.EXIT,
    )


def _unless_udp_l4(head: int, end: int, gso_type: int, *, target: str) -> list[code.Instruction]:
    """Jump to `target` unless the gso_type of the sk_buff in r6 is SKB_GSO_UDP_L4 and nothing else."""
    r0, r1, r2, r3, r6, fp = code.R0, code.R1, code.R2, code.R3, code.R6, code.R10

    def read(slot: int, size: int) -> list[code.Instruction]:  # the `size` octets at r3, into the stack
        return [
            code.move(r1, fp),
            code.add_value(r1, slot),
            code.move_value(r2, size),
            code.call(bpf.PROBE_READ_KERNEL),
            code.jump_unless(r0, 0, target),
        ]

    return [
        code.move(r3, r6),  # the context of a classifier is the sk_buff itself
        code.add_value(r3, head),
        *read(-8, 8),
        code.move(r3, r6),
        code.add_value(r3, end),
        *read(-16, 4),
        code.load(r3, fp, -8, code.DW),  # skb_shared_info lies at head + end (skb_end_pointer, 64 bits)
        code.load(r1, fp, -16),
        code.add(r3, r1),
        code.add_value(r3, gso_type),
        *read(-16, 4),
        code.load(r1, fp, -16),
        code.and_value(r1, ~SKB_GSO_DODGY),  # of a guest's or a packet socket's making: the same type
        code.jump_unless(r1, SKB_GSO_UDP_L4, target),
    ]
