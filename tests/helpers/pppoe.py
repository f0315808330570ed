"""A PPPoE session between two interfaces, made by the kernel's own sockets (linux/if_pppox.h, linux/ppp-ioctl.h).

No pppd and no discovery: both ends know the session's number and each other's link-layer address, and PPP lets IP pass
without a negotiation.

    sockaddr_pppox, packed: 0 family u16 | 2 protocol u32 | 6 session, network order | 8 remote MAC | 14 interface
"""

import ctypes
import fcntl
import os
import socket
import struct
from contextlib import ExitStack

from nfxlat.errors import OperatorError

AF_PPPOX, PX_PROTO_OE = 24, 0
PPPIOCGCHAN, PPPIOCATTCHAN, PPPIOCCONNECT, PPPIOCNEWUNIT = 0x80047437, 0x40047438, 0x4004743A, 0xC004743E
MTU = 1492  # RFC 2516 7
_INT = struct.Struct("=i")


def session(stack: ExitStack, device: str, remote_mac: str, number: int) -> str:
    """One end, in the calling thread's network namespace, until `stack` closes; the new interface's name.

    Raises OperatorError where the kernel has no PPPoE.
    """
    try:
        channel = stack.enter_context(socket.socket(AF_PPPOX, socket.SOCK_STREAM, PX_PROTO_OE))
    except OSError as error:
        raise OperatorError(f"PPPoE: {error.strerror}") from None
    address = struct.pack("=HI", AF_PPPOX, PX_PROTO_OE) + struct.pack("!H", number)
    address += bytes.fromhex(remote_mac.replace(":", "")) + device.encode().ljust(16, b"\0")
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.connect(channel.fileno(), address, len(address)):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), device)
    index = fcntl.ioctl(channel, PPPIOCGCHAN, _INT.pack(0))
    joined, unit = (_opened(stack) for _ in range(2))
    fcntl.ioctl(joined, PPPIOCATTCHAN, index)
    [made] = _INT.unpack(fcntl.ioctl(unit, PPPIOCNEWUNIT, _INT.pack(-1)))
    fcntl.ioctl(joined, PPPIOCCONNECT, _INT.pack(made))
    return f"ppp{made}"


def _opened(stack: ExitStack) -> int:
    descriptor = os.open("/dev/ppp", os.O_RDWR | os.O_CLOEXEC)
    stack.callback(os.close, descriptor)
    return descriptor
