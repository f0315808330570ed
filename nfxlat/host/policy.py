"""Policy routing in the calling thread's network namespace: its rules, and the routes of the tables where they look."""

import socket
from collections.abc import Collection, Iterable
from typing import Any

from pyroute2 import IPRoute

from nfxlat import ipaddresses
from nfxlat.host import rtnetlink
from nfxlat.host.routes import ADDRESS_FAMILIES
from nfxlat.plan.facts import MAIN
from nfxlat.plan.policy import THROW, PolicyRule, TableRoute

RT_TABLE_LOCAL, RTN_THROW = 255, 9  # linux/rtnetlink.h
FR_ACT_TO_TBL, FR_ACT_BLACKHOLE, FR_ACT_UNREACHABLE, FR_ACT_PROHIBIT = 1, 6, 7, 8  # linux/fib_rules.h
FIB_RULE_INVERT = 0x2
REFUSING = {FR_ACT_BLACKHOLE: "blackhole", FR_ACT_UNREACHABLE: "unreachable", FR_ACT_PROHIBIT: "prohibit"}
# what a rule may match on beside the destination: attribute, word of ip-rule(8)
SELECTORS = (
    ("FRA_IIFNAME", "iif"),
    ("FRA_OIFNAME", "oif"),
    ("FRA_FWMARK", "fwmark"),
    ("FRA_IP_PROTO", "ipproto"),
    ("FRA_SPORT_RANGE", "sport"),
    ("FRA_DPORT_RANGE", "dport"),
    ("FRA_UID_RANGE", "uidrange"),
)
NOT_SUPPRESSED = 0xFFFFFFFF


def rules(version: int, *, in_vrf: bool = False) -> list[PolicyRule]:
    """Those of IPv4 or IPv6 that look in a table or refuse, in order; without the local table's. The one of VRFs counts
    with `in_vrf` alone, and then as the rule that looks in the main table."""
    with IPRoute() as ipr:
        found = [_rule(version, message, in_vrf) for message in ipr.get_rules(family=ADDRESS_FAMILIES[version])]
    return [rule for rule in found if rule is not None]


def routes(version: int, looked_in: Iterable[PolicyRule], networks: Collection[Any]) -> dict[int, list[TableRoute]]:
    """By table, those that hold one of `networks` or lie in one. Raises OperatorError where they cannot be listed."""
    wanted = {rule.table for rule in looked_in if rule.table not in (None, MAIN)}
    if not wanted:
        return {}
    names = dict(socket.if_nameindex())
    bits = 32 if version == 4 else 128
    spans = [(int(one.network_address), int(one.broadcast_address)) for one in networks]
    found: dict[int, list[TableRoute]] = {}
    for table, route in rtnetlink.in_tables(ADDRESS_FAMILIES[version], wanted):
        first = int.from_bytes(route.destination, "big")
        last = first | (1 << bits - route.length) - 1
        if any(first <= end and last >= start for start, end in spans):
            network = ipaddresses.network((route.destination or bytes(bits // 8), route.length))
            device = next((names.get(index, f"#{index}") for index in route.interfaces), None)
            found.setdefault(table, []).append(TableRoute(network, THROW if route.kind == RTN_THROW else device))
    return found


def _rule(version: int, message: Any, in_vrf: bool) -> PolicyRule | None:
    if in_vrf and message.get_attr("FRA_L3MDEV"):
        return PolicyRule(message.get_attr("FRA_PRIORITY") or 0, "from all lookup [l3mdev-table]", MAIN)
    action, table = message["action"], message.get_attr("FRA_TABLE") or message["table"]
    if message.get_attr("FRA_L3MDEV") or action not in (FR_ACT_TO_TBL, *REFUSING) or table == RT_TABLE_LOCAL:
        return None
    inverted = bool(message["flags"] & FIB_RULE_INVERT)
    source = f"{message.get_attr('FRA_SRC')}/{message['src_len']}" if message["src_len"] else "all"
    to = f"{message.get_attr('FRA_DST')}/{message['dst_len']}" if message["dst_len"] else ""
    others = _selectors(message)
    suppress = message.get_attr("FRA_SUPPRESS_PREFIXLEN")
    suppresses = suppress not in (None, NOT_SUPPRESSED)
    words = [*(["not"] if inverted else []), "from", source, *(["to", to] if to else []), *others]
    words += [REFUSING[action]] if action in REFUSING else ["lookup", "main" if table == MAIN else str(table)]
    words += ["suppress_prefixlength", str(suppress)] if suppresses else []
    return PolicyRule(
        message.get_attr("FRA_PRIORITY") or 0,
        " ".join(words),
        None if action in REFUSING else table,
        inverted or bool(message["src_len"] or others),
        ipaddresses.network(to) if to and not inverted else None,
        suppress if suppresses else -1,
    )


def _selectors(message: Any) -> list[str]:
    """What it matches on beside addresses."""
    words = ["tos", f"{message['tos']:#x}"] if message["tos"] else []
    for attribute, word in SELECTORS:
        if (value := message.get_attr(attribute)) not in (None, 0, ""):
            words += [word, f"{value:#x}" if word == "fwmark" else str(value).replace(":", "-")]
    return words
