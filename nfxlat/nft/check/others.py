"""Judge other rules, of the file itself or of the loaded ruleset: those that leak or lose what is translated."""

from collections.abc import Iterator
from itertools import pairwise

from nfxlat.judgement import Finding
from nfxlat.nft.check.domains import common
from nfxlat.nft.check.judgements.surroundings import Others
from nfxlat.nft.language.literals import addresses4
from nfxlat.nft.language.program import Program
from nfxlat.nft.language.source import Chain, Source
from nfxlat.xlat import prefixes


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
        for token, verb in pairwise(rule.tokens)
        if token.text == "flow" and verb.text in ("add", "offload")
    )
    for token in (*adding, *(token for table in source.tables.values() for token in table.flowtables)):
        yield Others.FLOWTABLE.at(source.place(token.start))


def stateful(source: Source, program: Program) -> Iterator[Finding]:
    """Forward chains of `source` that would drop what comes from the devices of the program's routers, untracked."""
    for chain in source.chains.values():
        if chain.base is None or chain.base.hook != "forward":
            continue
        rules = _reached(source, chain)
        if chain.policy != "drop" and not any("ct" in words and {"drop", "reject"} & set(words) for words in rules):
            continue
        for device in (domain.name for domain in program.routed()):
            if not any(_accepts(words, device) for words in rules):
                yield Others.STATEFUL.at(source.place(chain.base.at.start), chain=chain.name, device=device)


def untracked_nat(source: Source, program: Program) -> Iterator[Finding]:
    """Rules of `source` that would put source NAT on what routers of the program translate."""
    for rule in source.rules:
        verdict = next((token for token in rule.tokens if token.text in ("masquerade", "snat")), None)
        if verdict is None:
            continue
        sources = sorted(addresses4(source, rule.tokens, "saddr"))
        domain = next((d for d in program.routed() if common(sources, prefixes.translated4(d))), None)
        if domain is not None:
            yield Others.UNTRACKED_NAT.at(source.place(verdict.start), verdict=verdict.text, domain=domain.name)


def _reached(source: Source, base: Chain) -> list[list[str]]:
    """The words of each rule that packets of a base chain may reach."""
    return [rule.words for rule in source.rules if base in source.bases(rule.chain)]


def _accepts(words: list[str], device: str) -> bool:
    from_device = "iifname" in words and any(word.strip("\"'") == device for word in words)
    return "accept" in words and (from_device or ("ct" in words and "untracked" in words))
