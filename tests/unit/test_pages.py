"""The pages for operators keep their word: links lead to files, and the commands in them are ones that nfxlat takes."""

import re
import shlex
from pathlib import Path

import pytest

from nfxlat.cli import parser

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
