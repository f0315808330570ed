"""Judge other rules, of the file itself or of the loaded ruleset: those that leak or lose what is translated."""

import re
from collections.abc import Collection, Iterable, Iterator
from fnmatch import fnmatchcase
from itertools import pairwise

from nfxlat.judgement import Finding
from nfxlat.nft.check.apart import may_be, same
from nfxlat.nft.check.domains import common
from nfxlat.nft.check.judgements.surroundings import Others
from nfxlat.nft.language.literals import addresses4, behind
from nfxlat.nft.language.source import Chain, Rule, Source
from nfxlat.xlat import prefixes
from nfxlat.xlat.domain import Domain

ROUTED = ("ip", "ip6", "inet")  # families whose forward hook sees what is routed
DROPPING = frozenset(("drop", "reject"))
_NAME = re.compile(r".+")  # of interfaces
OPTIONS = {"iifname": "-i", "oifname": "-o"}  # of iptables(8)


def bypasses(source: Source) -> Iterator[Finding]:
    """Rules that queue with `bypass`."""
    for rule in source.rules:
        if "queue" in rule.words and "bypass" in rule.words:
            yield Others.BYPASS.at(source.place(rule.tokens[rule.words.index("bypass")].start))


def flowtables(source: Source) -> Iterator[Finding]:
    """Flow offload: its tables, and the rules that fill them."""
    adding = (
        token
        for rule in source.rules
        if not source.is_dormant(rule.chain.table)
        for token, verb in pairwise(rule.tokens)
        if token.text == "flow" and verb.text in ("add", "offload")
    )
    for token in (*adding, *(token for table in source.tables.values() for token in table.flowtables)):
        yield Others.FLOWTABLE.at(source.place(token.start))


def forwarding(source: Source, devices: Iterable[str], tracked: Collection[str] = ()) -> Iterator[Finding]:
    """Forward chains of `source` that would drop what routers forward from their `devices`. It is untracked, but from
    those of the device model (`tracked`), into which it is forwarded too."""
    devices = list(devices)
    for chain in source.chains.values():
        if chain.base is None or chain.base.hook != "forward" or chain.table.family not in ROUTED:
            continue
        if source.is_dormant(chain.table):
            continue
        rules = _reached(source, chain)
        by_state = any("ct" in rule.words and DROPPING & set(rule.words) for rule in rules)
        drops = chain.policy == "drop" or any(
            rule.chain is chain and _outright(rule.words) in DROPPING for rule in source.rules
        )
        for device in devices if drops or by_state else ():
            if device in tracked:
                judgement = Others.FORWARD_DROP if drops else None
            else:
                stateful = by_state or any("ct" in rule.words for rule in rules)
                judgement = Others.STATEFUL if stateful else Others.FORWARD_DROP
            lacking = [
                way
                for way in (("iifname", "oifname") if device in tracked else ("iifname",))
                if not any(_accepts(source, chain, rule, device, way) for rule in rules)
            ]
            if judgement is not None and lacking:
                named = f"{chain.table.family} {chain.table.name} {chain.name}"
                remedy = _remedy(source, chain, device, lacking)
                yield judgement.at(source.place(chain.base.at.start), chain=named, device=device, remedy=remedy)


def _outright(words: list[str]) -> str:
    """The verdict of a rule that matches on nothing; empty where it does."""
    rest = words[5:] if words[:2] == ["counter", "packets"] else words[1:] if words[:1] == ["counter"] else words
    return rest[0] if rest and rest[0] in {"accept", *DROPPING} else ""


def _remedy(source: Source, chain: Chain, device: str, ways: list[str]) -> str:
    """What has the packets accepted, in the words of who made the chain."""
    names = {one.name for one in source.chains.values() if one.table is chain.table}
    tool = {"ip": "iptables", "ip6": "ip6tables"}.get(chain.table.family, "")
    if tool and "DOCKER-USER" in names:
        return "; ".join(f"{tool} -I DOCKER-USER {OPTIONS[way]} {device} -j ACCEPT" for way in ways)
    if any(name.startswith(("ufw-", "ufw6-")) for name in names):
        return "; ".join(f"ufw route allow {way[0]}{'n' if way == 'iifname' else 'ut'} on {device}" for way in ways)
    if chain.table.name == "firewalld":
        return f"firewall-cmd --zone=trusted --add-interface={device}"
    rule = f"nft insert rule {chain.table.family} {chain.table.name} {chain.name}"
    return "; ".join(f'{rule} {way} "{device}" accept' for way in ways)


def untracked_nat(source: Source, routers: Collection[Domain]) -> Iterator[Finding]:
    """Rules of `source` that would put source NAT on what these domains of routers translate."""
    for rule in source.rules:
        verdict = next((token for token in rule.tokens if token.text in ("masquerade", "snat")), None)
        if verdict is None or source.is_dormant(rule.chain.table):
            continue
        sources = sorted(addresses4(source, rule.tokens, "saddr"))
        domain = next((d for d in routers if common(sources, prefixes.translated4(d))), None)
        if domain is not None:
            yield Others.UNTRACKED_NAT.at(source.place(verdict.start), verdict=verdict.text, domain=domain.name)


def _reached(source: Source, base: Chain) -> list[Rule]:
    """The rules that packets of a base chain may reach."""
    return [rule for rule in source.rules if base in source.bases(rule.chain)]


def _accepts(source: Source, base: Chain, rule: Rule, device: str, way: str) -> bool:
    """Whether packets from (`way` iifname) or into (oifname) the device may be accepted by a rule, as far as its words,
    and those on the way from the chain `base`, tell."""
    words = rule.words
    if "accept" not in words:
        return False
    concatenated = way in words and "." in words  # whatever belongs to which
    names = words if concatenated else behind(source, rule.tokens, (way,), _NAME)
    if any(fnmatchcase(device, name.strip("\"'")) for name in names):
        return True
    if not ("ct" in words and "untracked" in words) and _outright(words) != "accept":
        return False
    ways = (may_be(source, rule, rule.tokens, base, (one,)) for one in (way, way.removesuffix("name")))
    return all(some is None or any(same(device, one) for one in some) for some in ways)
