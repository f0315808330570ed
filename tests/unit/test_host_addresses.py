"""The host's addresses: which are local, and that a change of them is noted."""

import select
import socket
from ipaddress import ip_address

import pytest

from nfxlat.host import addresses
from nfxlat.host.addresses import Address, judged_addresses, local_addresses, watch_addresses


def test_loopback_is_among_the_local_addresses() -> None:
    assert socket.inet_aton("127.0.0.1") in local_addresses()


def test_address_watch_drains_without_waiting() -> None:
    with watch_addresses() as watch:
        watch.drain()
        assert select.select([watch], [], [], 0)[0] == []


def test_deprecated_and_tentative_addresses_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flags of linux/if_addr.h; an address that is fit on one interface is fit."""
    shown = [("192.0.2.1", 0x80), ("192.0.2.2", 0xA0), ("fe80::1", 0x40), ("fe80::1", 0x80), ("2001:db8::1", 0x48)]
    answer = [Address(2, ip_address(address).packed, 24, 0, flags) for address, flags in shown]
    monkeypatch.setattr(addresses, "listed", lambda: answer)
    local, unfit = judged_addresses()
    assert local == {ip_address(address).packed for address, _ in shown}
    assert unfit == {ip_address(address).packed for address in ("192.0.2.2", "2001:db8::1")}
