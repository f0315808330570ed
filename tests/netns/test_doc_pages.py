"""Each command of each page is run, in its order, and prints what the page says. See contrib/dev/PAGES.md."""

from pathlib import Path

import doc_pages
import pytest
from doc_room import Room

from nfxlat.lab.topology import Lab

PAGES = [path for path in doc_pages.pages() if doc_pages.read(path).steps]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(doc_pages.ROOT)))
def test_commands_of_a_page_print_what_it_says(path: Path, tmp_path: Path) -> None:
    page = doc_pages.read(path)
    if page.lab == "none":
        with Room(tmp_path, None) as room:
            room.work_through(page)
        return
    with Lab() as lab, Room(tmp_path, lab) as room:
        room.work_through(page)
