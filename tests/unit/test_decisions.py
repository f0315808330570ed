"""contrib/dev/decisions: the index names every page, every entry is dated and in known parts, links lead to files."""

import re
from pathlib import Path

ROOM = Path(__file__).parents[2] / "contrib/dev/decisions"
PAGES = {path.name: path.read_text() for path in ROOM.glob("*.md") if path.name != "README.md"}
ENTRY = re.compile(r"^## (.*)\n\n((?:(?!## ).*\n)*)", re.MULTILINE)
DATE = re.compile(r"\((\d{4}-\d\d-\d\d)(?:, .* \d{4}-\d\d-\d\d)?\)$")
PARTS = {"Decided", "Because", "Measured", "Rejected", "Rejected because", "Correction", "Open"}


def test_index_names_every_page() -> None:
    listed = re.findall(r"^\| \[([\w.]+)\]\(([\w.]+)\) \|", (ROOM / "README.md").read_text(), re.MULTILINE)
    assert all(text == target for text, target in listed)
    assert len(listed) == len(PAGES) > 5
    assert {target for _, target in listed} == set(PAGES)


def test_every_entry_is_dated_and_has_known_parts() -> None:
    faults = []
    for name, text in PAGES.items():
        entries = ENTRY.findall(text)
        assert len(entries) == text.count("\n## ") > 0
        for title, body in entries:
            parts = re.findall(r"^- \*\*([\w ]+?)(?::\*\*|\*\*(?: \(|,| where))", body, re.MULTILINE)
            if not DATE.search(title) or not parts or not set(parts) <= PARTS:
                faults.append((name, title, parts))
    assert faults == []


def test_links_lead_to_files() -> None:
    links = [(name, link) for name, text in PAGES.items() for link in re.findall(r"\]\(([^)#]+)\)", text)]
    assert len(links) > 3
    assert [(name, link) for name, link in links if not (ROOM / link).exists()] == []
