"""`nfxlat rules load` over a former load of the same file: no chain goes that packets may wait for.

host4 --- router4 --- translator --- router6 --- host6
"""

import re
import socket
import sys
from pathlib import Path

import pytest
from lossless import without_loss

from nfxlat.lab.probe import ping
from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.topology import HOST4_6, HOST6, HOST6_EAM4, Lab

pytestmark = pytest.mark.quiet

RULES = """\
table inet mine {
	set friends { type ipv4_addr; elements = { 192.0.2.2 }; }
	map known { type ipv4_addr : verdict; elements = { 192.0.2.8 : accept }; }
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

        def loads() -> None:
            for step in range(LOADS):
                write(tmp_path, step)
                assert load(loaded).startswith("rules unchanged; set inet mine siit0_to, set inet mine siit0_from")

        assert without_loss(lab, loads) > 20 * LOADS
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
def test_a_file_that_has_changed_is_loaded_again(loaded: Loaded, old: str, new: str) -> None:
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
def test_rules_that_somebody_has_changed_are_loaded_again(loaded: Loaded, commands: str) -> None:
    lab, _, _ = loaded

    def text() -> list[str]:  # in any order; less the mark, in which the kernel's names of anonymous sets count
        listed = re.sub("nfxlat_text_\\w+", "", lab.translator.run(["nft", "list", "ruleset"]).stdout)
        return sorted(re.split(r"\n+(?=table|\t\w+ \w+ \{)", listed))

    before = text()
    lab.translator.run(["nft", commands])
    assert text() != before
    assert "table inet mine loaded" in load(loaded)
    assert text() == before


VARIANTS = [
    RULES.replace(
        "jump translate; }", "counter; ip saddr vmap @known; jump more; jump translate; }\n\tchain more { counter; }"
    ),
    RULES.replace("192.0.2.2 }", "192.0.2.3, 192.0.2.2 }").replace(": accept }", ": accept, 192.0.2.9 : drop }"),
    RULES + "table ip beside { chain c { type filter hook prerouting priority -450; ip daddr 192.0.2.99 drop; }; }\n",
    RULES,
]


def test_changed_rules_lose_not_one_datagram(loaded: Loaded) -> None:
    """Rules, chains and tables come and go, and elements of the file's own set."""
    lab, file, toml = loaded
    hooks = [line for line in rules_of(lab) if "hook" in line]
    with TranslatorProcess(lab.translator, lab.directory, "--config", toml, setup=False):
        for key in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"):
            lab.translator.sysctl(key, 1)
        said = ""

        def loads() -> None:
            nonlocal said
            for text in VARIANTS:
                Path(file).write_text(text)
                said = load(loaded)
                assert "(in place)" in said

        without_loss(lab, loads)
        assert set(hooks) <= {line for line in rules_of(lab) if "hook" in line}
        assert "table ip beside emptied" in said
        assert "192.0.2.99" not in lab.translator.run(["nft", "list", "ruleset"]).stdout
    nfxlat(lab, "rules", "unload", file)
    assert lab.translator.run(["nft", "list", "ruleset"]).stdout == ""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("type ipv4_addr;", "type ipv4_addr; flags timeout;"),
        ("priority -450", "priority -451"),
        ("set friends", "counter others { packets 0 bytes 0; }; set friends"),
    ],
)
def test_what_cannot_be_changed_in_place_is_replaced(loaded: Loaded, old: str, new: str) -> None:
    Path(loaded[1]).write_text(RULES.replace(old, new))
    assert "(in place)" not in load(loaded)
    text = loaded[0].translator.run(["nft", "list", "ruleset"]).stdout
    assert any(word in text for word in ("flags timeout", "priority -451", "counter others"))
    assert load(loaded).startswith("rules unchanged")


def test_a_domain_comes_goes_and_comes_again_in_place(loaded: Loaded) -> None:
    lab, file, toml = loaded
    with open(toml, "a") as more:
        more.write('[domain.other]\nprefix6 = "2001:db8:65::/96"\npool4 = ["198.51.101.0/24"]\n')
    rules = "ip daddr @other_to xlat to other\n\t\tip6 daddr @other_from xlat from other\n\t\tip6 daddr @siit0_from"
    other = RULES.replace("ip6 daddr @siit0_from", rules)
    for text, said in ((other, "domain other: "), (RULES, "ip xlat_other emptied"), (other, "domain other: ")):
        Path(file).write_text(text)
        output = load(loaded)
        assert "(in place)" in output
        assert said in output
    listed = lab.translator.run(["nft", "list", "ruleset"]).stdout
    assert "198.51.101.0/24" in listed
    nfxlat(lab, "rules", "unload", file)
    assert lab.translator.run(["nft", "list", "ruleset"]).stdout == ""


def test_a_file_that_nft_refuses_changes_nothing(loaded: Loaded) -> None:
    lab, file, toml = loaded
    before = lab.translator.run(["nft", "list", "ruleset"]).stdout
    Path(file).write_text(RULES.replace("ip saddr @friends", "ip saddr @enemies"))
    done = lab.translator.run([sys.executable, "-m", "nfxlat", "rules", "load", file, "--config", toml], check=False)
    assert done.returncode == 2
    assert f"{file}:5" in done.stderr
    assert lab.translator.run(["nft", "list", "ruleset"]).stdout == before


HASHED = """\
	set picked { type ipv4_addr; flags dynamic; size 100; }
	chain out { type filter hook output priority -450; ip daddr 192.0.2.64/26 jhash ip daddr mod 100 %s < 50 %s; }
"""


@pytest.mark.advice("seed")
def test_a_hash_without_a_seed_chooses_others_after_each_load(loaded: Loaded) -> None:
    lab, file, _ = loaded
    lab.translator.ip("route add 192.0.2.64/26 dev to-r4")

    def picked(seed: str, beside: str) -> set[str]:
        rules = HASHED % (seed, f"{beside} add @picked {{ ip daddr }}")
        Path(file).write_text(RULES.replace("\tchain translate", f"{rules}\tchain translate"))
        load(loaded)
        lab.translator.run(["nft", "flush set inet mine picked"])
        with lab.translator.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            for last in range(65, 127):
                udp.sendto(b"who?", (f"192.0.2.{last}", 9))
        listed = lab.translator.run(["nft", "list set inet mine picked"]).stdout
        return set(re.findall(r"192\.0\.2\.\d+", listed))

    assert picked("", "") != picked("", "counter")
    assert picked("seed 0x1eb", "") == picked("seed 0x1eb", "counter") != set()


def test_what_packets_have_put_into_a_set_stays(loaded: Loaded) -> None:
    lab, file, _ = loaded
    seen = "set seen { type ipv4_addr; flags dynamic, timeout; timeout 1h; }"
    Path(file).write_text(RULES.replace("chain translate", f"{seen}\n\tchain translate"))
    load(loaded)
    lab.translator.run(["nft", "add element inet mine seen { 192.0.2.7 }"])
    Path(file).write_text(Path(file).read_text().replace("ip saddr @friends ", "ip saddr @seen "))
    assert "(in place)" in load(loaded)
    assert "192.0.2.7" in lab.translator.run(["nft", "list", "set", "inet", "mine", "seen"]).stdout


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
