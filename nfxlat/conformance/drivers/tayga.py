"""TAYGA, as the distribution has it: a daemon behind a TUN device, to which the kernel routes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from ipaddress import IPv6Network

from nfxlat.conformance.drivers import Driver, Place
from nfxlat.conformance.suite import Domain
from nfxlat.lab.tayga import MISSING, started, tayga_binary, tayga_version

ADDRESS4, ADDRESS6 = "203.0.113.200", "2001:db8:7a:1::1"  # its own, for ICMP errors
LOCAL_USE = IPv6Network("64:ff9b:1::/48")  # RFC 8215
# what of a domain it has no setting for; it drops UDP without a checksum, and has no pool but its own address
_UNKNOWN = ("lowest-ipv6-mtu", "traffic-class", "hairpin")


class Tayga(Driver):
    """Debian's package, unpacked or installed."""

    name = "tayga"
    title = "TAYGA"

    def version(self) -> str:
        return f"TAYGA {tayga_version()}"

    def missing(self) -> str:
        return "" if tayga_binary() else MISSING

    def refuses(self, domain: Domain) -> str:
        if unknown := [key for key in _UNKNOWN if key in domain.settings]:
            return f"it has no setting like {', '.join(unknown)}"
        if domain.settings.get("udp-zero-checksum", "drop") != "drop":
            return "it drops UDP without a checksum"
        if domain.pool6791:
            return "it has no pool for ICMP errors"
        if domain.prefix6 is not None and domain.prefix6.subnet_of(LOCAL_USE):
            return "it takes 64:ff9b:1::/48 for reserved"
        for four, six in domain.eam:
            if 32 - int(four.partition("/")[2] or 32) != 128 - int(six.partition("/")[2] or 128):
                return "its mappings have suffixes of equal length"
        return ""

    def _configuration(self, domain: Domain) -> str:
        lines = [f"ipv4-addr {ADDRESS4}", f"ipv6-addr {ADDRESS6}"]
        if domain.prefix6 is not None:
            lines.append(f"prefix {domain.prefix6}")
        return "\n".join([*lines, *(f"map {four} {six}" for four, six in domain.eam), ""])

    @contextlib.contextmanager
    def running(self, domain: Domain, place: Place) -> Iterator[None]:
        place.own4.append(ADDRESS4)
        place.own6.append(ADDRESS6)
        networks = [*domain.pool4, *(four for four, _ in domain.eam), f"{ADDRESS4}/32", f"{ADDRESS6}/128"]
        if domain.prefix6 is not None:
            networks.append(str(domain.prefix6))
        mtu = max(1500, domain.mtu4, domain.mtu6)
        started(place.namespace, place.folder, self._configuration(domain), networks, mtu)
        yield  # the daemon ends with its namespace
