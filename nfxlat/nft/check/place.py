"""Judge where a statement stands, by the table of translation points.

    direction  hook          type    priority      matched on
    to, from   prerouting    filter  below -400    the destination that is translated
    to, from   output        filter  below -400    the same
    to         postrouting   filter  above srcnat  the domain's device as output interface

and for `xlat ... reassembled`, which asks for whole datagrams in the place of their fragments

    to, from   prerouting    filter  above -400,   the destination that is translated
                                     below -200

-400 is defragmentation, -200 connection tracking (linux/netfilter_ipv4.h); srcnat is 100.
"""

from collections.abc import Iterator

from nfxlat.judgement import Finding
from nfxlat.nft.check.judgements.statement import Place
from nfxlat.nft.language.program import Statement
from nfxlat.nft.language.source import Chain, Hook, Source

STAMP, DEFRAGMENTATION, CONNTRACK, SRCNAT = -450, -400, -200, 100
HOOKS = {"to": ("prerouting", "output", "postrouting"), "from": ("prerouting", "output")}
WRONG_HOOKS = {"input": Place.HOOK_INPUT, "forward": Place.HOOK_FORWARD, "postrouting": Place.HOOK_POSTROUTING}
VERSIONS = {"ip": "IPv4", "ip6": "IPv6"}


def place(source: Source, statement: Statement) -> Iterator[Finding]:
    """Findings on the chain that a statement stands in, and on those with a hook that lead to it."""
    if not statement.bases:
        yield Place.UNREACHED.at(source.place(statement.at.start), chain=statement.rule.chain.name)
    table = statement.rule.chain.table
    if source.is_dormant(table):
        yield Place.DORMANT.at(source.place(statement.at.start), table=f"{table.family} {table.name}")
    for chain in statement.bases:
        assert chain.base is not None
        if judgement := _family(statement, chain):
            yield judgement.at(source.place(statement.at.start), **_facts(statement, chain))
        for judgement in filter(None, (_type(chain.base), _hook(statement, chain.base))):
            yield judgement.at(source.place(chain.base.at.start), **_facts(statement, chain))


def _facts(statement: Statement, chain: Chain) -> dict[str, object]:
    base, table = chain.base, chain.table
    assert base is not None
    hook = base.hook if base.hook in HOOKS[statement.direction] else "prerouting"
    priority: object = "srcnat + 1" if hook == "postrouting" else STAMP
    if statement.reassembled:
        hook, priority = "prerouting", "raw"
    return {
        "direction": statement.direction,
        "other": "from" if statement.direction == "to" else "to",
        "family": statement.family,
        "version": VERSIONS[statement.family],
        "table": f"{table.family} {table.name}",
        "found": table.family,
        "type": base.type,
        "hook": base.hook or "(none)",
        "priority": base.priority,
        "good": f"type filter hook {hook} priority {priority}; policy accept;",
    }


def _family(statement: Statement, chain: Chain) -> Place | None:
    match chain.table.family:
        case "inet" | statement.family:
            return None
        case "ip" | "ip6":
            return Place.FAMILY
    return Place.FAMILY_BELOW_IP


def _type(base: Hook) -> Place | None:
    match base.type:
        case "filter":
            return None
        case "nat":
            return Place.NAT_CHAIN
    return Place.TYPE


def _hook(statement: Statement, base: Hook) -> Place | None:
    if statement.reassembled and base.hook in HOOKS[statement.direction]:
        return _reassembled(base)
    if base.hook not in HOOKS[statement.direction]:
        return WRONG_HOOKS.get(base.hook, Place.HOOK_OTHER)
    if base.priority is None:
        return Place.PRIORITY_UNKNOWN
    if base.hook == "postrouting":
        return Place.PRIORITY_SRCNAT if base.priority <= SRCNAT else None
    if base.priority > CONNTRACK:
        return Place.PRIORITY_CONNTRACK
    if base.priority >= DEFRAGMENTATION:
        return Place.PRIORITY_DEFRAGMENTATION
    return Place.PRIORITY_STAMP if base.priority > STAMP else None


def _reassembled(base: Hook) -> Place | None:
    """Of a statement that asks for whole datagrams."""
    if base.hook != "prerouting":
        return Place.REASSEMBLED_HOOK
    if base.priority is None:
        return Place.PRIORITY_UNKNOWN
    if base.priority <= DEFRAGMENTATION:
        return Place.REASSEMBLED_TOO_EARLY
    return Place.REASSEMBLED_TOO_LATE if base.priority >= CONNTRACK else None
