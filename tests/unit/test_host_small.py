"""Addresses, capabilities, names: what needs no namespace of its own."""

import socket

import pytest

from nfxlat.errors import OperatorError
from nfxlat.host import capabilities
from nfxlat.host.addresses import local_addresses, watch_addresses
from nfxlat.host.device import far_interface


def test_loopback_is_among_the_local_addresses() -> None:
    assert socket.inet_aton("127.0.0.1") in local_addresses()


def test_address_watch_drains_without_waiting() -> None:
    with watch_addresses() as watch:
        assert watch.fileno() >= 0
        watch.drain()


def test_missing_capabilities_are_named_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capabilities, "missing", lambda *names: list(names))
    with pytest.raises(OperatorError) as caught:
        capabilities.require("CAP_NET_ADMIN", "CAP_NET_RAW", what="--setup")
    assert str(caught.value) == "--setup needs CAP_NET_ADMIN and CAP_NET_RAW; run as root"


@pytest.mark.parametrize(("name", "far"), [("siit0", "siit0p"), ("fifteen-chars-1", "fifteen-chars-p")])
def test_far_interface_fits_the_kernel_s_limit(name: str, far: str) -> None:
    assert far_interface(name) == far
    assert len(far) <= 15
