"""Give what leaves an interface the flow hash that a network card gives what it receives.

GRO sorts flows into eight lists of eight by skb->hash (net/core/gro.c). Frames of a packet socket have none, so that of
more than eight flows that take turns not one would ever be coalesced.
"""

from __future__ import annotations

import os
import socket

from nfxlat.errors import OperatorError
from nfxlat.host import bpf
from nfxlat.offload.program import linked, text


def attach(interface: str) -> int | None:
    """A descriptor; while it is open, frames that leave `interface` of the calling thread's namespace are hashed.

    None where the kernel refuses (before 6.6, or without BPF).
    """
    loaded = -1
    try:
        loaded = bpf.load(linked(text("flowhash"), {}, {}), "nfxlat_hash")
        return bpf.link_tcx_egress(loaded, socket.if_nametoindex(interface))
    except (OSError, OperatorError):
        return None
    finally:
        if loaded >= 0:
            os.close(loaded)
