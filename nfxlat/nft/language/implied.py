"""What statements say themselves, so that the generator need not: each guard is one rule less a packet.

- `injected`  what comes from the domain device never gets here (in a VRF it comes once more, as the VRF's)
- `sent`      nor what nfxlat sends through raw sockets
- `local`     the packet leaves by the domain device, so it is for no address of this node
- `frame`     the frame was to this node alone
- `native`    the destination is one of the host's own, inside neither pool4 nor link scope
"""

from collections.abc import Sequence
from itertools import pairwise

from nfxlat.nft.language import leaving
from nfxlat.nft.language.inputs import FRAME
from nfxlat.nft.language.program import Program, Statement
from nfxlat.nft.language.sets import set_name
from nfxlat.nft.language.statement import TAKES
from nfxlat.terms import Role
from nfxlat.xlat.domain import Domain

EARLY = -400  # of a priority: ahead of defragmentation

Headed = set[tuple[str, str, str]]  # family, table, chain


def implied(
    program: Program, statements: Sequence[Statement], domain: Domain, role: Role, headed: Headed
) -> frozenset[str]:
    """The guards that all of the statements do without; `headed` chains begin with what lets those packets off."""
    if not statements:
        return frozenset()
    return frozenset.intersection(*(_of(program, statement, domain, role, headed) for statement in statements))


def _of(program: Program, statement: Statement, domain: Domain, role: Role, headed: Headed) -> frozenset[str]:
    words = _words(program, statement)
    others = [chain for chain in statement.bases if chain.key not in headed]
    hooks = {chain.base.hook for chain in others if chain.base}
    found = set()
    if not domain.vrf and (not hooks - {"output"} or _holds(words, "iifname", "!=", domain.name)):
        found.add("injected")
    if "output" not in hooks:
        found.add("sent")
    if "prerouting" not in statement.hooks or _holds(words, *FRAME.split()):
        found.add("frame")
    if domain.name in leaving.direct(words, equal=True) | leaving.by_route(words, equal=True):
        found.add("local")
    if role == "host" and ("ip6", "daddr") in pairwise(words) and not _holds(words, "ip6", "daddr", "!="):
        found |= {"local", "native"}  # a CLAT's address may be one of its host's: prefix6 as source tells
    return frozenset(found)


def takes_all_at_output(program: Program, domain: Domain, direction: str) -> bool:
    """Whether a statement takes all that is translated of this node's own packets, kernel ICMP errors among them."""
    by_address = [TAKES[direction], "daddr", f"@{set_name(domain.name, direction)}"]
    routed = ["oifname", domain.name]
    return any(
        _first(program, statement) and _words(program, statement) in (by_address, routed, [*routed, *by_address])
        for statement in program.of(domain, direction)
    )


def _first(program: Program, statement: Statement) -> bool:
    """Whether each packet of the output hook meets the statement, but for those that other statements take."""
    base = statement.rule.chain.base
    if base is None or base.hook != "output" or base.priority is None or base.priority >= EARLY:
        return False
    ending = [other.rule for other in program.statements]
    for rule in program.source.rules:
        if rule is statement.rule:
            break
        if rule.chain is statement.rule.chain and not any(rule is other for other in ending):
            return False
    return True


def _words(program: Program, statement: Statement) -> list[str]:
    return [program.source.value(token).bare for token in statement.matches]


def _holds(words: list[str], *part: str) -> bool:
    return any(tuple(words[at : at + len(part)]) == part for at in range(len(words)))
