"""`nfxlat rules load` over a former load of the same file: where mappings alone have changed, no chain goes.

host4 --- router4 --- translator --- router6 --- host6
"""

import sys
from pathlib import Path

import pytest

from nfxlat.lab.probe import ping
from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.stream import Stream, backlog_drops
from nfxlat.lab.topology import HOST4_6, HOST6, HOST6_4, HOST6_EAM4, Lab

pytestmark = pytest.mark.quiet

RULES = """\
table inet mine {
	set friends { type ipv4_addr; elements = { 192.0.2.2 }; }
	chain translate {
		ip saddr @friends ip daddr @siit0_to xlat to siit0
		ip6 daddr @siit0_from xlat from siit0
	}
	chain prerouting { type filter hook prerouting priority -450; policy accept; jump translate; }
}
"""
EAM = f"{HOST6_EAM4} {HOST6}\n"
TOML = """\
[domain.siit0]
prefix6 = "2001:db8:64::/96"
pool4 = ["198.51.100.0/24"]
eam-file = "siit0.eam"
"""
LOADS = 6
MORE = 1000


def write(directory: Path, step: int | None = None) -> str:
    """The configuration: the EAM under traffic, and a thousand others at each step, half of them new."""
    first = 0 if step is None else step % 2 * MORE // 2
    more = [] if step is None else [f"10.{n >> 8}.{n & 255}.1 2001:db8:a::{n:x}\n" for n in range(first, first + MORE)]
    (directory / "siit0.eam").write_text("".join([EAM, *more]))
    file = directory / "siit0.toml"
    file.write_text(TOML)
    return str(file)


def nfxlat(lab: Lab, *arguments: str) -> str:
    return lab.translator.run([sys.executable, "-m", "nfxlat", *arguments]).stdout


def rules_of(lab: Lab) -> list[str]:
    """Every object with its handle, less elements."""
    lines = lab.translator.run(["nft", "-a", "list", "ruleset"]).stdout.splitlines()
    return [line for line in lines if "# handle" in line]


@pytest.fixture
def loaded(bare_lab: Lab, tmp_path: Path) -> tuple[Lab, str, str]:
    """The lab, the file of rules, which is loaded, and the configuration."""
    toml, file = write(tmp_path), tmp_path / "mine.nft"
    file.write_text(RULES)
    nfxlat(bare_lab, "rules", "load", str(file), "--config", toml)
    return bare_lab, str(file), toml


Loaded = tuple[Lab, str, str]


def load(loaded: Loaded) -> str:
    lab, file, toml = loaded
    return nfxlat(lab, "rules", "load", file, "--config", toml)


def test_loads_under_load_lose_not_one_datagram_of_another_pair(loaded: Loaded, tmp_path: Path) -> None:
    lab, _, toml = loaded
    with TranslatorProcess(lab.translator, lab.directory, "--config", toml, setup=False) as process:
        for key in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"):
            lab.translator.sysctl(key, 1)
        before = rules_of(lab)
        for _ in range(3):
            drops = backlog_drops()
            with Stream(lab, (HOST6_4, HOST6_EAM4), 1000) as stream:
                for step in range(LOADS):
                    write(tmp_path, step)
                    assert load(loaded).startswith("rules unchanged; set inet mine siit0_to, set inet mine siit0_from")
            if stream.lost == [[], []] or backlog_drops() == drops:
                break  # else a busy machine has lost something itself, and this attempt says nothing
        assert stream.lost == [[], []]
        assert stream.sent > 20 * LOADS
        assert rules_of(lab) == before
        assert "10.5." in lab.translator.run(["nft", "list", "set", "inet", "mine", "siit0_to"]).stdout
        assert set(process.summary()["reasons"]) <= {"translated"}
        assert lab.host4.call(ping, HOST6_EAM4).ok
        assert lab.host6.call(ping, HOST4_6, HOST6).ok


@pytest.mark.parametrize(
    ("old", "new"),
    [("jump translate", "counter; jump translate"), ("192.0.2.2 }", "192.0.2.3 }")],
    ids=["rule", "set of the file's own"],
)
def test_a_file_that_has_changed_is_loaded_as_a_whole(loaded: Loaded, old: str, new: str) -> None:
    before = rules_of(loaded[0])
    Path(loaded[1]).write_text(RULES.replace(old, new))
    assert "table inet mine loaded" in load(loaded)
    assert rules_of(loaded[0]) != before
    assert load(loaded).startswith("rules unchanged")


@pytest.mark.parametrize(
    "commands",
    [
        "flush chain inet mine translate",
        "add rule inet mine translate accept",
        "chain inet mine prerouting { policy drop; }",
        "delete table ip6 xlat_siit0",
    ],
)
def test_rules_that_somebody_has_changed_are_loaded_as_a_whole(loaded: Loaded, commands: str) -> None:
    lab, _, _ = loaded

    def text() -> str:
        return lab.translator.run(["nft", "list", "ruleset"]).stdout

    before = text()
    lab.translator.run(["nft", commands])
    assert text() != before
    assert "table inet mine loaded" in load(loaded)
    assert text() == before


def test_compile_shows_the_sets_and_unload_removes_them(loaded: Loaded, tmp_path: Path) -> None:
    lab, file, toml = loaded
    text = nfxlat(lab, "rules", "compile", file, "--config", toml)
    assert "# added for @siit0_to: what the domain translates" in text
    assert "elements = { 198.51.100.0/24, 203.0.113.2 }" in text
    write(tmp_path, 0)
    assert load(loaded).startswith("rules unchanged")
    assert lab.translator.run(["nft", "list", "set", "inet", "mine", "siit0_to"]).stdout.count("10.") > MORE // 2
    nfxlat(lab, "rules", "unload", file)
    assert lab.translator.run(["nft", "list", "ruleset"]).stdout == ""
