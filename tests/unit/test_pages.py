"""The pages for operators keep their word: links lead to files, and the commands in them are ones that nfxlat takes."""

import re
import shlex
from inspect import signature
from pathlib import Path

import pytest

from nfxlat import files
from nfxlat.bench.models import DEFAULT
from nfxlat.bench.rounds import LIMIT, Options, chosen_measurements
from nfxlat.cli import exit_status, parser, trace
from nfxlat.datapath.callback import PAYLOAD_LIMIT
from nfxlat.datapath.queue_pair import QueuePair
from nfxlat.datapath.source import SLOTS
from nfxlat.offload.table import ENTRIES, UNUSED_NS
from nfxlat.outcome import Reason
from nfxlat.plan.neighbours import ENTRIES as PROXY_ENTRIES
from nfxlat.service import reading
from nfxlat.service.metrics import MOST_THINGS
from nfxlat.service.repairs import REPAIRS, WINDOW
from nfxlat.service.tracing import READERS

ROOT = Path(__file__).parents[2]
DOC = ROOT / "contrib/doc"
PAGES = [
    "README.md",
    "rules/README.md",
    "contrib/conformance.md",
    *(str(path.relative_to(ROOT)) for path in sorted(DOC.rglob("*.md"))),
]
NEED_A_DOMAIN = ("run", "translate", "explain")
COMMAND = re.compile(
    r"^(?:    )?# nfxlat (.*?)(?: {2,}#.*)?$|`nfxlat ((?:run|translate|explain) [^`]*--[^`]*)`", re.MULTILINE
)
FORM = re.compile(r"[|]|\.\.\.|\[")  # `--model hook|device`, [DEVICE ...]: a form, not a command


def commands(page: str) -> list[str]:
    """The whole commands in `page`: in code blocks after a root prompt, and `run` and its like in backticks."""
    found = [left or right for left, right in COMMAND.findall((ROOT / page).read_text())]
    return [text for text in found if not FORM.search(text)]


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files(page: str) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", (ROOT / page).read_text())
    assert [link for link in links if not (ROOT / page).parent.joinpath(link).exists()] == []


def test_there_are_links_and_commands() -> None:
    assert len(re.findall(r"\]\([^)#:]+\)", (ROOT / "README.md").read_text())) > 5
    assert len([text for page in PAGES for text in commands(page)]) > 30


def test_the_readme_is_read_in_a_few_minutes() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120


@pytest.mark.parametrize("text", [text for page in PAGES for text in commands(page)])
def test_commands_are_taken_and_name_a_domain(text: str) -> None:
    words = shlex.split(text)
    options = parser().parse_args(words)  # exits where the command line refuses it
    if words[0] in NEED_A_DOMAIN and words != ["run", "--setup"]:  # how rules/README.md names the mode
        assert options.config or options.domain or options.prefix6, f"nfxlat {text}"


def test_the_packages_that_the_pages_name_are_those_that_are_installed() -> None:
    def wanted(script: str, name: str) -> str:
        found = re.findall(rf'^{name}="(?:\$NEEDED )?(.*?)"', (ROOT / "contrib" / script).read_text(), re.MULTILINE)
        (packages,) = found
        return f"`{packages}`"

    places = [("dev/prepare.sh", "NEEDED"), ("dev/prepare.sh", "BUILD"), ("test", "NEEDED"), ("dev/vm.sh", "NEEDED_VM")]
    text = (DOC / "reference/checkout.md").read_text().partition("They install")[2].partition("`contrib/test --vm`")[0]
    assert re.findall(r"`[a-z][\w -]+ [\w -]+`", text) == [wanted(*place) for place in places]


def test_the_page_names_what_is_measured_by_default_and_how_long_it_takes_at_most() -> None:
    page = (DOC / "explanation/benchmarks.md").read_text()
    (sentence,) = re.findall(r"(?ms)^`nfxlat bench` sends the same traffic.*?`--html", page)
    assert re.findall(r"\*(\w+)\*", sentence) == [*DEFAULT]
    number = {5: "five", 6: "six", 7: "seven"}[len(DEFAULT)]
    assert f"through {number} translators in turn, in one run of at most twelve minutes" in sentence
    options = Options()
    planned = sum(one.seconds(options.settings) for one in chosen_measurements(options))
    assert planned * options.rounds * len(DEFAULT) < LIMIT < 12 * 60


def test_the_limits_of_files_are_those_on_the_page() -> None:
    limits = f"{files.LARGEST >> 30} GB, {files.LARGEST_TEXT >> 20} MB of TOML or rules; "
    limits += f"a pipe has {files.PATIENCE:g} s to come to its end, and what a reload reads {reading.SECONDS:g} s,"
    assert f"- Files are read within limits: {limits}" in (DOC / "reference/limits.md").read_text()


RUN = parser().parse_args(["run"])
WORDS = {4: "four", 5: "five"}
REPAIRED = f"{WORDS[REPAIRS]} times a { {60.0: 'minute'}[WINDOW] }"
NUMBERS = (
    ("how-to/trace.md", f"after {trace.COUNT} packets (`--count`), and shows {trace.RATE} a second of each worker"),
    ("how-to/trace.md", f"{WORDS[READERS].capitalize()} can trace at once"),
    ("how-to/monitoring.md", f"the queue has its {signature(QueuePair).parameters['maxlen'].default:,} packets"),
    ("how-to/monitoring.md", f"at most the batch in its hands, {SLOTS} packets"),
    ("how-to/monitoring.md", f"at most {MOST_THINGS} a domain"),
    ("how-to/network-managers.md", f"each of up to {PROXY_ENTRIES} addresses"),
    ("how-to/network-managers.md", f"puts them back, {REPAIRED} at most"),
    ("how-to/tuning.md", f"The default is {RUN.busy_poll}; 0 is off"),
    ("explanation/setup.md", f"at most {REPAIRED}"),
    ("explanation/offload.md", f"{ENTRIES:,} pairs and flows"),
    ("explanation/offload.md", f"It goes when {UNUSED_NS // 10**9} s pass without one"),
    ("reference/run.md", f"(default {RUN.icmp_rate:g}, {RUN.icmp_burst})"),
    ("reference/run.md", f"default {RUN.busy_poll}, 0 is off"),
    ("reference/run.md", f"one packet per callback, at most {PAYLOAD_LIMIT:,} octets"),
)


@pytest.mark.parametrize(("page", "text"), NUMBERS)
def test_the_numbers_on_the_pages_are_those_of_the_program(page: str, text: str) -> None:
    assert text in " ".join((DOC / page).read_text().split())


def test_the_readme_counts_the_reasons() -> None:
    assert "one of some fifty reasons" in (ROOT / "README.md").read_text()
    assert 45 <= len(Reason) < 55


def test_the_page_of_reasons_has_all_of_them_as_the_program_tells_them() -> None:
    page = (DOC / "reference/reasons.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| (.+?) \| (.+?) \|$", page, re.MULTILINE)
    told = [(reason.label, reason.sentence, reason.rfc) for reason in Reason]
    assert [row[:3] for row in rows] == told, "each row of reference/reasons.md: reason, sentence, clause, what to do"


def test_the_page_of_exit_statuses_has_those_of_the_manual() -> None:
    page = (DOC / "reference/exit-status.md").read_text()
    manual = (
        (ROOT / "contrib/man/sections/nfxlat.man").read_text().partition("[EXIT STATUS]")[2].partition("[FILES]")[0]
    )
    known = set(re.findall(r"^\.B (\d+)$", manual, re.MULTILINE)) | {str(exit_status.LACKING)}
    assert set(re.findall(r"^\| (\d+) \|", page, re.MULTILINE)) == known
