"""The pages of contrib/doc as a directory that a generator of static sites (mkdocs) makes a site of.

They are read where they stand, and their links lead to pages, other files and folders of the checkout. What a link
leads to becomes a page too: another page as it is, a text file with its text, a manual page as man(1) shows it, and a
folder with the list of its files.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parents[2]
DOC = PurePosixPath("contrib/doc")
ROOMS = ("tutorials", "how-to", "explanation", "reference")
LINK = re.compile(r"(!?)\[((?:[^][]|\[[^]]*\])*)\]\(([^()\s]+)\)")
CODE = re.compile(r"(?<!`)`[^`\n]+`(?!`)")
SHORT = 32  # characters, with the marks: fits into the lines of a telephone
FENCE = re.compile(r"(?ms)^( *```.*?^ *```$)")
TEXT = {".nft": "nft", ".toml": "toml", ".service": "ini", ".network": "ini", ".conf": "ini", "": "sh"}
STYLE = """\
.md-grid { max-width: 72rem }
.md-typeset table:not([class]) { font-size: .68rem }
.md-typeset table:not([class]) th { min-width: 5rem; vertical-align: bottom }
.md-typeset table:not([class]) th:empty { min-width: 0 }
.md-typeset table:not([class]) td:first-child, .md-typeset table:not([class]) th:first-child {
  position: sticky; left: 0; background: var(--md-default-bg-color) }
.md-typeset table:not([class]) td code { word-break: normal }
.md-typeset table:not([class]) thead:not(:has(th:not(:empty))) { display: none }
.md-typeset code.short { white-space: nowrap }
.md-typeset h1, .md-typeset h2, .md-typeset h3 { font-weight: 600; color: var(--md-default-fg-color) }
@media (max-width: 40rem) { /* pictures keep a size that can be read: they are moved sideways */
  .md-typeset p:has(> img) { overflow-x: auto }
  .md-typeset p > img { max-width: none; width: 42rem }
  .md-typeset td code.short { white-space: normal } /* columns stay narrow */
}
"""


def staged(path: PurePosixPath) -> PurePosixPath:
    """Where in the site the page for this path of the checkout stands."""
    if path == PurePosixPath("README.md"):
        return PurePosixPath("index.md")
    if path.is_relative_to(DOC):
        return path.relative_to(DOC)
    if (ROOT / path).is_dir():
        return PurePosixPath("files", path, "index.md")
    return PurePosixPath("files", path if path.suffix in (".md", ".svg") else f"{path}.md")


def text_of(path: PurePosixPath) -> str:
    """The text of that page, with links as in the checkout."""
    file = ROOT / path
    if file.is_dir():
        inside = sorted(one.name for one in file.iterdir() if not one.name.startswith((".", "__")) and one.is_file())
        return f"# {path}\n\n" + "".join(f"- [{name}]({name})\n" for name in inside)
    if path.suffix == ".md":
        return file.read_text()
    if re.fullmatch(r"\.[1-8]", path.suffix):
        shown = subprocess.run(
            ["groff", "-man", "-Tutf8", "-P-cbou", str(file)], capture_output=True, text=True, check=True
        )
        return f"# {path.name}\n\n```text\n{shown.stdout.strip()}\n```\n"
    return f"# {path}\n\n```{TEXT.get(path.suffix, 'text')}\n{file.read_text().rstrip()}\n```\n"


def resolved(page: PurePosixPath, link: str) -> PurePosixPath:
    """What a relative link of a page leads to, as a path of the checkout."""
    base = page if (ROOT / page).is_dir() else page.parent
    path = PurePosixPath(os.path.normpath(base / link))
    return path / "README.md" if (ROOT / path / "README.md").is_file() else path


def stage(target: Path) -> list[PurePosixPath]:
    """Write all pages, and what they lead to, below `target`; the paths of the checkout. Links are made anew."""
    waiting = [PurePosixPath(path.relative_to(ROOT).as_posix()) for path in sorted((ROOT / DOC).rglob("*.md"))]
    done: list[PurePosixPath] = []
    while waiting:
        page = waiting.pop(0)
        if page in done:
            continue
        done.append(page)
        place = target / staged(page)
        place.parent.mkdir(parents=True, exist_ok=True)
        if page.suffix == ".svg":
            place.write_bytes((ROOT / page).read_bytes())
            continue
        text, found = linked(page, text_of(page))
        place.write_text(text)
        waiting += found
    return done


def linked(page: PurePosixPath, text: str) -> tuple[str, list[PurePosixPath]]:
    """The text with links as the site has them, and what they lead to."""
    found: list[PurePosixPath] = []

    def anew(match: re.Match[str]) -> str:
        file, mark, anchor = match[3].partition("#")
        if not file or ":" in file:
            return match[0]
        path = resolved(page, file)
        if path != PurePosixPath("README.md"):
            found.append(path)
        there = os.path.relpath(staged(path), staged(page).parent)
        return f"{match[1]}[{match[2]}]({there}{mark}{anchor})"

    parts = FENCE.split(text)
    return "".join(part if part.lstrip().startswith("```") else LINK.sub(anew, code(part)) for part in parts), found


def code(text: str) -> str:
    """Code within lines. GitHub wants a bar in a table's cell escaped, within code too; the generator shows the escape.
    What is short is marked, so that no line ends behind the hyphens of an option."""

    def anew(found: re.Match[str]) -> str:
        mark = "{.short}" if "-" in found[0] and len(found[0]) <= SHORT else ""
        return found[0].replace("\\|", "|") + mark

    lines = text.split("\n")
    return "\n".join(line if line.startswith("    ") else CODE.sub(anew, line) for line in lines)


def navigation() -> list[object]:
    """Pages in the order of the index of their room."""
    rooms: list[object] = [{"Home": "index.md"}]
    for room in ROOMS:
        text = (ROOT / DOC / room / "index.md").read_text()
        pages = [link for _, _, link in LINK.findall(text) if "/" not in link and link.endswith(".md")]
        title = text.splitlines()[0].removeprefix("# ")
        rooms.append({title: [f"{room}/{page}" for page in ["index.md", *dict.fromkeys(pages)]]})
    return rooms


def configuration(target: Path) -> dict[str, object]:
    """Of mkdocs, as JSON, which is YAML too. Nothing comes from another site: no fonts, no scripts."""
    scheme = {"light": "default", "dark": "slate"}
    palette = [
        {"media": f"(prefers-color-scheme: {name})", "scheme": scheme[name], "primary": "indigo", "accent": "teal"}
        for name in scheme
    ]
    return {
        "site_name": "nfxlat",
        "site_description": "Stateless translation between IPv4 and IPv6, chosen by a firewall rule",
        "docs_dir": "pages",
        "site_dir": str(target),
        "use_directory_urls": False,
        "nav": navigation(),
        "not_in_nav": "files/",
        "extra_css": ["style.css"],
        "plugins": ["search"],
        "theme": {
            "name": "material",
            "font": False,
            "palette": palette,
            "features": ["navigation.indexes", "navigation.tabs", "navigation.top", "toc.follow", "content.code.copy"],
        },
        "markdown_extensions": [
            "tables",
            "admonition",
            "attr_list",
            "sane_lists",
            "pymdownx.superfences",
            {"toc": {"permalink": True}},
        ],
        "validation": {"links": {"anchors": "warn", "absolute_links": "warn", "unrecognized_links": "warn"}},
    }


def main(work: Path, target: Path) -> None:
    """Fill `work`: mkdocs.yml, and pages/ for it. The site is to stand in `target`."""
    stage(work / "pages")
    (work / "pages/style.css").write_text(STYLE)
    (work / "mkdocs.yml").write_text(json.dumps(configuration(target), indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]).resolve())
