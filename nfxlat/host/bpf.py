"""The bare bpf(2): load a program, link it to an interface's ingress. Numbers and layouts: linux/bpf.h.

BPF_PROG_LOAD:   prog_type u32, insn_cnt u32, insns u64, license u64, log_level u32, log_size u32, log_buf u64,
                 kern_version u32, prog_flags u32, prog_name 16 octets
BPF_LINK_CREATE: prog_fd u32, target_ifindex u32, attach_type u32, flags u32, tcx: relative_fd u32, pad, revision u64
BPF_LINK_DETACH: link_fd u32
"""

import contextlib
import ctypes
import os
import platform
import signal
import struct

from nfxlat.errors import OperatorError

# __NR_bpf of 64-bit processes, by machine (asm/unistd.h)
_SYSCALL = {
    "x86_64": 321,
    "aarch64": 280,
    "riscv64": 280,
    "loongarch64": 280,
    "ppc64": 361,
    "ppc64le": 361,
    "s390x": 351,
    "mips64": 5315,
}
_PROG_LOAD, _LINK_CREATE, _LINK_DETACH = 5, 28, 34
_PROG_TYPE_SCHED_CLS = 3
_TCX_INGRESS, _TCX_EGRESS = 46, 47
_LOAD = struct.Struct("=IIQQIIQII16s")
_LINK = struct.Struct("=IIIIIIQ")
_DETACH = struct.Struct("=I")


_libc = ctypes.CDLL(None, use_errno=True)


def call(command: int, attributes: bytes) -> int:
    """The descriptor that the command makes, else 0. Raises OSError; OperatorError on a machine whose number is not
    known."""
    return call_with(command, ctypes.create_string_buffer(attributes, len(attributes)), len(attributes))


def call_with(command: int, attributes: "ctypes.Array[ctypes.c_char]", size: int) -> int:
    """The same; what the kernel answers is then in `attributes`."""
    number = _SYSCALL.get(platform.machine()) if struct.calcsize("P") == 8 else None
    if number is None:
        raise OperatorError(f"the system call number of bpf(2) on {platform.machine()} is unknown", where="stamp")
    result = int(_libc.syscall(ctypes.c_long(number), ctypes.c_int(command), attributes, ctypes.c_uint(size)))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def load(instructions: bytes, name: str) -> int:
    """Descriptor of a classifier (BPF_PROG_TYPE_SCHED_CLS) named `name` (15 octets at most).

    Raises OSError: EPERM without CAP_BPF and CAP_NET_ADMIN, EINVAL or EACCES where the verifier refuses, ENOSYS.
    Signals wait meanwhile: the verifier takes tens of milliseconds, and gives up with EAGAIN when one comes.
    """
    code = ctypes.create_string_buffer(instructions, len(instructions))
    licence = ctypes.create_string_buffer(b"GPL")
    addresses = ctypes.addressof(code), ctypes.addressof(licence)
    asked = _LOAD.pack(_PROG_TYPE_SCHED_CLS, len(instructions) // 8, *addresses, 0, 0, 0, 0, 0, name.encode()[:15])
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        return call(_PROG_LOAD, asked)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def link_tcx_ingress(program: int, ifindex: int) -> int:
    """Descriptor of a link (6.6+) that puts the program behind those already at the ingress; it dies with it.

    Raises OSError: EINVAL on older kernels, ENODEV without such an interface.
    """
    return call(_LINK_CREATE, _LINK.pack(program, ifindex, _TCX_INGRESS, 0, 0, 0, 0))


def link_tcx_egress(program: int, ifindex: int) -> int:
    """The same at the egress."""
    return call(_LINK_CREATE, _LINK.pack(program, ifindex, _TCX_EGRESS, 0, 0, 0, 0))


def detach(link: int) -> None:
    """Take the program off, whoever else has a descriptor of the link, and close ours."""
    with contextlib.suppress(OSError):  # its interface is gone
        call(_LINK_DETACH, _DETACH.pack(link))
    os.close(link)
