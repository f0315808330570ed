"""Manual pages and completion: made from what nfxlat declares (contrib/dev/manuals.py), whole, without complaint."""

import importlib.util
import re
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

from nfxlat import cli

CONTRIB = Path(__file__).parents[2] / "contrib"
PAGES = sorted((CONTRIB / "man").glob("*.[1-8]"))
MADE_BY = "run contrib/dev/manuals.py"
EACH_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def _loaded() -> ModuleType:
    spec = importlib.util.spec_from_file_location("manuals", CONTRIB / "dev/manuals.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


manuals = _loaded()
MADE: dict[Path, str] = manuals.texts()


@pytest.mark.parametrize("path", MADE, ids=str)
def test_what_is_there_is_what_would_be_made(path: Path) -> None:
    assert (CONTRIB / path).read_text() == MADE[path], MADE_BY


def test_every_command_has_a_page_and_every_page_a_command() -> None:
    pages = {f"nfxlat-{command}.8" for command in cli._COMMANDS} | {"nfxlat.8", "nfxlat.toml.5"}
    assert {page.name for page in PAGES} == pages
    assert pages - {path.name for path in MADE} == {"nfxlat-rules.8"}
    completed = [path.name for path in (CONTRIB / "completion").iterdir()]
    assert sorted(completed) == sorted(path.name for path in MADE if path.parts[0] == "completion")


def test_every_section_that_is_written_by_hand_is_in_a_page() -> None:
    for file in (CONTRIB / "man/sections").iterdir():
        page = next(page for page in (f"nfxlat-{file.stem}.8", f"{file.stem}.8") if (CONTRIB / "man" / page).exists())
        for heading in re.findall(r"^\[[<=>]?(.*)\]$", file.read_text(), re.MULTILINE):
            assert f".SH {heading}\n" in (CONTRIB / "man" / page).read_text()


def test_the_page_that_is_written_by_hand_tells_every_verb_and_option() -> None:
    text = (CONTRIB / "man/nfxlat-rules.8").read_text()
    text = re.sub(r"\\f[BIR]|\\", "", text)
    told = set(re.findall(r"^\.BI? (--[a-z]+)", text, re.MULTILINE))
    [(_, _, rules)] = [each for each in manuals._commands(cli.parser()) if each[0] == "rules"]
    verbs = manuals._subparsers(rules).choices
    options = {name for verb in verbs.values() for action in verb._actions for name in action.option_strings}
    assert told == options - {"-h", "--help"}
    for verb, parser in verbs.items():
        [synopsis] = re.findall(rf"^\.BI \"nfxlat rules {verb} .*", text, re.MULTILINE)
        taken = {name for action in parser._actions for name in action.option_strings}
        assert set(re.findall(r"--[a-z]+", synopsis)) == taken - {"-h", "--help"}
        assert f"\n.B {verb}\n" in text


@EACH_PAGE
def test_groff_has_no_complaint(page: Path) -> None:
    for device in ("utf8", "ascii"):
        command = ["groff", "-man", "-ww", "-z", f"-T{device}", str(page)]
        assert subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stderr == ""


@EACH_PAGE
def test_the_page_has_a_name_and_a_line_about_it(page: Path) -> None:
    """As mandb(8) and apropos(1) look for it."""
    name = page.stem.replace("-", r"\\?-")
    assert re.search(rf"\.SH NAME\n{name} \\- [^\n]+\n\.SH ", page.read_text())


@EACH_PAGE
def test_what_is_to_be_seen_also_is_there(page: Path) -> None:
    named = re.findall(r"^\.BR (nfxlat[^ ]*) \((\d)\)", page.read_text(), re.MULTILINE)
    assert named
    for name, section in named:
        assert (CONTRIB / "man" / f"{name.replace(chr(92), '')}.{section}").exists()


def test_the_unit_names_pages_that_there_are() -> None:
    [pages] = re.findall(r"^Documentation=(.*)$", (CONTRIB / "systemd/nfxlat@.service").read_text(), re.MULTILINE)
    for page in pages.split():
        name, section = re.fullmatch(r"man:(.*)\((\d)\)", page).groups()  # type: ignore[union-attr]
        assert (CONTRIB / "man" / f"{name}.{section}").exists()


def completed(*words: str) -> list[str]:
    """What bash offers behind `words`, the last of which is begun."""
    script = f"""
        source {CONTRIB}/completion/nfxlat
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
        _shtab_nfxlat nfxlat "${{@: -1}}" "${{@: -2:1}}"
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    command = ["bash", "-ec", script, "bash", "nfxlat", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["ru"], ["rules", "run"]),
        (["rules", "un"], ["unload"]),
        (["run", "--se"], ["--setup"]),
        (["run", "--model", "d"], ["device"]),
        (["translate", "--config", "/etc/hostn"], ["/etc/hostname"]),
    ],
)
def test_bash_completes(words: list[str], offered: list[str]) -> None:
    assert completed(*words) == offered
