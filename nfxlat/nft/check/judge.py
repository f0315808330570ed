"""Judge an nft file with `xlat` statements by the table of translation points, before it meets a packet.

    direction  hook          type    priority      matched on
    to, from   prerouting    filter  below -400    the destination that is translated
    to, from   output        filter  below -400    the same
    to         postrouting   filter  above srcnat  the domain's device as output interface

-400 is defragmentation, -200 connection tracking (linux/netfilter_ipv4.h); srcnat is 100.
"""

from collections.abc import Iterator

from nfxlat.judgement import Finding, Severity
from nfxlat.nft.check.domains import domains, untracked_nat
from nfxlat.nft.check.matches import matches
from nfxlat.nft.language.program import Program, Unresolved
from nfxlat.nft.language.scan import Chain, Hook, Source
from nfxlat.nft.language.statement import Xlat, meant_prefix6, prefix6_faults
from nfxlat.xlat.domain import Domain

DEFRAGMENTATION, CONNTRACK, SRCNAT = -400, -200, 100
PLACES = {"to": ("prerouting", "output", "postrouting"), "from": ("prerouting", "output")}
GOOD = "type filter hook {} priority {}; policy accept;"


def check(program: Program) -> list[Finding]:
    """All findings, in the order of the file, the worst first on one line."""
    found = [*_whole_file(program), *domains(program), *stateful(program.source, program.sources())]
    for statement, meaning in zip(program.statements, program.meaning, strict=True):
        found += _chains(program, statement)
        found += _meaning(program, statement, meaning)
        found += matches(program, statement, meaning if isinstance(meaning, Domain) else None)
    return sorted(dict.fromkeys(found), key=lambda finding: _order(program.source, finding))


def _order(source: Source, finding: Finding) -> tuple[list[int], int]:
    numbers = [int(part) for part in finding.where.removeprefix(source.name).split(":")[1:] if part.isdecimal()]
    return numbers, list(Severity).index(finding.severity)


def _chains(program: Program, statement: Xlat) -> Iterator[Finding]:
    source = program.source
    bases = source.bases(statement.rule.chain)
    if not bases:
        what = f"no base chain of this file reaches chain {statement.rule.chain.name}"
        effect = "no packet ever meets this rule"
        remedy = "jump to it from a chain with a hook, or give it one"
        yield Finding("unreached", Severity.ERROR, source.place(statement.at.start), what, effect, remedy)
    for chain in bases:
        assert chain.base is not None
        yield from _family(source, statement, chain)
        yield from _hook(source, statement, chain.base)


def _family(source: Source, statement: Xlat, chain: Chain) -> Iterator[Finding]:
    family, wanted = chain.table.family, "ip" if statement.direction == "to" else "ip6"
    if family in (wanted, "inet"):
        return
    where = source.place(statement.at.start)
    version = "IPv4" if wanted == "ip" else "IPv6"
    what = f"xlat {statement.direction} takes {version} packets, and table {family} {chain.table.name} sees none"
    effect = "no packet ever meets this rule"
    if family in ("netdev", "bridge", "arp"):
        what = f"xlat in a table of family {family}"
        effect = "its hooks lie outside the IP layer: no queue at netdev, and no route lookup to come back to"
    other = f", or xlat {'from' if statement.direction == 'to' else 'to'}" if family in ("ip", "ip6") else ""
    yield Finding("family", Severity.ERROR, where, what, effect, f"a table of family {wanted} or inet{other}")


def _hook(source: Source, statement: Xlat, base: Hook) -> Iterator[Finding]:
    where, name = source.place(base.at.start), base.hook
    good = GOOD.format("prerouting", -450)
    if name == "postrouting" and statement.direction == "to":
        good = GOOD.format("postrouting", "srcnat + 1")
    if base.type == "nat":
        effect = (
            "nat chains see the first packet of a connection only: once the first translated reply is injected, every "
            "later packet leaves untranslated, and what conntrack calls invalid or untracked always does; without "
            "conntrack they see nothing"
        )
        what = "xlat in a chain of type nat"
        yield Finding("nat-chain", Severity.ERROR, where, what, effect, good)
    elif base.type != "filter":
        effect = (
            "a mark set in it reroutes nothing that was queued: what the domain does not map comes back from the queue "
            "and goes on by its first route"
        )
        what = f"xlat in a chain of type {base.type}"
        yield Finding("type", Severity.WARNING, where, what, effect, f"{good.replace('prerouting', name)}")
    if name not in PLACES[statement.direction]:
        yield _wrong_hook(where, statement, name, good)
        return
    yield from _priority(where, statement, base, good)


def _wrong_hook(where: str, statement: Xlat, hook: str, good: str) -> Finding:
    effects = {
        "input": "only packets to this node's own addresses get here, none that are to be translated",
        "forward": "TTL or Hop Limit is decremented already, and the new family's forwarding takes a second hop; this "
        "family's route must exist, and its MTU has been applied; what it leads into the device is refused there",
        "postrouting": "an IPv6 packet to prefix6 needs an IPv6 route to get here, has lost its hop, and was matched "
        "against conntrack; there is no source NAT to wait for",
    }
    what = f"xlat {statement.direction} at hook {hook or '(none)'}"
    return Finding("hook", Severity.ERROR, where, what, effects.get(hook, "no IP packet is routed from here"), good)


def _priority(where: str, statement: Xlat, base: Hook, good: str) -> Iterator[Finding]:
    number = base.priority
    if number is None:
        what, effect = "a priority that cannot be known here", "it may lie behind defragmentation or conntrack"
        yield Finding("priority", Severity.WARNING, where, what, effect, good)
    elif base.hook == "postrouting":
        if number <= SRCNAT:
            effect = "the packet still bears the source from before source NAT, so its replies meet no NAT entry"
            yield Finding("priority", Severity.ERROR, where, f"priority {number} is not behind srcnat", effect, good)
    elif number >= DEFRAGMENTATION:
        effect = "fragments arrive reassembled (IPv6 ones without Fragment Header and identification): translated, "
        effect += "they exceed the MTU, and are cut anew or refused"
        if number > CONNTRACK:
            effect += "; each packet has a conntrack entry, of which each family sees one half: `ct state invalid drop`"
            effect += " ends TCP"
        what = f"priority {number} is behind defragmentation ({DEFRAGMENTATION})"
        yield Finding("priority", Severity.ERROR, where, what, effect, good)
    elif number > -450:
        what = f"priority {number} is behind -450"
        effect = "the stamps of superframe sizes are gone by then (-449): correct, but slower"
        yield Finding("priority", Severity.NOTE, where, what, effect, good)


def _meaning(program: Program, statement: Xlat, meaning: Domain | Unresolved) -> Iterator[Finding]:
    if isinstance(meaning, Domain):
        return
    where = program.source.place(statement.operand.start)
    malformed = statement.names_prefix and prefix6_faults(statement.operand.text)
    code = "prefix" if malformed else "open-address" if statement.names_prefix else "domain"
    effect = {"prefix": "", "domain": "the statement says nothing"}.get(
        code, "a packet has two addresses, and both must be of the other family: this one cannot be translated"
    )
    for fault in meaning.faults:
        yield Finding(code, Severity.ERROR, where, fault, effect, meaning.remedy)
    if malformed and not statement.mappings:
        guess = (meant_prefix6(statement.operand.text) or "such a prefix").partition(" ")[0]
        word = "source" if statement.direction == "to" else "destination"
        what = f"even as {guess} it maps one address only: what becomes of the {word} is open"
        effect = "a packet has two addresses, and both must be of the other family: this one cannot be translated"
        example = "{ 192.0.0.1 : 2001:db8:2::2 }" if word == "source" else "{ 2001:db8:2::2 : 192.0.0.1 }"
        remedy = f"name a domain (xlat {statement.direction} siit0), or add `with {word} {example}`"
        yield Finding("open-address", Severity.ERROR, where, what, effect, remedy)


def _whole_file(program: Program) -> Iterator[Finding]:
    source = program.source
    for rule in source.rules:
        words = rule.words
        if "queue" in words and "bypass" in words:
            where = source.place(rule.tokens[words.index("bypass")].start)
            effect = "while nobody listens, or the queue is full, packets pass untranslated, to wherever a route leads"
            yield Finding("bypass", Severity.ERROR, where, "queue with bypass", effect, "queue without flags: it drops")
    yield from flowtables(source)
    yield from untracked_nat(source, program)


def flowtables(source: Source) -> Iterator[Finding]:
    """Flow offload in `source`: its tables and the rules that fill them."""
    for rule in source.rules:
        words = rule.words
        if "flow" in words[:-1] and words[words.index("flow") + 1] in ("add", "offload"):
            yield _flowtable(source.place(rule.tokens[words.index("flow")].start))
    for table in source.tables.values():
        for at in table.flowtables:
            yield _flowtable(source.place(at.start))


def _flowtable(where: str) -> Finding:
    effect = (
        "an offloaded flow passes by every hook, so packets to a translated address would leak, once offloaded, and "
    )
    effect += "replies that NAT leads into the domain's device die there"
    return Finding(
        "flowtable", Severity.WARNING, where, "flow offload", effect, "keep translated prefixes out of `flow add`"
    )


def stateful(source: Source, names: list[str]) -> Iterator[Finding]:
    """Forward chains of `source` that would drop what comes from the domain devices `names`, being untracked."""
    for key, chain in source.chains.items():
        if chain.base is None or chain.base.hook != "forward" or not names:
            continue
        reached = [
            rule for rule in source.rules if rule.chain.table.key == key[:2] and chain in source.bases(rule.chain)
        ]
        verdicts = [rule.words for rule in reached]
        drops = chain.policy == "drop" or any("ct" in words and {"drop", "reject"} & set(words) for words in verdicts)
        if not drops:
            continue
        for name in names:
            if any(_accepts(words, name) for words in verdicts):
                continue
            what = f"chain {chain.name} judges forwarded packets by state, and lets none from {name} pass"
            effect = (
                f"translated packets are untracked (notrack): not invalid, but never established: from {name} all drop"
            )
            remedy = f'iifname "{name}" accept, narrowed to the translated prefixes, ahead of its ct rules'
            where = source.place(chain.base.at.start)
            yield Finding("stateful", Severity.WARNING, where, what, effect, remedy)


def _accepts(words: list[str], device: str) -> bool:
    from_device = "iifname" in words and any(word.strip("\"'") == device for word in words)
    return "accept" in words and (from_device or ("ct" in words and "untracked" in words))
