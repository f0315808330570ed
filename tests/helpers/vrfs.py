"""VRFs in a lab's namespace, where the kernel has them."""

import pytest
from carried import addresses, routes

from nfxlat.errors import OperatorError
from nfxlat.lab.netns import Namespace


def make(node: Namespace, name: str, table: int) -> None:
    """A VRF, up; skips the test where the kernel has none."""
    try:
        node.ip(f"link add {name} type vrf table {table}")
    except OperatorError as error:
        if "nknown device type" not in error.what and "not supported" not in error.what:
            raise
        pytest.skip(f"this kernel: {error.what}")
    node.ip(f"link set {name} up")


def join(node: Namespace, device: str, vrf: str) -> None:
    """With its addresses, which IPv6 loses as the interface goes down and up, and its routes."""
    own, paths = addresses(node, device), routes(node, device)
    node.ip(f"link set {device} master {vrf}")
    for address in own:
        if ":" in address:
            node.ip(f"address add {address} dev {device} nodad")
    for path in paths:
        node.ip(f"{path} dev {device} vrf {vrf}")
