"""A domain in words, as `nfxlat domain add` takes it."""

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

import pytest

from nfxlat.config import from_words, in_words, render
from nfxlat.errors import OperatorError


def test_words_say_what_toml_says() -> None:
    words = (
        "prefix6 2001:db8:64::/96 pool4 198.51.100.0/25 198.51.100.128/25 eam 203.0.113.2=2001:db8:2::2 mtu4 1400 "
        "eam 203.0.113.16/28=2001:db8:3::10/124 traffic-class 8 hairpin off mtu-plateaus 1500 1280 address4 192.0.2.1"
    )
    domain = from_words("blue", words.split())
    assert (domain.name, domain.prefix6, domain.mtu4) == ("blue", IPv6Network("2001:db8:64::/96"), 1400)
    assert domain.pool4 == (IPv4Network("198.51.100.0/25"), IPv4Network("198.51.100.128/25"))
    assert (domain.traffic_class, domain.hairpin, domain.mtu_plateaus) == (8, "off", (1500, 1280))
    assert len(domain.eamt) == 2
    assert from_words("blue", list(in_words(render(domain)))) == domain


def test_an_eam_file_is_read_where_the_command_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.eam").write_text("203.0.113.2 2001:db8:2::2\n")
    monkeypatch.chdir(tmp_path)
    assert len(from_words("siit0", ["eam-file", "mine.eam"]).eamt) == 1


@pytest.mark.parametrize(
    ("name", "words", "where", "what"),
    [
        ("siit0", "", "domain siit0", "nothing can be translated without prefix6 or an EAM"),
        ("siit0", "prefix6", "domain siit0", "prefix6 needs a value"),
        ("siit0", "prefix6 64:ff9b::/96 pool4 mtu4 1400", "domain siit0", "pool4 needs a value"),
        ("siit0", "prefix6 64:ff9b::/95", "domain siit0: prefix6", "95"),
        ("siit0", "prefix6 64:ff9b::/96 prefix6 64:ff9b::/96", "domain siit0", "prefix6 is given twice"),
        ("siit0", "prefix6 64:ff9b::/96 mtu4 many", "domain siit0: mtu4", "'many' is not a number"),
        ("siit0", "prefix6 64:ff9b::/96 prefx 1", "domain siit0: prefx", "unknown key"),
        ("siit0", "eam 192.0.2.1", "domain siit0: eam", "is not V4=V6"),
        ("siit0", "eam 192.0.2.1=2001:db8::g", "domain siit0: eam[0]", "is not an IPv6 prefix"),
        ("siit0", "eam-file /nonexistent.eam", "/nonexistent.eam", "cannot be read"),
        ("lo", "prefix6 64:ff9b::/96", "domain", "cannot be a domain name"),
        ('a"b', "prefix6 64:ff9b::/96", "domain", "cannot be a domain name"),
        ("longer-than-a-device", "prefix6 64:ff9b::/96", "domain", "cannot be a domain name"),
    ],
)
def test_a_mistake_names_its_key(name: str, words: str, where: str, what: str) -> None:
    with pytest.raises(OperatorError) as caught:
        from_words(name, words.split())
    assert where in caught.value.where
    assert what in caught.value.what
    assert "\n" not in str(caught.value)
