"""Judge an nft file with `xlat` statements, before it meets a packet.

judged                                      by             against the table, in judgements/
the chain that a statement stands in        place.py       statement.Place
the domain or prefix that it names          meaning.py     statement.Meaning
what its rule matches on                    match.py       statement.Match
whether `offload` can repeat it             repeat.py      statement.Offload
the domains of the file, and each two       domains.py     surroundings.Domains
other rules, of the file or loaded          others.py      surroundings.Others
the host (check --live)                     nfxlat/service/live_check.py, host.Host
"""

from nfxlat.judgement import Finding, Severity
from nfxlat.nft.check.domains import domains
from nfxlat.nft.check.match import matches
from nfxlat.nft.check.meaning import meaning
from nfxlat.nft.check.others import bypasses, flowtables, forwarding, untracked_nat
from nfxlat.nft.check.place import place
from nfxlat.nft.check.repeat import offload
from nfxlat.nft.language.program import Program
from nfxlat.nft.language.source import Source


def check(program: Program) -> list[Finding]:
    """All findings, in the order of the file, the worst first on one line."""
    source = program.source
    found = [
        *bypasses(source),
        *flowtables(source),
        *untracked_nat(source, program.routed()),
        *domains(program),
        *forwarding(source, [domain.name for domain in program.routed()]),
    ]
    for statement in program.statements:
        found += [*place(source, statement), *meaning(source, statement), *matches(program, statement)]
        found += offload(program, statement)
    return sorted(dict.fromkeys(found), key=lambda finding: _order(source, finding))


def _order(source: Source, finding: Finding) -> tuple[list[int], int]:
    numbers = [int(part) for part in finding.where.removeprefix(source.name).split(":")[1:] if part.isdecimal()]
    return numbers, list(Severity).index(finding.severity)
