"""The pages of contrib/doc: links lead somewhere, commands are understood, and few of them are left out of the test."""

import re
from pathlib import Path

import doc_pages
import pytest
from doc_pages import DOC, ROOT, Command, Written

PAGES = doc_pages.pages()
NOT_RUN = 40  # blocks at most
TITLE = re.compile(r'title="(.+?)"')


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", PAGES, ids=named)
def test_links_lead_to_files_and_headings(path: Path) -> None:
    wrong = []
    for link in doc_pages.links(path):
        file, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", link):
            if not re.fullmatch(r"https://[\w.-]+\.[a-z]+(/[\w./%~-]*)?(#[\w.-]+)?", link):
                wrong.append(link)
            continue
        target = path.parent / file if file else path
        if not target.exists() or (anchor and anchor not in doc_pages.anchors(target)):
            wrong.append(link)
    assert wrong == []


@pytest.mark.parametrize("folder", sorted(path for path in DOC.iterdir() if (path / "index.md").exists()), ids=named)
def test_each_page_is_listed_in_the_index_of_its_folder(folder: Path) -> None:
    listed = {link.partition("#")[0] for link in doc_pages.links(folder / "index.md")}
    assert [path.name for path in sorted(folder.glob("*.md")) if path.name not in {*listed, "index.md"}] == []


@pytest.mark.parametrize("path", PAGES, ids=named)
def test_a_page_has_one_title(path: Path) -> None:
    text = doc_pages.without_blocks(path.read_text())
    assert len(re.findall(r"^# ", text, re.MULTILINE)) == 1


@pytest.mark.parametrize("path", PAGES, ids=named)
def test_the_text_ahead_of_a_file_says_its_name(path: Path) -> None:
    """GitHub does not show the titles of blocks."""
    pieces = re.split(r"(?m)^ *```(.*)$", path.read_text())  # text, what opens a block, block, "", text, ...
    ahead = [
        (title[1], text)
        for text, opens in zip(pieces[::4], pieces[1::4], strict=False)
        if (title := TITLE.search(opens))
    ]
    assert [name for name, text in ahead if name not in text] == []


def test_few_blocks_are_not_run() -> None:
    left_out = [(named(path), *one) for path in PAGES for one in doc_pages.read(path).skipped]
    assert len(left_out) <= NOT_RUN, left_out


PAGE = """\
# Title
<!-- lab: none -->
```toml title="/etc/x.toml"
a = 1
```
Text.
```console
# first \\
      --option
one   two
...
host4$ second
# nfxlat run --setup
ready: ...
^C
done
```
<!-- not run: it would install -->
```console
# apt install nothing
```
"""


def test_a_page_is_files_and_commands_in_order(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text(PAGE)
    page = doc_pages.read(path)
    assert page.lab == "none"
    assert page.steps == [
        Written(3, "/etc/x.toml", "a = 1\n"),
        Command(8, "", "first \\\n      --option", ["one   two", "..."]),
        Command(12, "host4", "second"),
        Command(13, "", "nfxlat run --setup", ["ready: ..."], ["done"]),
    ]
    assert page.skipped == [(19, "it would install")]


@pytest.mark.parametrize(
    ("text", "message"), [("```console\n# x\n", "no end"), ("```console\nx\n```\n", "output before the first command")]
)
def test_a_page_that_is_not_understood_is_refused(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        doc_pages.read(path)


@pytest.mark.parametrize(
    ("expected", "output", "result"),
    [
        (["a  b"], " a b \n\n", True),
        (["a ... c"], "a b b c\n", True),
        (["a", "...", "z"], "a\nb\nc\nz\n", True),
        (["a", "...", "z"], "a\nz\n", True),
        (["a"], "a\nb\n", False),
        (["a.c"], "abc\n", False),
    ],
)
def test_output_is_compared_loosely(expected: list[str], output: str, result: bool) -> None:
    assert doc_pages.matches(expected, output) is result


def test_output_of_what_goes_on_begins_as_expected() -> None:
    assert doc_pages.matches(["a"], "a\nb\n", whole=False)
    assert not doc_pages.matches(["b"], "a\nb\n", whole=False)
