"""contrib/dev/make_site.py: what the generator of the site gets. The generator itself is not needed."""

import importlib.util
import re
from pathlib import Path, PurePosixPath
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


def _loaded() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_site", ROOT / "contrib/dev/make_site.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


site = _loaded()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    site.stage(folder)
    return folder


def test_every_link_leads_to_a_page_of_the_site(pages: Path) -> None:
    lost = []
    for page in pages.rglob("*.md"):
        text = re.sub(r"(?ms)^ *```.*?^ *```$", "", page.read_text())
        links = [link for _, _, link in site.LINK.findall(text) if ":" not in link and not link.startswith("#")]
        lost += [(page, link) for link in links if not (page.parent / link.partition("#")[0]).is_file()]
    assert lost == []


def test_pages_of_each_room_are_in_the_navigation(pages: Path) -> None:
    _, *rooms = site.navigation()
    listed = {path for room in rooms for paths in room.values() for path in paths}
    there = {str(path.relative_to(pages)) for room in site.ROOMS for path in (pages / room).glob("*.md")}
    assert there == listed


def test_files_manuals_and_folders_are_pages_too(pages: Path) -> None:
    assert "```toml" in (pages / "files/contrib/nfxlat.toml.md").read_text()
    assert "[nfxlat-run.8]" in (pages / "files/contrib/man/index.md").read_text()
    assert "SYNOPSIS" in (pages / "files/contrib/man/nfxlat-run.8.md").read_text()


def test_a_folder_with_a_readme_is_that_page() -> None:
    page = PurePosixPath("contrib/doc/how-to/x.md")
    assert site.resolved(page, "../../../rules") == site.resolved(page, "../../../rules/README.md")


def test_a_link_is_relative_to_where_its_page_stands() -> None:
    text, found = site.linked(PurePosixPath("contrib/doc/how-to/x.md"), "[a](../../nfxlat.toml), [b](y.md#z), [c](#d)")
    assert text == "[a](../files/contrib/nfxlat.toml.md), [b](y.md#z), [c](#d)"
    assert found == [PurePosixPath("contrib/nfxlat.toml"), PurePosixPath("contrib/doc/how-to/y.md")]


def test_a_bar_within_code_is_a_bar() -> None:
    assert site.code("| `a\\|b` | c\\|d |") == "| `a|b` | c\\|d |"


def test_short_code_with_hyphens_is_marked_to_stay_in_one_line() -> None:
    assert site.code("give `--setup`, or `x`") == "give `--setup`{.short}, or `x`"
    untouched = ["    `--setup` of a block", "`" + "a-" * 20 + "`", "```` ```a-b ````"]
    assert [site.code(text) for text in untouched] == untouched
