"""The host's addresses: which are local, and that a change of them is noted."""

import select
import socket
from contextlib import nullcontext
from ipaddress import ip_address
from types import SimpleNamespace

import pytest

from nfxlat.host import addresses
from nfxlat.host.addresses import judged_addresses, local_addresses, watch_addresses


def test_loopback_is_among_the_local_addresses() -> None:
    assert socket.inet_aton("127.0.0.1") in local_addresses()


def test_address_watch_drains_without_waiting() -> None:
    with watch_addresses() as watch:
        watch.drain()
        assert select.select([watch], [], [], 0)[0] == []


def test_deprecated_and_tentative_addresses_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flags of linux/if_addr.h; an address that is fit on one interface is fit."""
    shown = [("192.0.2.1", 0x80), ("192.0.2.2", 0xA0), ("fe80::1", 0x40), ("fe80::1", 0x80), ("2001:db8::1", 0x48)]
    messages = [{"IFA_ADDRESS": address, "IFA_FLAGS": flags} for address, flags in shown]
    answer = [SimpleNamespace(get_attr=message.get) for message in messages]
    kernel = nullcontext(SimpleNamespace(get_addr=lambda: answer))
    monkeypatch.setattr(addresses, "IPRoute", lambda: kernel)
    local, unfit = judged_addresses()
    assert local == {ip_address(address).packed for address, _ in shown}
    assert unfit == {ip_address(address).packed for address in ("192.0.2.2", "2001:db8::1")}
