"""Each command of each page is run, in its order, and prints what the page says. See contrib/dev/PAGES.md.

Pages mostly wait, for a translator or an answer, so that some are worked through at the same time.
"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import doc_pages
import pytest
from doc_room import Room

from nfxlat.lab.topology import Lab

PAGES = [path for path in doc_pages.pages() if doc_pages.read(path).steps]
AT_ONCE = 4


@pytest.fixture(scope="module")
def complaints(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[Path, str]:
    """By page of those that are wanted: where it is not as it says; "" where all is."""
    calls = [item.callspec for item in request.session.items if item.path == request.path and hasattr(item, "callspec")]
    wanted: list[Path] = [call.params["path"] for call in calls]
    folders = [tmp_path_factory.mktemp(path.stem) for path in wanted]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return dict(zip(wanted, pool.map(complaint, wanted, folders), strict=True))


def complaint(path: Path, folder: Path) -> str:
    """Work through a page in a room of its own."""
    page = doc_pages.read(path)
    try:
        if page.lab == "none":
            with Room(folder, None) as room:
                room.work_through(page)
        else:
            with Lab() as lab, Room(folder, lab) as room:
                room.work_through(page)
    except Exception as error:  # told by the page's own test, and not by those of all
        return f"{type(error).__name__}: {error}"
    return ""


@pytest.mark.timeout(600)  # the first waits for all
@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(doc_pages.ROOT)))
def test_commands_of_a_page_print_what_it_says(path: Path, complaints: dict[Path, str]) -> None:
    assert complaints[path] == "", complaints[path]
