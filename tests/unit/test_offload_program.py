"""Built programs, made ready to be loaded; and that both sides of the structures agree."""

import re
import struct
import sys
from pathlib import Path

import pytest

from nfxlat.datapath import numbers
from nfxlat.offload import table
from nfxlat.offload.program import FOLDER, linked, text
from nfxlat.wire import stamp

SOURCE = (FOLDER / "ingress.c").read_text()
PAGE = Path(__file__).parents[2] / "contrib/doc/explanation/offload.md"


def test_maps_and_numbers_are_put_in_where_their_symbols_stand() -> None:
    load = "18 00 0000 00000000 00 00 0000 00000000".replace(" ", "")
    program = f"# of nothing\n{load[:16]} table\n{load[16:]}\n{load[:16]} number\n{load[16:]}\n95" + "00" * 7 + "\n"
    code = linked(program, {"table": 7}, {"number": 0x1122334455667788})
    assert len(code) == 5 * 8
    assert code[1] == (0x10 if sys.byteorder == "little" else 0x01)
    assert struct.unpack_from("=4xI4xI", code, 0) == (7, 0)
    assert (code[17], struct.unpack_from("=4xI4xI", code, 16)) == (0, (0x55667788, 0x11223344))


def test_a_symbol_that_nobody_knows_is_a_bug() -> None:
    with pytest.raises(KeyError):
        linked("18" + "00" * 7 + " unknown\n" + "00" * 8, {}, {})
    with pytest.raises(ValueError):
        linked("95" + "00" * 7 + " unknown\n", {}, {})


def test_programs_ask_for_nothing_that_is_not_put_in() -> None:
    symbols = {
        name: {line.partition(" ")[2] for line in text(name).splitlines() if not line.startswith("#")} - {""}
        for name in ("stamp", "offload", "flowhash")
    }
    of_udp = {"fit_udp", "skb_head", "skb_end", "gso_type"}
    maps = {"state", "pairs", "answers", "arrived", "counts"}
    assert symbols == {
        "stamp": of_udp,
        "offload": of_udp | {"udp", "summed_at", "summed_shift"} | maps,
        "flowhash": set(),
    }


def number(name: str) -> int:
    """Of a #define."""
    found = re.search(rf"^#define {name} \(?(\w+)( \* SECOND)?\)?", SOURCE, re.MULTILINE)
    assert found
    return int(found[1].rstrip("ULul"), 0) * (10**9 if found[2] else 1)


def test_both_sides_have_the_same_numbers() -> None:
    assert (number("MAGIC"), number("NUMBERED")) == (stamp.MAGIC, stamp.NUMBERED)
    assert (number("ANY"), number("ANY_MASK")) == (stamp.ANY, stamp.ANY_MASK)
    assert number("FIT_UDP") == stamp.UDP
    assert number("UNUSED") == table.UNUSED_NS
    assert number("ON_THE_WAY") == numbers.ON_THE_WAY
    assert number("JUDGED") == table.JUDGED_NS
    outcomes = re.search(r"enum outcome \{ (.*), OUTCOMES \}", SOURCE)
    assert outcomes
    names = {"WAITING": "waiting", "DIVERTING": "diverted"}
    assert [names.get(name, name.lower()) for name in outcomes[1].split(", ")] == list(table.OUTCOMES)


def test_the_page_has_the_times_of_the_program() -> None:
    page = PAGE.read_text()
    assert f"every {number('ASK') // 10**9} s a copy of a packet asks the rules again" in page
    assert (number("DIVERTED"), number("DEAD")) == (10**10, 10**10)
    assert "for ten seconds, so that none overtakes" in page
    assert "after ten seconds with cls_bpf" in page


def test_structures_have_the_sizes_that_the_compiler_gives_them() -> None:
    assert (table.STATE.size, table.KEY.size, table.PAIR.size, table.ARRIVED.size) == (48, 44, 176, 16)
    pair = table.Pair.of(struct.pack("=4Q2I4Q2I6QI4H", *range(1, 24)) + bytes(range(32)) + struct.pack("=I", 24))
    assert (pair.tcp_number, pair.udp_queued, pair.learnt, pair.generation, pair.by_flow) == (5, 7, 13, 19, 24)
    assert table.Pair.of(pair.encoded()) == pair
