"""The host's addresses: which are local, and that a change of them is noted."""

import select
import socket

from nfxlat.host.addresses import local_addresses, watch_addresses


def test_loopback_is_among_the_local_addresses() -> None:
    assert socket.inet_aton("127.0.0.1") in local_addresses()


def test_address_watch_drains_without_waiting() -> None:
    with watch_addresses() as watch:
        watch.drain()
        assert select.select([watch], [], [], 0)[0] == []
