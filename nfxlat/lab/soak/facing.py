"""Two translators that face each other: what one makes is for the other, and the other way round, for ever if no hop
were taken.

    host --- one ===(IPv4, IPv6)=== other      198.51.100.9 is 2001:db8:bb::198.51.100.9 to one, and to other again
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from nfxlat.lab.capture import send_packet
from nfxlat.lab.matrix.packets import datagram
from nfxlat.lab.netns import Namespace, links, wait_for
from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.soak.accounts import Row, told

ONE = """\
[domain.siit0]
prefix6 = "2001:db8:aa::/96"
eam = [["198.51.100.0/24", "2001:db8:bb::c633:6400/120"]]
"""
OTHER = """\
[domain.siit0]
prefix6 = "2001:db8:bb::/96"
eam = [["192.0.2.0/24", "2001:db8:aa::c000:200/120"]]
"""
HOPS, ERRORS = 64, 2  # of the errors that tell of the last hop some are translated, too


def facing(packets: int = 100, inject: str = "device") -> Row:
    """Packets with 64 hops each: each is translated at most so often, and then there is peace."""
    with (
        Namespace("host") as host,
        Namespace("one") as one,
        Namespace("other") as other,
        tempfile.TemporaryDirectory() as at,
    ):
        links([(host, "to-1", one, "to-h", 1500), (one, "four", other, "four", 1500), (one, "six", other, "six", 1500)])
        host.ip_batch(["address add 192.0.2.2/24 dev to-1", "route add default via 192.0.2.1"])
        one.ip_batch(
            [
                "address add 192.0.2.1/24 dev to-h",
                "address add 198.18.0.1/30 dev four",
                "address add 2001:db8:f::1/64 dev six",
                "route add 2001:db8:bb::/96 via 2001:db8:f::2",
            ]
        )
        other.ip_batch(
            [
                "address add 198.18.0.2/30 dev four",
                "address add 2001:db8:f::2/64 dev six",
                "route add 198.51.100.0/24 via 198.18.0.1",
            ]
        )
        for namespace in (host, one, other):
            namespace.sysctl("net.ipv4.conf.all.rp_filter", 0)
            namespace.wait_ready()
        processes = []
        for namespace, text in ((one, ONE), (other, OTHER)):
            folder = Path(at, namespace.label)
            folder.mkdir()
            (folder / "f.toml").write_text(text)
            processes.append(
                TranslatorProcess(namespace, folder, "--config", str(folder / "f.toml"), "--inject", inject)
            )
        with processes[0] as first, processes[1] as second:

            def taken() -> int:
                return sum(int(told(process)["totals"]["packets"]) for process in (first, second))

            for _ in range(packets):
                host.call(send_packet, datagram("192.0.2.2", "198.51.100.9", b"", HOPS), "198.51.100.9")
            seen = [-1, taken()]

            def at_rest() -> bool:
                time.sleep(0.5)
                seen.append(taken())
                return seen[-1] == seen[-2]

            wait_for(at_rest, "peace", 30)
            alive = first.alive() and second.alive()
        passes = seen[-1]
    figures = f"{packets} packets of {HOPS} hops, translated {passes:,} times, then peace"
    return Row(
        f"two translators face to face ({inject})", figures, alive and packets < passes <= packets * (HOPS + ERRORS)
    )
