"""nft that tries to hide its `xlat`: read as it is meant, or refused in one line that names the place.

The files are in tests/hostile; those that are read carry traffic in tests/netns/test_rules_hostile.py.
"""

from pathlib import Path

import pytest

from nfxlat import config
from nfxlat.errors import OperatorError
from nfxlat.judgement import Severity
from nfxlat.nft.check.judge import check
from nfxlat.nft.kernel import includes
from nfxlat.nft.language.program import program
from nfxlat.nft.shipped import RULES

DOMAINS = config.load(RULES / "xlat" / "router.toml").domains
HOSTILE = Path(__file__).parents[1] / "hostile"
REFUSED = {  # at which line and column
    "refused-variable": "1:14",
    "refused-verdict-of-an-anonymous-map": "2:27",
    "refused-verdict-of-a-named-map": "2:24",
    "refused-verdict-of-an-element": "1:32",
    "refused-anonymous-chain": "2:39",
    "refused-no-direction": "2:23",
}
READ = sorted(file.stem for file in HOSTILE.glob("*.nft") if file.stem not in REFUSED)


@pytest.mark.parametrize("name", READ)
def test_what_is_legal_is_read_as_it_is_meant(name: str) -> None:
    found = program((HOSTILE / f"{name}.nft").read_text(), "x.nft", DOMAINS)
    assert [statement.direction for statement in found.statements[-2:]] == ["to", "from"]
    assert [f.lines() for f in check(found) if f.severity is not Severity.NOTE] == []


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_compiled_is_refused_with_its_place(name: str) -> None:
    with pytest.raises(OperatorError) as caught:
        program((HOSTILE / f"{name}.nft").read_text(), "x.nft", DOMAINS)
    assert caught.value.where == f"x.nft:{REFUSED[name]}"
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("operand", ["inner.nft", "d/*.nft", "{}/inner.nft"])
def test_xlat_in_an_included_file_is_refused_by_its_name_and_line(tmp_path: Path, operand: str) -> None:
    (tmp_path / "d").mkdir()
    for file in (tmp_path / "inner.nft", tmp_path / "d" / "a.nft"):
        file.write_text("# not here: xlat to x\n\tip daddr 198.51.100.1 xlat to siit0\n")
    text = f'# one\ninclude "{operand.format(tmp_path)}"\n'
    with pytest.raises(OperatorError, match=r"includes .*(inner|a)\.nft, which has xlat in line 2") as caught:
        program(text, str(tmp_path / "x.nft"), DOMAINS, includes.read)
    assert caught.value.where == f"{tmp_path}/x.nft:2"
    assert "move the rule with xlat into this file" in caught.value.hint
    (tmp_path / "outer.nft").write_text(text)
    with pytest.raises(OperatorError, match="which has xlat"):
        program('include "outer.nft"\n', str(tmp_path / "x.nft"), DOMAINS, includes.read)


def test_includes_without_xlat_are_nft_s_own_matter(tmp_path: Path) -> None:
    (tmp_path / "sets.nft").write_text('define pool4 = 198.51.100.0/24\ninclude "sets.nft"\n')
    (tmp_path / "binary.nft").write_bytes(b"\xff\xfe")
    text = 'include "sets.nft"\ninclude "binary.nft"\ninclude "none/*.nft"\ninclude "./missing.nft"\n'
    assert program(text, str(tmp_path / "x.nft"), DOMAINS, includes.read).statements == ()
