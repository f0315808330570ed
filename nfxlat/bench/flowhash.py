"""Give what leaves an interface the flow hash that a network card gives what it receives.

GRO sorts flows into eight lists of eight by skb->hash (net/core/gro.c). Frames of a packet socket have none, so that of
more than eight flows that take turns not one would ever be coalesced.
"""

from __future__ import annotations

import os
import socket

from nfxlat.errors import OperatorError
from nfxlat.host import bpf
from nfxlat.wire import bpf as code

GET_HASH_RECALC = 34  # BPF_FUNC_get_hash_recalc(context): computes skb->hash over addresses and ports where it lacks
NEXT = -1  # TCX_NEXT


def program() -> bytes:
    """The instructions of a classifier."""
    return code.assemble(code.call(GET_HASH_RECALC), code.move_value(code.R0, NEXT), code.EXIT)


def attach(interface: str) -> int | None:
    """A descriptor; while it is open, frames that leave `interface` of the calling thread's namespace are hashed.

    None where the kernel refuses (before 6.6, or without BPF).
    """
    loaded = -1
    try:
        loaded = bpf.load(program(), "nfxlat_hash")
        return bpf.link_tcx_egress(loaded, socket.if_nametoindex(interface))
    except (OSError, OperatorError):
        return None
    finally:
        if loaded >= 0:
            os.close(loaded)
