"""What an interface of a lab carries, to be given to another, or to be given again."""

import re

from nfxlat.lab.netns import Namespace


def addresses(namespace: Namespace, device: str) -> list[str]:
    """Global addresses of an interface, with their prefixes."""
    shown = namespace.ip(f"-o address show dev {device} scope global")
    return re.findall(r"inet6? (\S+)", shown)


def routes(namespace: Namespace, device: str, vrf: str = "") -> list[str]:
    """Routes through an interface that nobody makes but who built the lab, as commands less the interface."""
    found = []
    for family in ("-4", "-6"):
        table = f"vrf {vrf} " if vrf else ""
        lines = namespace.ip(f"{family} route show {table}dev {device} proto boot").splitlines()
        found += [
            f"{family} route replace {re.sub(r' (metric|pref|proto) [a-z0-9]+', '', line).strip()}" for line in lines
        ]
    return found
