"""The stand for drivers: a tester and a translator in namespaces of their own, two links between them.

    tester  ipv4-side ------- to-4  translator  to-6 ------- ipv6-side  tester
            (no address)  192.0.2.1           2001:db8:1::1  (no address)

The tester's interfaces have no addresses, no ARP and no IPv6: what answers there is the suite.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from pyroute2.ethtool import Ethtool

from nfxlat.conformance.drivers import FOUR, SIX, Driver, Place
from nfxlat.conformance.links import OWN4, OWN6, THEIRS4, THEIRS6, Sides
from nfxlat.conformance.native import native
from nfxlat.conformance.suite import Domain
from nfxlat.lab.leftovers import remove_remains
from nfxlat.lab.netns import Namespace, links, signals_deferred

TESTER4, TESTER6 = "ipv4-side", "ipv6-side"
_numbers = itertools.count()

_OFFLOADS = {"tx-tcp-segmentation", "tx-tcp6-segmentation", "tx-udp-segmentation", "tx-generic-segmentation"}
_OFFLOADS |= {"tx-checksum-ip-generic"}

# errors are counted by cases, not by rate
_SYSCTLS = {
    "net.ipv4.ip_forward": 1,
    "net.ipv6.conf.all.forwarding": 1,
    "net.ipv4.icmp_ratelimit": 0,
    "net.ipv6.icmp.ratelimit": 0,
    "net.ipv4.conf.all.rp_filter": 0,
    "net.ipv4.conf.default.rp_filter": 0,
    "net.ipv4.conf.all.send_redirects": 0,
    "net.ipv4.conf.default.send_redirects": 0,
}


@contextlib.contextmanager
def stand(driver: Driver, domain: Domain) -> Iterator[Sides]:
    """The driver's translator at work for the domain, and the link through it."""
    with both(driver, domain) as (tester, place):
        with tester.entered():
            sides = Sides({4: TESTER4, 6: TESTER6}, place.own4, place.own6)
        with sides:
            yield sides


@contextlib.contextmanager
def both(driver: Driver, domain: Domain) -> Iterator[tuple[Namespace, Place]]:
    """The tester's namespace and the translator's, with the driver's translator at work."""
    number = next(_numbers)
    tester, translator = Namespace(f"tester{number}"), Namespace(f"xlat{number}")
    folder = Path(f"/run/nfx-{os.getpid():x}-conformance{number}")
    with contextlib.ExitStack() as stack:
        with signals_deferred():
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            folder.mkdir(mode=0o700)
            for namespace in (tester, translator):
                stack.enter_context(namespace)
            stack.callback(remove_remains, translator.inode)
            _build(tester, translator, domain)
        place = Place(translator, folder, [THEIRS4], [THEIRS6])
        stack.enter_context(driver.running(domain, place))
        yield tester, place


def _build(tester: Namespace, translator: Namespace, domain: Domain) -> None:
    for scope in ("all", "default"):
        tester.sysctl(f"net.ipv6.conf.{scope}.disable_ipv6", 1)
    for key, value in _SYSCTLS.items():
        with contextlib.suppress(FileNotFoundError):
            translator.sysctl(key, value)
    links(
        [
            (tester, TESTER4, translator, FOUR, domain.mtu4),
            (tester, TESTER6, translator, SIX, domain.mtu6),
        ]
    )
    tester.ip_batch([f"link set {name} arp off" for name in (TESTER4, TESTER6)])
    with contextlib.suppress(FileNotFoundError):  # an MTU below 1280
        translator.sysctl(f"net.ipv6.conf.{FOUR}.disable_ipv6", 1)
    natives = [f"route add {network} via {OWN6} dev {SIX}" for network in native(domain)]
    translator.ip_batch(
        [
            f"address add {THEIRS4}/24 dev {FOUR}",
            f"address add {THEIRS6}/64 dev {SIX} nodad",
            f"route add default via {OWN4} dev {FOUR}",
            f"route add default via {OWN6} dev {SIX}",
            *natives,
        ]
    )
    translator.wait_ready()
    translator.call(_segments_itself)


def _segments_itself() -> None:
    """What leaves the translator is finished: the kernel segments superframes and computes checksums before."""
    with Ethtool() as ethtool:
        for name in (FOUR, SIX):
            features = ethtool.get_features(name)
            for key in _OFFLOADS & features.features.keys():
                features.features[key].enable = False
            ethtool.set_features(name, features)
