"""The sysctls that translation needs, changed only where they differ, and put back as they were.

Turning `ip_forward` or `all.forwarding` on or off also rewrites every interface's own `forwarding` (devinet.c
inet_forward_change, addrconf.c addrconf_forward_change), so those are recorded and restored too. IPv6 forwarding makes
interfaces with accept_ra=1 forget their default router: those that have one get accept_ra=2 first.
"""

from pathlib import Path

from pyroute2 import IPRoute

from nfxlat.errors import OperatorError
from nfxlat.terms import Report

ROOT = Path("/proc/sys")
AF_INET6 = 10
RTPROT_RA = 9  # linux/rtnetlink.h

FORWARD4, FORWARD6 = "net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"


def read(key: str) -> str | None:
    """The value of `key` ("net/ipv4/ip_forward") in the calling thread's namespace, or None where there is none."""
    try:
        return (ROOT / key).read_text().strip()
    except FileNotFoundError:
        return None


def write(key: str, value: str) -> None:
    """Set `key`; OperatorError where it cannot be."""
    try:
        (ROOT / key).write_text(value)
    except OSError as error:
        raise OperatorError(
            f"cannot set it to {value}: {error.strerror}", where=dotted(key), hint="set it by hand, or run as root"
        ) from None


def dotted(key: str) -> str:
    """As sysctl(8) prints it; an interface's own dots become slashes."""
    return key.translate(str.maketrans("./", "/."))


def needed(role: str, device: str) -> dict[str, str]:
    """What `role` needs with the domain device `device`; a host forwards nothing."""
    keys = {f"net/ipv6/conf/{device}/disable_ipv6": "0"}
    if role != "host":
        keys |= accept_ra_kept() | {FORWARD4: "1", f"net/ipv4/conf/{device}/forwarding": "1", FORWARD6: "1"}
    return keys


def accept_ra_kept() -> dict[str, str]:
    """accept_ra=2 for the interfaces whose default router came by router advertisement, if forwarding is still off."""
    if read(FORWARD6) != "0":
        return {}
    with IPRoute() as ipr:
        routes = ipr.get_routes(family=AF_INET6, dst_len=0, proto=RTPROT_RA)
        interfaces = {route.get_attr("RTA_OIF") for route in routes}
        names = [link.get_attr("IFLA_IFNAME") for link in ipr.get_links() if link["index"] in interfaces]
    return {f"net/ipv6/conf/{name}/accept_ra": "2" for name in sorted(names)}


def side_effects(key: str) -> dict[str, str]:
    """The present values of the sysctls that a change of `key` rewrites."""
    family = {FORWARD4: "ipv4", FORWARD6: "ipv6"}.get(key)
    if family is None:
        return {}
    found = {}
    for file in sorted((ROOT / "net" / family / "conf").glob("*/forwarding")):
        other = str(file.relative_to(ROOT))
        value = read(other)
        if other != key and value is not None:
            found[other] = value
    return found


def restore(originals: dict[str, str], report: Report) -> None:
    """Put `originals` (in the order of their change) back, last first; what has vanished since is left alone."""
    for key, value in reversed(originals.items()):
        now = read(key)
        if now is not None and now != value:
            write(key, value)
            report(f"sysctl {dotted(key)} {now} -> {value}")
