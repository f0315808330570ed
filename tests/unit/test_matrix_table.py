"""The semantics matrix on paper: records are shown as they are, and a difference is seen."""

import json
from pathlib import Path

import pytest

from nfxlat.errors import OperatorError
from nfxlat.lab.matrix import command, table
from nfxlat.lab.matrix.cells import CELLS
from nfxlat.lab.matrix.questions import QUESTIONS, Answer

ROOT = Path(__file__).parents[2]
RECORDS = ROOT / table.RECORDS
MIRRORED: Answer = {"4to6": "IPv4 prerouting*, IPv6 forward", "6to4": "IPv6 prerouting*, IPv4 forward"}


def answers(answer: Answer) -> dict[str, Answer]:
    return dict.fromkeys(QUESTIONS, answer)


@pytest.mark.parametrize("page", [page for page, _ in command.PAGES])
def test_page_shows_what_is_recorded(page: str) -> None:
    content = dict(command.PAGES)[page](RECORDS)
    assert content
    assert table.between((ROOT / page).read_text()) == content


@pytest.mark.parametrize("record", table.names(RECORDS))
def test_record_answers_every_question_in_every_cell(record: str) -> None:
    """Of an older kernel a cell may be missing, which its page tells."""
    cells = table.read(RECORDS, record)
    names = [cell.name for cell in CELLS]
    assert list(cells) == (names if record == table.names(RECORDS)[0] else [name for name in names if name in cells])
    assert {tuple(found) for found in cells.values()} == {tuple(QUESTIONS)}


def test_both_kinds_of_kernel_are_recorded() -> None:
    assert {record.rpartition("-")[2] for record in table.names(RECORDS)} == {"native", "compat"}


def test_mirror_images_are_told_once() -> None:
    assert table.shown(MIRRORED) == "old prerouting*, new forward"
    assert table.shown({"4to6": "siit0", "6to4": "siit0"}) == "siit0"
    assert table.shown({"4to6": "1: nfxlat", "6to4": "0"}) == "4to6: 1: nfxlat; 6to4: 0"
    assert table.shown("nothing") == "nothing"


def test_each_direction_has_a_table_of_its_own() -> None:
    lines = table.tables({"device": answers(MIRRORED)})
    assert lines[0] == "### IPv4 to IPv6"
    assert "| **hooks** | IPv4 prerouting\\*, IPv6 forward |" in lines[: lines.index("### IPv6 to IPv4")]
    assert "| **hooks** | IPv6 prerouting\\*, IPv4 forward |" in lines[lines.index("### IPv6 to IPv4") :]


def test_addresses_of_the_lab_are_told_by_their_role() -> None:
    assert table.shown("from 192.0.2.18") == table.shown("from 2001:db8:1::1") == "from its address"
    assert table.shown("from 2001:db8:64::c000:212") == "from its IPv4 address, translated"
    assert table.shown("from 192.0.2.99") == "from 192.0.2.99"


def test_a_difference_between_records_is_shown() -> None:
    ours = {"router-device": answers(MIRRORED), "device": answers("2")}
    assert table.differences(ours, ours) == []
    theirs = {"router-device": answers(MIRRORED) | {"hooks": "none"}}
    assert table.differences(ours, theirs) == ["router, device injector, hooks: none", "device model: not measured"]


def test_kernel_without_a_record_is_told_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match=r"6\.6-native\.json: no semantics matrix .*--record"):
        table.read(tmp_path, "6.6-native")


def test_record_is_named_by_kernel_and_rules(tmp_path: Path) -> None:
    record = {"kernel": "6.6", "rule_path": "native", "cells": {"device": answers("2")}}
    assert table.write(tmp_path, record).name == "6.6-native.json"
    assert table.read(tmp_path, "6.6-native") == record["cells"]
    assert json.loads((tmp_path / "6.6-native.json").read_text()) == record


def test_newest_kernel_comes_first_and_the_others_by_their_differences(tmp_path: Path) -> None:
    for kernel, answer in (("6.1", "two"), ("6.18", "three")):
        table.write(tmp_path, {"kernel": kernel, "rule_path": "native", "cells": {"device": answers(answer)}})
    assert table.names(tmp_path) == ["6.18-native", "6.1-native"]
    lines = table.page(tmp_path).splitlines()
    assert "| **hooks** | three |" in lines
    assert "- device model, hooks: two" in lines


def test_page_is_renewed_between_its_comments_only(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"above\n{table.BEGIN}\nformer\n{table.END}\nbelow\n")
    table.renew(page, "new\n")
    assert page.read_text() == f"above\n{table.BEGIN}\nnew\n{table.END}\nbelow\n"
    page.write_text("nothing")
    with pytest.raises(OperatorError, match="are missing"):
        table.renew(page, "new\n")


def test_essence_fits_a_mail() -> None:
    assert max(map(len, table.essence(RECORDS).splitlines())) <= 76


@pytest.mark.parametrize("record", table.names(RECORDS))
def test_route_model_is_recorded_like_the_router(record: str) -> None:
    """As contrib/netdev.md says."""
    cells = table.read(RECORDS, record)
    assert cells["route"] == cells["router-device"]
