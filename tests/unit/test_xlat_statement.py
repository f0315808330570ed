"""The `xlat` statement in nft input: where it is found, what it says, and where a mistake in it is."""

import pytest

from nfxlat.errors import OperatorError
from nfxlat.nft.language.prefix6 import meant_prefix6, prefix6_faults
from nfxlat.nft.language.scan import scan
from nfxlat.nft.language.statement import Xlat, statements
from nfxlat.nft.shipped import RULES

BLOCK = """\
table ip t {
	chain c {
		type filter hook prerouting priority raw - 150; policy accept;
		ip daddr @pool xlat to siit0
	}
}
"""
RULE = "table ip t { chain c { %s } }"


def parsed(text: str) -> list[Xlat]:
    return statements(scan(text, "x.nft"))


def refused(text: str) -> str:
    with pytest.raises(OperatorError) as caught:
        parsed(text)
    return str(caught.value)


def test_block_style_statement_has_its_chain_hook_and_matches() -> None:
    [found] = parsed(BLOCK)
    base = found.rule.chain.base
    assert (found.direction, found.operand.text, found.mappings) == ("to", "siit0", ())
    assert base is not None
    assert (base.type, base.hook, base.priority) == ("filter", "prerouting", -450)
    assert [token.text for token in found.matches] == ["ip", "daddr", "@pool"]
    assert BLOCK[found.at.start : found.end] == "xlat to siit0"


@pytest.mark.parametrize(
    "text",
    [
        "table ip t { chain c { type filter hook output priority -450; ip daddr 192.0.2.1 xlat to siit0; }; }",
        "add rule ip t c ip daddr 192.0.2.1 xlat to siit0",
        "insert rule t c index 2 ip daddr 192.0.2.1 xlat to siit0",
        'add rule ip t c ip daddr 192.0.2.1 xlat to siit0 comment "xlat from here"',
        "add chain ip t c { type filter hook output priority 0; }; add rule t c ip daddr 192.0.2.1 xlat to siit0",
        "table ip t {\n\tchain c {\n\t\tip daddr \\\n\t\t192.0.2.1 xlat \\\n to siit0 # xlat from nowhere\n\t}\n}",
    ],
)
def test_every_way_to_write_a_rule_is_understood(text: str) -> None:
    [found] = parsed(text)
    assert [token.text for token in found.matches] == ["ip", "daddr", "192.0.2.1"]
    assert (found.direction, found.operand.text, found.rule.chain.name) == ("to", "siit0", "c")


@pytest.mark.parametrize("end", ["", ' comment "all of it"'])
@pytest.mark.parametrize("xlat", ["to siit0", "to 2001:db8:64::/96 with source { 192.0.0.1 : 2001:db8:2::2 }"])
def test_it_may_say_that_it_wants_whole_datagrams(xlat: str, end: str) -> None:
    text = RULE % f"ip daddr 192.0.2.1 xlat {xlat} reassembled{end}"
    [found] = parsed(text)
    assert found.reassembled
    assert text[found.at.start : found.end] == f"xlat {xlat} reassembled"
    assert not parsed(text.replace(" reassembled", ""))[0].reassembled
    assert "unexpected 'whole' after xlat" in refused(text.replace("reassembled", "reassembled whole"))


def test_other_statements_may_stand_ahead_of_it() -> None:
    [found] = parsed(RULE % "ip daddr 192.0.2.1 limit rate 9/second meta mark set 1 log counter xlat to siit0")
    assert [token.text for token in found.matches][-2:] == ["log", "counter"]


def test_matches_with_sets_over_several_lines_are_one_rule() -> None:
    [found] = parsed(RULE % "ip daddr { 192.0.2.1,\n\t192.0.2.2 } xlat to siit0")
    assert [token.text for token in found.matches].count("192.0.2.2") == 1


@pytest.mark.parametrize(
    "text",
    [
        "# xlat to siit0\n",
        RULE % 'accept comment "xlat to siit0"',
        "table ip t { set xlat { type ipv4_addr; elements = { 192.0.2.1 } } ; chain c { ip daddr @xlat accept } }",
        RULE % "counter name xlat accept",
        "table ip t { chain xlat { accept; } ; chain c { jump xlat\n goto xlat; } }",
        'include "xlat to siit0"',
    ],
)
def test_the_word_elsewhere_is_no_statement(text: str) -> None:
    assert parsed(text) == []


def test_shipped_rules_hold_no_statement_and_are_understood() -> None:
    for name in ("router", "host", "route"):
        source = scan((RULES / f"{name}.nft").read_text(), name)
        assert statements(source) == []
        assert source.chains["ip", "nfxlat_siit0", "xlat_to_siit0_tcp"].base is None
        assert source.chains["ip6", "nfxlat_siit0", "xlat_from_siit0_tcp"].base is None


def test_variables_stand_for_prefixes_mappings_and_table_names() -> None:
    [found] = parsed(
        "define t = mine\ndefine p = 2001:db8:64::/96\ndefine own = { 192.0.0.1 : 2001:db8::1 }\n"
        "table ip $t { chain c { xlat to $p with source $own; }; }"
    )
    assert found.operand.text == "2001:db8:64::/96"
    assert [(key.text, value.text) for key, value in found.mappings] == [("192.0.0.1", "2001:db8::1")]
    assert found.rule.chain.table.name == "mine"


def test_mappings_of_the_other_address_are_read_in_both_directions() -> None:
    to, back = parsed(
        RULE % "xlat to 2001:db8:64::/96 with source { 192.0.0.1 : 2001:db8::1, 192.0.0.2 : 2001:db8::2 }\n"
        'xlat from 2001:db8:64::/96 with destination { 2001:db8::1 : 192.0.0.1, } comment "x"'
    )
    assert [(key.text, value.text) for key, value in to.mappings] == [
        ("192.0.0.1", "2001:db8::1"),
        ("192.0.0.2", "2001:db8::2"),
    ]
    assert [(key.text, value.text) for key, value in back.mappings] == [("2001:db8::1", "192.0.0.1")]


@pytest.mark.parametrize(
    ("rule", "column", "what"),
    [
        ("accept xlat", 31, "direction"),
        ("xlat siit0", 24, "direction"),
        ("xlat to", 29, "needs a prefix6 or a domain"),
        ('xlat to comment "x"', 29, "needs a prefix6 or a domain"),
        ("xlat to siit0 accept", 38, "after xlat"),
        ('xlat to siit0 comment "x" counter', 38, "after xlat"),
        ("xlat to $nothing", 32, "single word"),
        ("xlat to 2001:db8::/96 with destination { 1.2.3.4 : ::2 }", 51, "with source"),
        ("xlat from 2001:db8::/96 with source { ::2 : 1.2.3.4 }", 53, "with destination"),
        ("xlat to 2001:db8::/96 with source 2001:db8::1", 58, "mapping of two"),
        ("xlat to 2001:db8::/96 with source { 192.0.0.1 }", 60, "mapping of two"),
        ("xlat to 2001:db8::/96 with source { }", 58, "mapping of two"),
        ("xlat to 2001:db8::/96 with", 46, "with source"),
    ],
)
def test_a_mistake_is_told_with_its_place(rule: str, column: int, what: str) -> None:
    error = refused(f"\ntable ip t {{ chain c {{ {rule}; }} }}")
    assert error.startswith(f"x.nft:2:{column}: ")
    assert what in error


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("table ip t {", "1:12"),
        ("}\n", "1:1"),
        ("table ip t { chain c { ip daddr { 192.0.2.1 accept\n", "1:33"),
        ('table ip t { chain c { comment "x\n', "1:32"),
        ("table ip t { chain c { chain d { } } }", "1:24"),
    ],
)
def test_what_is_no_nft_at_all_is_told_with_its_place(text: str, place: str) -> None:
    assert refused(text).startswith(f"x.nft:{place}: ")


@pytest.mark.parametrize(
    ("priority", "number"),
    [("-450", -450), ("srcnat + 1", 101), ("raw-150", -450), ("dstnat", -100), ("$p", -500), ("$q", None)],
)
def test_priorities_are_numbers_names_and_sums(priority: str, number: int | None) -> None:
    text = f"define p = -500\ntable ip t {{ chain c {{ type filter hook prerouting priority {priority}; }} }}"
    base = scan(text, "x").chains["ip", "t", "c"].base
    assert base is not None
    assert base.priority == number


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("64::ff9b::/96", ["'::' more than once"]),
        ("64:ff9b::/95", ["length 95"]),
        ("64:ff9b::", ["needs a length"]),
        ("64:ff9b::1/96", ["bits set beyond"]),
        ("64:ff9b::/200", ["/200"]),
        ("12345::zz/96", ["'12345'", "'zz'"]),
        ("1:2:3:4:5:6:7:8:9/96", ["9 groups"]),
        ("2001:db8:0:0:ff00::/96", ["64 to 71"]),
        ("192.0.2.0/24", ["IPv4 prefix"]),
        ("64::ff9b::", ["'::' more than once", "needs a length"]),
        ("2001:db8:64::/96", []),
    ],
)
def test_every_fault_of_a_prefix_is_named(text: str, words: list[str]) -> None:
    faults = prefix6_faults(text)
    assert len(faults) == len(words)
    for fault, word in zip(faults, words, strict=True):
        assert word in fault


def test_a_malformed_prefix_has_a_guess() -> None:
    assert meant_prefix6("64::ff9b::/96") == "64:ff9b::/96"
    assert meant_prefix6("64::ff0b::/96") == "64:ff0b::/96 (the well-known prefix is 64:ff9b::/96)"
    assert meant_prefix6("64:ff9b::/96") is None
    assert meant_prefix6("zz::/96") is None
