"""The templates in xlat syntax: each is sound, and compiles to its golden file (tests/golden/xlat-NAME.nft)."""

from pathlib import Path

import pytest

from nfxlat import config
from nfxlat.judgement import Severity
from nfxlat.lab.rules import explained
from nfxlat.nft.check.judge import check
from nfxlat.nft.language.program import Program, program
from nfxlat.nft.shipped import RULES

GOLDEN = Path(__file__).parents[1] / "golden"
FILES = sorted((RULES / "xlat").glob("*.nft"))


def read(file: Path) -> Program:
    toml = file.with_suffix(".toml")
    domains = config.load(toml).domains if toml.exists() else ()
    return program(file.read_text(), file.name, domains)


def test_the_templates_are_there() -> None:
    assert len(FILES) >= 6


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_template_compiles_to_its_golden_file(file: Path) -> None:
    text = explained(read(file), owner="nfxlat_file_golden").text
    assert text == (GOLDEN / f"xlat-{file.name}").read_text()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_template_has_no_fault_and_uses_every_domain_of_its_configuration(file: Path) -> None:
    found = read(file)
    assert [finding.what for finding in check(found) if finding.severity is not Severity.NOTE] == []
    toml = file.with_suffix(".toml")
    assert list(found.domains) == ([d.name for d in config.load(toml).domains] if toml.exists() else ["xlat0"])
