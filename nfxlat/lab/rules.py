"""Rules with `xlat` at work in a lab's translator namespace, whatever the checker says of them."""

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from nfxlat import config
from nfxlat.judgement import Finding, Severity
from nfxlat.lab.netns import Namespace
from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.topology import Lab
from nfxlat.nft.check.judge import check
from nfxlat.nft.kernel import ruleset
from nfxlat.nft.language.compile import Compiled, compile_rules, queues_of
from nfxlat.nft.language.program import Program, program
from nfxlat.nft.shipped import RULES
from nfxlat.plan.facts import NOTHING_KNOWN
from nfxlat.queues import Queues
from nfxlat.service.live_check import check_live
from nfxlat.service.plan_notes import host_commands, plan_notes, plans


def load(namespace: Namespace, program: Program) -> tuple[Compiled, ruleset.How]:
    """Load the program's rules, or put them in the place of a former load of the same name; and how that was done."""
    with namespace.entered():
        compiled = compile_rules(program, native=ruleset.native())
        return compiled, ruleset.install(compiled, program.source.name)


@contextlib.contextmanager
def loaded(namespace: Namespace, program: Program) -> Iterator[Compiled]:
    """The program's rules, loaded as `nfxlat rules load` does it, for as long as the block lasts."""
    compiled, _ = load(namespace, program)
    try:
        yield compiled
    finally:
        if os.path.exists(namespace.path):
            with namespace.entered():
                ruleset.remove(compiled.owner)


@contextlib.contextmanager
def translating(
    lab: Lab, program: Program, configuration: Path, *arguments: str
) -> Iterator[Mapping[str, TranslatorProcess]]:
    """The program's rules at work in the lab: loaded, the host prepared, and for each domain a process with these
    arguments, by name."""
    processes = {}
    with contextlib.ExitStack() as stack:
        stack.enter_context(loaded(lab.translator, program))
        for name, queues in queues_of(program, Queues()).items():
            directory = lab.directory / name
            directory.mkdir(exist_ok=True)
            role = () if program.role(program.domains[name]) == "router" else ("--role", "host")
            options = ("--config", str(configuration), "--domain", name, *role, *arguments)
            process = TranslatorProcess(lab.translator, directory, *options, queue=queues.first, setup=False)
            processes[name] = stack.enter_context(process)
        prepare(lab.translator, program)
        yield processes


def explained(program: Program, owner: str | None = None) -> Compiled:
    """As `nfxlat rules compile` prints it, for a host of which nothing is known."""
    found = plans(program, queues_of(program, Queues()), lambda domain, role, ends: NOTHING_KNOWN)
    return compile_rules(program, owner=owner, notes=plan_notes(found.values(), program.offloaded()))


def prepare(namespace: Namespace, program: Program) -> list[str]:
    """Do what rules need on a host of which nothing is known; the commands, as `rules compile --commands` has them."""
    found = plans(program, queues_of(program, Queues()), lambda domain, role, ends: NOTHING_KNOWN)
    commands = host_commands(found.values())
    for command in commands:
        namespace.run(command.replace(" add ", " replace ", 1).split())
    return commands


def in_lab(file: Path, addresses: Mapping[str, str]) -> str:
    """A file of rules/xlat with other addresses."""
    text = file.read_text(encoding="utf-8")
    for theirs, ours in addresses.items():
        text = text.replace(theirs, ours)
    return text


def complaints(namespace: Namespace, program: Program) -> list[Finding]:
    """What the checker has against the program's rules, and against the namespace as it is; notes are not."""
    judged = [*check(program), *namespace.call(check_live, program)]
    return [finding for finding in judged if finding.severity is not Severity.NOTE]


@contextlib.contextmanager
def example(
    lab: Lab, name: str, places: Mapping[str, str], *arguments: str
) -> Iterator[Mapping[str, TranslatorProcess]]:
    """rules/xlat/`name` at work in the lab, as `translating` has it.

    `places`: what its rules and its configuration say, and what they are to say here. AssertionError where the checker
    has a complaint about rules or host.
    """
    toml = lab.directory / f"{name}.toml"
    toml.write_text(in_lab(RULES / "xlat" / toml.name, places), encoding="utf-8")
    text = in_lab(RULES / "xlat" / f"{name}.nft", places)
    found = program(text, f"/lab/{name}.nft", config.load(toml).domains)
    with translating(lab, found, toml, *arguments) as processes:
        if judged := complaints(lab.translator, found):
            raise AssertionError("\n".join(finding.line() for finding in judged))
        yield processes


FLOWS = """\
table inet fast {
	flowtable f {
		hook ingress priority filter
		devices = { "to-r4", "to-r6" }
	}
	chain forward {
		type filter hook forward priority filter; policy accept;
		%s
		meta l4proto udp flow add @f
	}
}
"""


def offload_flows(namespace: Namespace, keep_out: str) -> bool:
    """Offload forwarded UDP flows but for those that the rules `keep_out` accept; False where the kernel cannot."""
    done = namespace.run(["nft", FLOWS % keep_out], check=False)
    if done.returncode and "No such file or directory" not in done.stderr:
        raise RuntimeError(done.stderr)
    return not done.returncode
