"""The table of keys: complete, equal to Domain, and the one source of the manual page and the commented example."""

import re
import subprocess
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import get_args

import pytest

from nfxlat import config
from nfxlat.config import reference
from nfxlat.config.keys import FLAGS, KEYS, Key
from nfxlat.xlat import domain as domain_module
from nfxlat.xlat.domain import Domain

CONTRIB = Path(__file__).parents[2] / "contrib"
EACH = pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
BARE = 'prefix6 = "2001:db8:64::/96"'


def parsed(*lines: str) -> Domain:
    return config.parse("\n".join(["[domain.siit0]", *lines]), "test.toml").domain()


def with_key(key: Key, line: str, tmp_path: Path) -> Domain:
    """The domain of one key's line, with what it needs beside it."""
    (tmp_path / "siit0.eam").write_text("192.0.2.9 2001:db8::9\n")
    base = [] if key.name == "prefix6" else [BARE]
    return config.parse("\n".join(["[domain.siit0]", *base, line]), "test.toml", tmp_path).domain()


def test_every_field_of_a_domain_has_a_key() -> None:
    assert {key.field for key in KEYS.values()} == {field.name for field in fields(Domain)} - {"name"}
    assert all(name == key.name for name, key in KEYS.items())
    assert set(FLAGS) < set(KEYS)


@EACH
def test_a_key_that_is_left_out_has_the_default_of_the_table(key: Key) -> None:
    domain = parsed('eam = [["192.0.2.1", "2001:db8::1"]]') if key.name == "prefix6" else parsed(BARE)
    assert getattr(domain, key.field) == key.default


@EACH
def test_the_default_that_is_told_is_the_one_that_holds(key: Key, tmp_path: Path) -> None:
    told = reference.default_text(key)
    if key.by_default:
        assert key.default is None
    elif told == "none":
        assert key.default is None or len(key.default) == 0
    else:
        assert with_key(key, f"{key.name} = {told}", tmp_path) == parsed(BARE)


@EACH
def test_an_example_is_taken_and_makes_a_difference(key: Key, tmp_path: Path) -> None:
    domain = with_key(key, key.line(), tmp_path)
    assert getattr(domain, key.field) != key.default
    name, _, value = key.line().partition(" = ")
    assert tomllib.loads(key.line()) == {name: key.example}
    assert value


@EACH
def test_an_example_in_words_says_the_same_as_in_toml(key: Key, tmp_path: Path) -> None:
    base = [] if key.name == "prefix6" else BARE.replace('"', "").split(" = ")
    expected = with_key(key, key.line(), tmp_path)
    assert config.from_words("siit0", [*base, *key.words().split()], tmp_path) == expected


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("udp-zero-checksum", domain_module.UdpZeroChecksum),
        ("well-known-prefix", domain_module.WellKnownPrefix),
        ("hairpin", domain_module.Hairpin),
    ],
)
def test_the_words_of_the_table_are_those_that_the_domain_takes(name: str, words: object) -> None:
    assert tuple(word for word, _ in KEYS[name].choices) == get_args(words)


def test_the_manual_page_and_the_example_are_those_of_the_table() -> None:
    assert (CONTRIB / "man" / "nfxlat.toml.5").read_text() == reference.manual(), (
        "python -m nfxlat.config.reference contrib"
    )
    assert (CONTRIB / "nfxlat.toml").read_text() == reference.sample(), "python -m nfxlat.config.reference contrib"


def test_the_example_as_it_is_holds_one_plain_domain() -> None:
    assert config.load(CONTRIB / "nfxlat.toml").domains == (parsed(BARE),)


def test_the_example_with_every_key_taken_is_a_configuration(tmp_path: Path) -> None:
    text = re.sub(r"^# (?=[a-z0-9-]+ = )", "", (CONTRIB / "nfxlat.toml").read_text(), flags=re.MULTILINE)
    assert set(tomllib.loads(text)["domain"]["siit0"]) == set(KEYS)
    (tmp_path / "siit0.eam").write_text("192.0.2.9 2001:db8::9\n")
    (tmp_path / "nfxlat.toml").write_text(text)
    domain = config.load(tmp_path / "nfxlat.toml").domain()
    assert len(domain.eamt) == 3
    assert domain.pool4


@EACH
def test_the_manual_tells_all_of_a_key(key: Key) -> None:
    page = reference.manual().replace("\\-", "-")
    entry = page[page.index(f".BR {key.name} ") :].partition("\n.TP\n.BR ")[0]
    for told in (key.source, reference.default_text(key), key.unit, *(word for word, _ in key.choices)):
        assert told in entry
    assert key.meaning.replace(". ", ".\n") in entry


def test_groff_has_no_complaint_about_the_manual_page() -> None:
    command = ["groff", "-man", "-ww", "-z", "-Tutf8", str(CONTRIB / "man" / "nfxlat.toml.5")]
    assert subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stderr == ""
