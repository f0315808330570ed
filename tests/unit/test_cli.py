"""The command line as a whole; each command has tests of its own."""

import subprocess
import sys
from pathlib import Path

import loaded_modules
import pytest

from nfxlat import cli

HEAVY = {"dpkt", "rich", "nfxlat.bench", "nfxlat.lab", "nfxlat.offline"}


def loaded(command: str | None) -> set[str]:
    words = [] if command is None else [command]
    done = subprocess.run(
        [sys.executable, loaded_modules.__file__, *words], capture_output=True, text=True, timeout=60, check=True
    )
    return set(done.stdout.split())


def test_a_running_translator_has_nothing_of_the_other_commands_in_memory() -> None:
    assert loaded("run") & HEAVY == set()
    assert loaded(None) & HEAVY == HEAVY
    assert "prometheus_client" not in loaded(None)


def test_every_command_is_known_by_its_name_alone() -> None:
    whole = cli.parser().format_help().split()
    for command in cli._COMMANDS:
        assert command in whole
        assert command in cli.parser(command).format_help().split()


def test_help_has_each_command_on_one_line_under_every_python() -> None:
    lines = cli.parser().format_help().splitlines()
    assert "    translate    translate a capture offline" in lines
    assert "    run          run the translator" in lines


@pytest.mark.parametrize("words", [["tarnslate"], []])
def test_what_is_no_command_is_told_all_of_them(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(words)
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert (" translate)" in told) if words else ("COMMAND" in told)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ["run", "--model", "hok"],
            "nfxlat run: argument --model: invalid choice: 'hok' (choose from hook, device, route)",
        ),
        (
            ["run", "--modle", "hook"],
            "nfxlat run: unrecognized arguments: --modle hook, did you mean --model?",
        ),
        (["eam", "list", "extra"], "nfxlat eam list: unrecognized arguments: extra"),
        (["run", "--prefix6"], "nfxlat run: argument --prefix6: expected one argument"),
        (["domain"], "nfxlat domain: the following arguments are required: VERB"),
        (["demo", "--size", "x"], "nfxlat demo: argument --size: invalid int value: 'x'"),
    ],
)
def test_a_mistake_in_the_arguments_is_one_line_in_the_same_words_under_every_python(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(words)
    assert ended.value.code == 2
    assert capsys.readouterr().err == f"{told}; see {told.partition(':')[0]} --help\n"


def test_one_error_is_counted_as_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chain = "type filter hook prerouting priority -450; ip daddr 192.0.2.1 xlat to nowhere"
    file = tmp_path / "one.nft"
    file.write_text(f"table ip t {{\n chain c {{ {chain}\n }}\n}}\n")
    assert cli.main(["rules", "check", str(file)]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == f"{file}: 1 error, 0 warnings, 0 notes"


def test_a_descriptor_for_readiness_that_is_not_open_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "--prefix6", "2001:db8:64::/96", "--ready-fd", "-1"]) == 2
    assert capsys.readouterr().err == "nfxlat: --ready-fd: file descriptor -1 is not open; open it, e.g. with 3>FILE\n"
