"""The lab: an IPv4-only host, the translator, an IPv6-only host, and a router hop on each side. See `DRAWING`.

The translator's namespace has addresses and native routes and nothing else: no forwarding, device or rules, which are
the work of `nfxlat run --setup`. The narrow links stand beside the wide ones and have host addresses of their own, so
that path MTU discovery meets an MTU beyond the translator in either direction while bulk transfers keep 1500.

    towards host6's narrow address: the translator's own link says 1500 (1480 in IPv4), then router6 1400 (1380)
    towards host4's narrow address: router4 says 1400 (1420 in IPv6)
"""

from __future__ import annotations

import contextlib
import ipaddress
import itertools
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from nfxlat.lab.leftovers import remove_remains
from nfxlat.lab.netns import Namespace, links, signals_deferred

DRAWING = """\
  . . . . . . IPv4 only . . . . . . . . . . . . . . IPv6 only . . . . . . .
  host4 ======= router4 ------- translator ------- router6 ======= host6
  = two links: one with MTU 1500, and a narrow one with MTU 1400

  host4       192.0.2.2, narrow 192.0.2.34
  router4     192.0.2.1, narrow 192.0.2.33, and 192.0.2.17
  translator  192.0.2.18 and 2001:db8:1::1
  router6     2001:db8:1::2, and 2001:db8:2::1, narrow 2001:db8:3::1
  host6       2001:db8:2::2                  to host4: 203.0.113.2 (EAM)
              2001:db8:64::c633:6402         to host4: 198.51.100.2 (prefix6)
              narrow 2001:db8:64::c633:6422  to host4: 198.51.100.34 (prefix6)
  host4 is to host6: 2001:db8:64::c000:202, narrow 2001:db8:64::c000:222"""

DOMAIN = """\
[domain.siit0]
prefix6 = "2001:db8:64::/96"
pool4 = ["198.51.100.0/24"]                  # IPv6 hosts reached through prefix6
eam = [["203.0.113.2", "2001:db8:2::2"]]     # an IPv6 host with an address of its own choice
rfc6791-v4 = ["203.0.113.240/28"]            # routers without an IPv4 address, in traceroute
"""

PREFIX6 = ipaddress.IPv6Network("2001:db8:64::/96")
MTU, NARROW_MTU = 1500, 1400


def in_prefix6(address4: str) -> str:
    """The IPv6 address of `address4` inside the lab's prefix6, a /96 (RFC 6052 2.2)."""
    return str(PREFIX6[int(ipaddress.IPv4Address(address4))])


HOST4, HOST4_NARROW = "192.0.2.2", "192.0.2.34"
HOST4_6, HOST4_NARROW_6 = in_prefix6(HOST4), in_prefix6(HOST4_NARROW)
DEAD4 = "192.0.2.14"  # router4 has an unreachable route for it
DEAD4_6 = in_prefix6(DEAD4)
ROUTER4 = ("192.0.2.1", "192.0.2.17", "192.0.2.33")
TRANSLATOR = ("192.0.2.18", "2001:db8:1::1")
ROUTER6 = ("2001:db8:1::2", "2001:db8:2::1", "2001:db8:3::1")
HOST6 = "2001:db8:2::2"  # by EAM
HOST6_EAM4 = "203.0.113.2"
HOST6_4 = "198.51.100.2"  # by prefix6
HOST6_PREFIX = in_prefix6(HOST6_4)
HOST6_NARROW_4 = "198.51.100.34"
HOST6_NARROW = in_prefix6(HOST6_NARROW_4)
DEAD6_4 = "198.51.100.14"  # router6 has an unreachable route for what it does not know in the /120
DEAD6 = in_prefix6(DEAD6_4)
# benchmarking addresses (RFC 2544 C.2.2) that carry IPv4 on past the translator, while `plain_ipv4` lasts
PLAIN_HOST6 = "198.18.1.2"

ADDRESSES = """
host4       to-r4  192.0.2.2/28
host4       narrow 192.0.2.34/28
router4     to-h4  192.0.2.1/28
router4     narrow 192.0.2.33/28
router4     to-x   192.0.2.17/28
translator  to-r4  192.0.2.18/28
translator  to-r6  2001:db8:1::1/64
router6     to-x   2001:db8:1::2/64
router6     to-h6  2001:db8:2::1/64
router6     narrow 2001:db8:3::1/64
host6       to-r6  2001:db8:2::2/64
host6       narrow 2001:db8:3::2/64
host6       to-r6  2001:db8:64::c633:6402/128
host6       narrow 2001:db8:64::c633:6422/128
"""

ROUTES = """
host4       default via 192.0.2.1
router4     default via 192.0.2.18
router4     unreachable 192.0.2.14
translator  192.0.2.0/28 via 192.0.2.17
translator  192.0.2.32/28 via 192.0.2.17
translator  2001:db8:2::/64 via 2001:db8:1::2
translator  2001:db8:3::/64 via 2001:db8:1::2
translator  2001:db8:64::c633:6400/120 via 2001:db8:1::2
router6     default via 2001:db8:1::1
router6     2001:db8:64::c633:6402/128 via 2001:db8:2::2
router6     2001:db8:64::c633:6422/128 via 2001:db8:3::2
router6     unreachable 2001:db8:64::c633:6400/120
host6       default via 2001:db8:2::1
"""

# what `plain_ipv4` adds: namespace, "address"/"route", the rest
PLAIN = """
translator  address 198.18.0.1/30 dev to-r6
router6     address 198.18.0.2/30 dev to-x
router6     address 198.18.1.1/30 dev to-h6
host6       address 198.18.1.2/30 dev to-r6
translator  route 198.18.1.0/30 via 198.18.0.2
router6     route 192.0.2.0/26 via 198.18.0.1
host6       route 192.0.2.0/26 via 198.18.1.1
"""


DIRECTORY = "/run/nfx"
_numbers = itertools.count()  # a process may hold several labs


class Lab:
    """The five namespaces of `DRAWING`, linked and routed, for as long as the `with` block lasts."""

    def __init__(self) -> None:
        number = next(_numbers)
        suffix = f"-{number}" if number else ""
        roles = ("host4", "router4", "translator", "router6", "host6")
        self.namespaces = {role: Namespace(role + suffix) for role in roles}
        self.host4, self.router4, self.translator, self.router6, self.host6 = self.namespaces.values()
        self.directory = Path(f"{DIRECTORY}-{os.getpid():x}{suffix}")  # for logs and summaries

    def __enter__(self) -> Lab:
        try:
            with signals_deferred():
                for namespace in self.namespaces.values():
                    namespace.__enter__()
                self.directory.mkdir(mode=0o700)
                self._build()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove all five with what runs inside, even where one fails. Safe to call twice."""
        with signals_deferred(), contextlib.ExitStack() as stack:
            stack.callback(shutil.rmtree, self.directory, ignore_errors=True)
            inode = self.translator.inode if os.path.exists(self.translator.path) else None
            if inode is not None:
                stack.callback(remove_remains, inode)
            for namespace in self.namespaces.values():
                stack.callback(namespace.close)

    def _build(self) -> None:
        for namespace in self.namespaces.values():
            forwards = namespace in (self.router4, self.router6)
            # a new namespace takes over IPv4 settings of the machine's own (devinet.c): state all that matter here
            namespace.sysctl("net.ipv4.ip_forward", int(forwards))
            namespace.sysctl("net.ipv6.conf.all.forwarding", int(forwards))
            for scope in ("all", "default"):
                namespace.sysctl(f"net.ipv4.conf.{scope}.rp_filter", 0)
                namespace.sysctl(f"net.ipv6.conf.{scope}.disable_ipv6", int(namespace in (self.host4, self.router4)))
            # pacing (bbr) would measure the pacing
            namespace.sysctl("net.ipv4.tcp_congestion_control", "reno")
        links(
            [
                (self.host4, "to-r4", self.router4, "to-h4", MTU),
                (self.host4, "narrow", self.router4, "narrow", NARROW_MTU),
                (self.router4, "to-x", self.translator, "to-r4", MTU),
                (self.translator, "to-r6", self.router6, "to-x", MTU),
                (self.router6, "to-h6", self.host6, "to-r6", MTU),
                (self.router6, "narrow", self.host6, "narrow", NARROW_MTU),
            ]
        )
        lines: dict[str, list[str]] = {role: [] for role in self.namespaces}
        for line in ADDRESSES.strip().splitlines():
            where, device, address = line.split()
            lines[where].append(f"address add {address} dev {device}")
        for line in ROUTES.strip().splitlines():
            where, route = line.split(maxsplit=1)
            lines[where].append(f"route add {route}")
        for where, namespace in self.namespaces.items():
            namespace.ip_batch(lines[where])
        for namespace in self.namespaces.values():
            namespace.wait_ready()

    @contextlib.contextmanager
    def plain_ipv4(self) -> Iterator[None]:
        """host4 reaches host6 as `PLAIN_HOST6` along the same links, forwarded by the kernel alone."""
        with contextlib.ExitStack() as stack:
            if self.translator.sysctl("net.ipv4.ip_forward") == "0":
                self.translator.sysctl("net.ipv4.ip_forward", 1)
                stack.callback(self.translator.sysctl, "net.ipv4.ip_forward", 0)
            for line in PLAIN.strip().splitlines():
                where, kind, rest = line.split(maxsplit=2)
                self.namespaces[where].ip(f"{kind} add {rest}")
                stack.callback(self.namespaces[where].ip, f"{kind} del {rest}")
            yield
