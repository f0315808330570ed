"""Judge what rules of one's own pass by: they take packets before the kernel looks at the interface that they came in
on, and only the rules of `nfxlat run --setup` look in its place (nfxlat.nft.language.inputs, from which this is).
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from nfxlat.judgement import Finding
from nfxlat.nft.check.judgements.host import Host
from nfxlat.nft.check.match import seen
from nfxlat.nft.language.inputs import Inputs, Policy, host_checks
from nfxlat.nft.language.program import Program, Statement
from nfxlat.nft.language.statement import TAKES
from nfxlat.xlat.domain import Domain


def unchecked(program: Program, domain: Domain, inputs: Inputs) -> Iterator[Finding]:
    """Findings on the statements of a domain that take packets at prerouting, on a host with such `inputs`. What rules
    of the file ask by themselves counts as asked, wherever that is."""
    asked = [word for rule in program.source.rules for word in rule.words]
    for statement in program.of(domain):
        if "prerouting" in statement.hooks:
            where = program.source.place(statement.at.start)
            words = [program.source.value(token).bare for token in seen(program.source, statement)]
            yield from _on_interfaces(statement, domain, inputs, asked, words, where)
            yield from _on_policies(statement, inputs, asked, where)


def _on_interfaces(
    statement: Statement, domain: Domain, inputs: Inputs, asked: Sequence[str], words: Sequence[str], where: str
) -> Iterator[Finding]:
    named: Mapping[str, tuple[Host, Sequence[str], bool]] = {
        "vrf": (Host.INPUT_VRF, [], "iifname" in words),
        "bridged": (Host.INPUT_BRIDGE, [name for name, _ in inputs.bridges], "ether" in asked),
        "closed": (Host.INPUT_FORWARDING, inputs.closed4, False),
        "reverse-path": (Host.INPUT_RP_FILTER, [], ("fib", "saddr") in pairwise(asked)),
    }
    for rule in host_checks(domain, TAKES[statement.direction], inputs):
        judgement, interfaces, done = named[rule.why]
        if done or (interfaces and all(f'"{name}"' in asked or name in asked for name in interfaces)):
            continue
        if rule.why == "reverse-path" and domain.reverse_path != "kernel":  # `rules load` puts it in
            continue
        facts = {"interfaces": ", ".join(interfaces), "domain": domain.name, "vrf": domain.vrf, "rule": rule.text}
        yield judgement.at(where, **facts)


def _on_policies(statement: Statement, inputs: Inputs, asked: Sequence[str], where: str) -> Iterator[Finding]:
    if "ipsec" in asked:
        return
    for way, policies in inputs.policies:
        refusing = [one for one in policies if one.verdict != "pass" and one.family == TAKES[statement.direction]]
        if refusing:
            facts = {"way": way, "source": refusing[0].source, "destination": refusing[0].destination}
            yield Host.INPUT_IPSEC.at(where, **facts, rule=_rule(refusing[0]))


def _rule(policy: Policy) -> str:
    ends = " meta ipsec missing" if policy.verdict == "ipsec" else ""
    return f"{policy.selector}{ends} counter drop"
