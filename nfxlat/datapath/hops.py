"""How many hops a translation point takes off."""

from nfxlat.wire.nfqueue import FORWARD, POSTROUTING


def hops_of(hook: int, indev: int, *, device: bool, result_is_local: bool) -> int:
    """How much TTL or Hop Limit the translator takes off, so that this node takes off one."""
    if hook in (FORWARD, POSTROUTING) and indev:
        return 0  # forwarding has taken one off already
    return int(result_is_local) if device else 1
