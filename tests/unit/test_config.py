from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path
from typing import Any

import pytest

from nfxlat import config
from nfxlat.errors import OperatorError
from nfxlat.xlat.domain import Domain
from nfxlat.xlat.eamt import Eamt

SIIT0 = "[domain.siit0]\n"
PREFIX6 = SIIT0 + 'prefix6 = "2001:db8:64::/96"\n'

EVERY_KEY = """
[domain.siit0]
prefix6 = "2001:db8:64::/96"
eam = [["192.0.2.128/25", "2001:db8:1::80/121"]]
pool4 = ["198.51.100.0/24"]
denylist4 = ["10.0.0.0/8"]
address4 = "192.0.2.1"
address6 = "2001:db8::1"
rfc6791-v4 = ["203.0.113.8/32"]
rfc6791-v6 = ["2001:db8:6791::/96"]
lowest-ipv6-mtu = 1500
mtu4 = 1400
mtu6 = 1480
mtu-plateaus = [1492, 576]
udp-zero-checksum = "compute"
well-known-prefix = "lax"
hairpin = "simple"
traffic-class = 184
"""


def mistake(text: str, base_dir: Path | str = ".") -> OperatorError:
    with pytest.raises(OperatorError) as caught:
        config.parse(text, "siit.toml", base_dir)
    assert "\n" not in str(caught.value)
    return caught.value


def eam_file_mistake(tmp_path: Path, content: str | bytes) -> str:
    octets = content.encode() if isinstance(content, str) else content
    (tmp_path / "siit.eam").write_bytes(octets)
    return str(mistake(SIIT0 + 'eam-file = "siit.eam"', tmp_path)).removeprefix(f"{tmp_path}/")


def test_every_key() -> None:
    assert config.parse(EVERY_KEY, "siit.toml").domains == (
        Domain(
            name="siit0",
            prefix6=IPv6Network("2001:db8:64::/96"),
            eamt=Eamt([(IPv4Network("192.0.2.128/25"), IPv6Network("2001:db8:1::80/121"))]),
            pool4=(IPv4Network("198.51.100.0/24"),),
            denylist4=(IPv4Network("10.0.0.0/8"),),
            address4=IPv4Address("192.0.2.1"),
            address6=IPv6Address("2001:db8::1"),
            rfc6791_v4=(IPv4Network("203.0.113.8/32"),),
            rfc6791_v6=(IPv6Network("2001:db8:6791::/96"),),
            lowest_ipv6_mtu=1500,
            mtu4=1400,
            mtu6=1480,
            mtu_plateaus=(1492, 576),
            udp_zero_checksum="compute",
            well_known_prefix="lax",
            hairpin="simple",
            traffic_class=184,
        ),
    )


def test_text_and_source_are_kept() -> None:
    parsed = config.parse(PREFIX6, "siit.toml")
    assert (parsed.text, parsed.source) == (PREFIX6, "siit.toml")


def test_several_domains_and_how_one_is_chosen() -> None:
    two = config.parse(PREFIX6 + '[domain.clat]\nprefix6 = "2001:db8:65::/96"\n', "siit.toml")
    assert [domain.name for domain in two.domains] == ["siit0", "clat"]
    assert two.domain("clat").name == "clat"
    with pytest.raises(OperatorError, match="there is more than one domain; choose one with --domain: siit0, clat"):
        two.domain()
    with pytest.raises(OperatorError, match="there is no domain 'siit1'; it has siit0, clat"):
        two.domain("siit1")
    assert config.parse(PREFIX6, "siit.toml").domain().name == "siit0"


# --- mistakes in TOML -------------------------------------------------------------------------------------------------


def test_toml_syntax_error_names_the_line() -> None:
    assert mistake(SIIT0 + "prefix6 =\n").where == "siit.toml:2"


@pytest.mark.parametrize("value", ["[" * 5000, "1" * 5000])
def test_value_beyond_the_parser_is_a_syntax_error(value: str) -> None:
    assert mistake(SIIT0 + f"mtu4 = {value}").what.startswith("not valid TOML")


def test_toml_syntax_error_at_the_end_names_the_file() -> None:
    assert mistake(SIIT0 + 'prefix6 = """').where == "siit.toml"


@pytest.mark.parametrize(
    ("key", "hint"), [("prefix", "prefix6"), ("lowest_ipv6_mtu", "lowest-ipv6-mtu"), ("eams", "eam")]
)
def test_unknown_key_is_told_with_its_dotted_path_and_the_nearest_key(key: str, hint: str) -> None:
    error = mistake(PREFIX6 + f"{key} = 1\n")
    assert error.where == f"siit.toml: domain.siit0.{key}"
    assert error.hint == f"did you mean {hint}?"


def test_unknown_key_that_is_near_to_none_is_told_all_keys() -> None:
    assert "prefix6, eam, pool4, eam-file" in mistake(PREFIX6 + "zzzzzz = 1\n").hint


@pytest.mark.parametrize("name", ["run", "domains", "x"])
def test_unknown_table_is_told_by_name(name: str) -> None:
    error = mistake(PREFIX6 + f"[{name}]\nqueue = 7\n")
    assert error.where == f"siit.toml: {name}"
    assert f"[{name}]" in error.what


@pytest.mark.parametrize("text", ["", "[domain]\n", "domain = 3\n"])
def test_configuration_without_a_domain_is_refused(text: str) -> None:
    assert mistake(text).what == "it has no domain"


def test_domain_that_is_no_table_is_refused() -> None:
    assert str(mistake("[domain]\nsiit0 = 3\n")).startswith(
        "siit.toml: domain.siit0: expected a table, got an integer; write [domain.siit0]"
    )


@pytest.mark.parametrize(
    ("line", "where", "what"),
    [
        ("prefix6 = 64", "prefix6", "expected an IPv6 prefix in quotes, got an integer"),
        ('prefix6 = ["2001:db8::/96"]', "prefix6", "expected an IPv6 prefix in quotes, got an array"),
        ("address4 = 1.5", "address4", "expected an IPv4 address in quotes, got a float"),
        ("mtu4 = true", "mtu4", "expected an integer, got a boolean"),
        ('mtu4 = "1500"', "mtu4", "expected an integer, got a string"),
        ('pool4 = "198.51.100.0/24"', "pool4", "expected an array of IPv4 prefixes, got a string"),
        ("pool4 = [1]", "pool4[0]", "expected an IPv4 prefix in quotes, got an integer"),
        ("mtu-plateaus = [1492, false]", "mtu-plateaus[1]", "expected an integer, got a boolean"),
        ("hairpin = {}", "hairpin", "expected a word in quotes, got a table"),
        ("traffic-class = 1979-05-27", "traffic-class", "expected a word in quotes or an integer, got a date or time"),
        ("eam-file = 1", "eam-file", "expected a file name in quotes, got an integer"),
        ('eam-file = "a\\u0000b"', "eam-file", "'a\\x00b' is not a file name"),
        ("eam = {}", "eam", "expected an array of pairs of an IPv4 and an IPv6 prefix, got a table"),
        ('eam = ["192.0.2.1"]', "eam[0]", "expected a pair of prefixes"),
        ('eam = [["192.0.2.1"]]', "eam[0]", "expected a pair of prefixes"),
        ('eam = [["192.0.2.1", 6]]', "eam[0]", "expected a pair of prefixes"),
    ],
)
def test_wrong_type_is_told_with_its_place(line: str, where: str, what: str) -> None:
    error = mistake(SIIT0 + line)
    assert (error.where, error.what) == (f"siit.toml: domain.siit0.{where}", what)


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("mtu4 = true", "for example, mtu4 = 1400"),
        ('pool4 = "198.51.100.0/24"', 'for example, pool4 = ["198.51.100.0/24"]'),
        ("pool4 = [1]", 'for example, pool4 = ["198.51.100.0/24"]'),
        ("hairpin = 1", 'use one of "intrinsic", "simple", "off"'),
        ("eam = [1]", 'for example, ["192.0.2.2", "2001:db8::2"]'),
    ],
)
def test_wrong_type_is_told_with_what_belongs_there(line: str, hint: str) -> None:
    assert mistake(SIIT0 + line).hint == hint


@pytest.mark.parametrize(
    ("line", "where", "what"),
    [
        ('address4 = "192.0.2"', "address4", "'192.0.2' is not an IPv4 address"),
        ('address4 = "2001:db8::1"', "address4", "'2001:db8::1' is not an IPv4 address"),
        ('address6 = "192.0.2.1"', "address6", "'192.0.2.1' is not an IPv6 address"),
        ('address6 = "fe80::1%eth0"', "address6", "'fe80::1%eth0' is not an IPv6 address"),
        ('prefix6 = "2001:db8::/129"', "prefix6", "'2001:db8::/129' is not an IPv6 prefix"),
        ('prefix6 = "2001:db8::/+96"', "prefix6", "'2001:db8::/+96' is not an IPv6 prefix"),
        ('prefix6 = "2001:db8::/"', "prefix6", "'2001:db8::/' is not an IPv6 prefix"),
        ('pool4 = ["198.51.100.0/33"]', "pool4[0]", "'198.51.100.0/33' is not an IPv4 prefix"),
        ('pool4 = ["198.51.100.0/24", "x"]', "pool4[1]", "'x' is not an IPv4 prefix"),
        ('pool4 = ["198.51.100.0\\u0000/24"]', "pool4[0]", "'198.51.100.0\\x00/24' is not an IPv4 prefix"),
        ('rfc6791-v6 = ["::/x"]', "rfc6791-v6[0]", "'::/x' is not an IPv6 prefix"),
        ('eam = [["2001:db8::1", "192.0.2.1"]]', "eam[0]", "'2001:db8::1' is not an IPv4 prefix"),
        ('eam = [["192.0.2.1", "192.0.2.1"]]', "eam[0]", "'192.0.2.1' is not an IPv6 prefix"),
    ],
)
def test_what_cannot_be_parsed_is_told_with_its_place(line: str, where: str, what: str) -> None:
    error = mistake(SIIT0 + line)
    assert (error.where, error.what) == (f"siit.toml: domain.siit0.{where}", what)


@pytest.mark.parametrize(
    ("line", "where", "right"),
    [
        ('prefix6 = "2001:db8:64::1/96"', "prefix6", "2001:db8:64::/96"),
        ('denylist4 = ["10.0.0.1/8"]', "denylist4[0]", "10.0.0.0/8"),
    ],
)
def test_host_bits_are_told_with_the_right_prefix(line: str, where: str, right: str) -> None:
    error = mistake(SIIT0 + line)
    assert error.where == f"siit.toml: domain.siit0.{where}"
    assert error.hint == f"did you mean {right}?"


def test_mistakes_that_the_domain_finds_name_file_and_key() -> None:
    assert mistake(SIIT0 + 'prefix6 = "2001:db8::/95"').where == "siit.toml: domain.siit0.prefix6"
    assert mistake(PREFIX6 + 'hairpin = "on"').where == "siit.toml: domain.siit0.hairpin"
    assert mistake(SIIT0 + "mtu4 = 1500").where == "siit.toml: domain.siit0"
    assert mistake('[domain."a/b"]\nprefix6 = "2001:db8::/96"').where == "siit.toml: domain.a/b"


def test_wrong_eam_is_told_by_its_index() -> None:
    error = mistake(SIIT0 + 'eam = [["192.0.2.1", "2001:db8::1"], ["192.0.2.0/24", "2001:db8::/121"]]')
    assert error.where == "siit.toml: domain.siit0.eam[1]"
    assert "RFC" not in error.what
    assert "8 IPv4 suffix bits do not fit in 7" in error.what


# --- files ------------------------------------------------------------------------------------------------------------


def test_load_finds_the_eam_file_beside_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "siit.toml").write_text(SIIT0 + 'eam-file = "siit.eam"\neam = [["192.0.2.9", "2001:db8::9"]]\n')
    (tmp_path / "siit.eam").write_text(
        "# servers\n\n192.0.2.1 2001:db8::1\n  203.0.113.64/27\t2001:db8:5:a0::/60  # unequal\n"
        "#192.0.2.7 2001:db8::7\r\n"
    )
    eamt = config.load(tmp_path / "siit.toml").domain().eamt
    assert eamt == Eamt(
        [
            (IPv4Network("192.0.2.9"), IPv6Network("2001:db8::9")),
            (IPv4Network("192.0.2.1"), IPv6Network("2001:db8::1")),
            (IPv4Network("203.0.113.64/27"), IPv6Network("2001:db8:5:a0::/60")),
        ]
    )


def test_absolute_eam_file(tmp_path: Path) -> None:
    (tmp_path / "siit.eam").write_text("192.0.2.1 2001:db8::1")
    assert len(config.parse(SIIT0 + f'eam-file = "{tmp_path}/siit.eam"', "siit.toml", "/nowhere").domain().eamt) == 1


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("192.0.2.1 2001:db8::1\n\n192.0.2.2\n", "siit.eam:3: expected a pair of prefixes"),
        ("192.0.2.1 2001:db8::1 x\n", "siit.eam:1: expected a pair of prefixes"),
        ("# a\n192.0.2.256 2001:db8::1\n", "siit.eam:2: '192.0.2.256' is not an IPv4 prefix"),
        ("192.0.2.1 2001:db8::g\n", "siit.eam:1: '2001:db8::g' is not an IPv6 prefix"),
        (
            "192.0.2.1/24 2001:db8::/120\n",
            "siit.eam:1: EAM 192.0.2.1/24 2001:db8::/120: bits are set beyond the prefix length",
        ),
        ("192.0.2.1 2001:db8::1\n192.0.2.1 2001:db8::2\n", "siit.eam:2: EAM 192.0.2.1/32 2001:db8::2/128 has the same"),
    ],
)
def test_mistake_in_an_eam_file_names_file_and_line(tmp_path: Path, content: str, told: str) -> None:
    assert eam_file_mistake(tmp_path, content).startswith(told)


def test_eam_file_name_with_braces(tmp_path: Path) -> None:
    (tmp_path / "{0}.eam").write_text("x\n")
    assert mistake(SIIT0 + 'eam-file = "{0}.eam"', tmp_path).where == f"{tmp_path}/{{0}}.eam:1"


def test_eam_that_is_in_both_places_is_refused(tmp_path: Path) -> None:
    (tmp_path / "siit.eam").write_text("# again\n192.0.2.1 2001:db8::2\n")
    error = mistake(SIIT0 + 'eam = [["192.0.2.1", "2001:db8::1"]]\neam-file = "siit.eam"', tmp_path)
    assert error.where == f"{tmp_path}/siit.eam:2"
    assert "EAM 192.0.2.1/32 2001:db8::1/128" in error.what


def test_missing_eam_file_names_the_key_and_the_file(tmp_path: Path) -> None:
    error = mistake(SIIT0 + 'eam-file = "siit.eam"', tmp_path)
    assert str(error) == (
        f"siit.toml: domain.siit0.eam-file: {tmp_path}/siit.eam: cannot be read: No such file or directory"
    )


def test_eam_file_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    assert "cannot be read: not UTF-8" in eam_file_mistake(tmp_path, b"192.0.2.1 2001:db8::1 # \xff\n")


def test_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match=r"siit\.toml: cannot be read: No such file or directory"):
        config.load(tmp_path / "siit.toml")
    with pytest.raises(OperatorError, match="cannot be read: Is a directory"):
        config.load(tmp_path)
    (tmp_path / "siit.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(OperatorError, match="cannot be read: not UTF-8"):
        config.load(str(tmp_path / "siit.toml"))


def test_eam_file_of_a_hundred_thousand_lines(tmp_path: Path) -> None:
    count = 100_000
    with (tmp_path / "siit.eam").open("w") as file:
        file.writelines(
            f"11.{n >> 16}.{n >> 8 & 255}.{n & 255} 2001:db8:{n >> 16:x}:{n & 65535:x}::1\n" for n in range(count)
        )
    eamt = config.parse(SIIT0 + 'eam-file = "siit.eam"', "siit.toml", tmp_path).domain().eamt
    assert len(eamt) == count
    for n in range(0, count, 997):
        v4 = (11 << 24 | n).to_bytes(4, "big")
        v6 = IPv6Address(f"2001:db8:{n >> 16:x}:{n & 65535:x}::1").packed
        assert (eamt.to6(v4), eamt.to4(v6)) == (v6, v4)


# --- flags ------------------------------------------------------------------------------------------------------------


def test_flags_make_the_same_domain_as_toml() -> None:
    made = config.from_flags(
        "clat",
        prefix6="2001:db8:64::/96",
        eam=["192.0.2.2=2001:db8::2", "198.51.100.0/24=2001:db8:1::/120"],
        pool4=("203.0.113.0/24",),
    )
    assert made.domain("clat") == Domain(
        "clat",
        IPv6Network("2001:db8:64::/96"),
        Eamt(
            [
                (IPv4Network("192.0.2.2"), IPv6Network("2001:db8::2")),
                (IPv4Network("198.51.100.0/24"), IPv6Network("2001:db8:1::/120")),
            ]
        ),
        pool4=(IPv4Network("203.0.113.0/24"),),
    )
    assert made.source == "command line"
    assert config.parse(made.text, "again").domains == made.domains


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ({"prefix6": "2001:db8::/95"}, "--prefix6: 2001:db8::/95 has length 95"),
        ({"prefix6": "x"}, "--prefix6: 'x' is not an IPv6 prefix; for example, 2001:db8:64::/96"),
        ({"eam": ["192.0.2.2"]}, "--eam: '192.0.2.2' is not V4=V6; for example, 192.0.2.2=2001:db8::2"),
        ({"eam": ["192.0.2.2=x"]}, "--eam[0]: 'x' is not an IPv6 prefix"),
        ({"pool4": ["192.0.2.0/33"], "prefix6": "2001:db8::/96"}, "--pool4[0]: '192.0.2.0/33' is not an IPv4 prefix"),
        ({"domain": "a/b", "prefix6": "2001:db8::/96"}, "--domain: 'a/b' cannot be a domain name"),
        ({}, "--domain: nothing can be translated without prefix6 or an EAM"),
    ],
)
def test_wrong_flag_is_told_by_its_name(flags: dict[str, Any], told: str) -> None:
    with pytest.raises(OperatorError) as caught:
        config.from_flags(**flags)
    assert str(caught.value).startswith(told)


def test_render_reads_back() -> None:
    parsed = config.parse(EVERY_KEY, "siit.toml")
    assert config.parse(config.render(parsed.domain()), "again").domains == parsed.domains


def test_rendering_leaves_defaults_and_unknown_mtus_out() -> None:
    domain = Domain(prefix6=IPv6Network("2001:db8:64::/96"), mtu4=None, mtu6=1500)
    assert config.render(domain) == PREFIX6


@pytest.mark.parametrize("version", ["0", "2", '"1"', "true", "1.5"])
def test_another_version_of_the_format_is_refused_before_anything_is_read(version: str) -> None:
    with pytest.raises(OperatorError, match="and this nfxlat reads version 1") as caught:
        config.parse(f"version = {version}\nnew-table = 1\n", "x.toml")
    assert caught.value.where == "x.toml: version"


def test_this_version_of_the_format_may_be_named() -> None:
    text = '[domain.siit0]\nprefix6 = "2001:db8:64::/96"\n'
    assert config.parse(f"version = 1\n{text}", "x").domains == config.parse(text, "x").domains
