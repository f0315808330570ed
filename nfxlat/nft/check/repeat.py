"""Judge `offload`: whether the program at ingress could repeat the decision that leads to a statement."""

from collections.abc import Iterator

from nfxlat.judgement import Finding
from nfxlat.nft.check.judgements.statement import Offload
from nfxlat.nft.check.place import STAMP
from nfxlat.nft.language.program import Program, Statement


def offload(program: Program, statement: Statement) -> Iterator[Finding]:
    """Findings on a statement that says `offload`; each at what it is about."""
    if statement.offload is None:
        return
    source, domain = program.source, statement.domain
    written = f"xlat {statement.direction} {statement.operand.text} offload"
    where = source.place(statement.offload.start)
    if statement.hooks and "prerouting" not in statement.hooks:
        yield Offload.HOOK.at(where, hook=", ".join(sorted(statement.hooks)))
        return
    late = [base.base.priority for base in statement.bases if base.base is not None and base.base.hook == "prerouting"]
    if any(priority is not None and priority > STAMP for priority in late):
        yield Offload.LATE.at(where, priority=max(priority for priority in late if priority is not None))
        return
    if domain is not None and program.role(domain) != "router":
        yield Offload.ROLE.at(where, domain=domain.name)
        return
    for fault in statement.repeated.faults:
        facts = {"what": fault.what, "why": fault.why, "remedy": fault.remedy, "written": written}
        yield Offload.FAULT.at(source.place(fault.at.start), **facts)
    for counter in statement.repeated.counted:
        yield Offload.COUNTED.at(source.place(counter.start), written=written)
