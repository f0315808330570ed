"""The pages for operators keep their word: links lead to files, and the commands in them are ones that nfxlat takes."""

import re
import shlex
from pathlib import Path

import pytest

from nfxlat import files
from nfxlat.bench.models import DEFAULT
from nfxlat.bench.rounds import LIMIT, Options, chosen_measurements
from nfxlat.cli import parser
from nfxlat.service import reading

ROOT = Path(__file__).parents[2]
PAGES = ["README.md", "rules/README.md", "contrib/dev/TRANSLATION-POINTS.md", "contrib/conformance.md"]
NEED_A_DOMAIN = ("run", "translate", "explain")
COMMAND = re.compile(
    r"^    # nfxlat (.*?)(?: {2,}#.*)?$|`nfxlat ((?:run|translate|explain) [^`]*--[^`]*)`", re.MULTILINE
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


def test_the_readme_has_links_and_commands() -> None:
    assert len(re.findall(r"\]\([^)#:]+\)", (ROOT / "README.md").read_text())) > 5
    assert len(commands("README.md")) > 8


@pytest.mark.parametrize("text", [text for page in PAGES for text in commands(page)])
def test_commands_are_taken_and_name_a_domain(text: str) -> None:
    words = shlex.split(text)
    options = parser().parse_args(words)  # exits where the command line refuses it
    if words[0] in NEED_A_DOMAIN and words != ["run", "--setup"]:  # how rules/README.md names the mode
        assert options.config or options.domain or options.prefix6, f"nfxlat {text}"


def test_the_packages_that_the_readme_names_are_those_that_are_installed() -> None:
    def wanted(script: str, name: str) -> str:
        found = re.findall(rf'^{name}="(?:\$NEEDED )?(.*?)"', (ROOT / "contrib" / script).read_text(), re.MULTILINE)
        (packages,) = found
        return f"`{packages}`"

    places = [("dev/prepare.sh", "NEEDED"), ("dev/prepare.sh", "BUILD"), ("test", "NEEDED"), ("dev/vm.sh", "NEEDED_VM")]
    text = (ROOT / "README.md").read_text().partition("## See it work")[2].partition("`contrib/test --vm`")[0]
    assert re.findall(r"`[a-z][\w -]+ [\w -]+`", text) == [wanted(*place) for place in places]


def test_the_readme_names_what_is_measured_by_default_and_how_long_it_takes_at_most() -> None:
    (sentence,) = re.findall(r"(?ms)^Sends the same traffic.*?`--html", (ROOT / "README.md").read_text())
    assert re.findall(r"\*(\w+)\*", sentence) == [*DEFAULT]
    number = {5: "five", 6: "six", 7: "seven"}[len(DEFAULT)]
    assert f"through {number} translators in turn, in one run of at most twelve minutes" in sentence
    options = Options()
    planned = sum(one.seconds(options.settings) for one in chosen_measurements(options))
    assert planned * options.rounds * len(DEFAULT) < LIMIT < 12 * 60


def test_the_limits_of_files_are_those_in_the_readme() -> None:
    limits = f"{files.LARGEST >> 30} GB, {files.LARGEST_TEXT >> 20} MB of TOML or rules; "
    limits += f"a pipe has {files.PATIENCE:g} s to come to its end, and what a reload reads {reading.SECONDS:g} s,"
    assert f"- Files are read within limits: {limits}" in (ROOT / "README.md").read_text()
