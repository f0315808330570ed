"""The Debian package's files: `contrib/deb --check` tries the package itself, in clean Debians."""

import os
import re
import subprocess
import tomllib
from datetime import datetime
from pathlib import Path, PurePosixPath

import pytest

from nfxlat import __version__

ROOT = Path(__file__).parents[2]
DEBIAN = ROOT / "contrib/debian"
SCRIPTS = [
    *DEBIAN.glob("nfxlat.p*[tm]"),
    ROOT / "contrib/deb",
    *(path for path in (ROOT / "contrib/dev").glob("*.sh") if path.name != "prepare.sh"),  # which they source
    *(ROOT / name for name in ("contrib/demo", "contrib/test", "contrib/dev/site", "contrib/dev/soak")),
]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def lines(name: str) -> list[str]:
    return (DEBIAN / name).read_text().splitlines()


def test_the_package_has_the_version_of_the_program() -> None:
    assert lines("changelog")[0].split()[:2] == ["nfxlat", f"({__version__})"]
    assert PROJECT["version"] == __version__


def test_the_changelog_is_of_this_version_and_of_the_day_of_its_package() -> None:
    text = (ROOT / "contrib/CHANGELOG.md").read_text()
    version, day = re.findall(r"^## \[(\d\S*)\] - (\d{4}-\d\d-\d\d)$", text, re.MULTILINE)[0]
    (signed,) = [line for line in lines("changelog") if line.startswith(" -- ")][:1]
    assert version == __version__
    assert datetime.strptime(signed.partition(">  ")[2], "%a, %d %b %Y %H:%M:%S %z").date().isoformat() == day
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^### (.*)$", text, re.MULTILINE)) <= kinds
    assert "dh_installchangelogs contrib/CHANGELOG.md" in "\n".join(lines("rules"))


def test_what_is_to_be_installed_is_there() -> None:
    installed = {line.split()[0] for line in lines("nfxlat.install")} - {"debian/units/*.service"}
    assert {name for name in installed if not (ROOT / name).exists()} == set()
    completion = {str(path.relative_to(ROOT)) for path in (ROOT / "contrib/completion").iterdir()}
    assert completion <= installed
    pages = {path for pattern in lines("nfxlat.manpages") for path in ROOT.glob(pattern)}
    assert pages == {path for path in (ROOT / "contrib/man").iterdir() if path.is_file()}
    assert all((ROOT / name).is_file() for name in lines("nfxlat.docs"))


def test_the_examples_are_the_rules_that_the_program_has() -> None:
    targets = {link: target for target, link in (line.split() for line in lines("nfxlat.links"))}
    rules = targets["usr/share/doc/nfxlat/examples"]
    assert (ROOT / rules.removeprefix("usr/lib/python3/dist-packages/")).is_dir()


def test_links_of_the_installed_pages_lead_somewhere() -> None:
    """Pages are in /usr/share/doc/nfxlat as in the checkout, and link to what is installed elsewhere, too."""
    there = PurePosixPath("usr/share/doc/nfxlat")
    installed = {there / Path(name).name: ROOT / name for name in lines("nfxlat.docs")}
    for source, folder in (line.split() for line in lines("nfxlat.install") if not line.startswith("debian/units")):
        for path in (ROOT / source, *(ROOT / source).rglob("*")):
            installed[PurePosixPath(folder) / Path(source).name / path.relative_to(ROOT / source)] = path
    for path in (ROOT / "rules").rglob("*"):
        installed[PurePosixPath("usr/lib/python3/dist-packages/nfxlat/rules") / path.relative_to(ROOT / "rules")] = path
    everything = {*installed, PurePosixPath("usr/share/man/man8")}
    everything |= {folder for path in everything for folder in path.parents}
    links = {PurePosixPath(link): target for target, link in (line.split() for line in lines("nfxlat.links"))}

    def found(path: PurePosixPath) -> PurePosixPath:
        for link in (path, *path.parents):
            if link in links:
                return found(PurePosixPath(links[link]) / path.relative_to(link))
        return path

    texts = {
        page: path.read_text() for page, path in installed.items() if page.suffix == ".md" and there in page.parents
    }
    pages = {page: text for page, text in texts.items() if "dev" not in page.parts}  # those are of the checkout
    assert len(pages) > 40
    for page, text in pages.items():
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
            place = PurePosixPath(os.path.normpath(page.parent / target))
            assert found(place) in everything, f"{page}: {target}"


def test_each_unit_starts_the_program_of_the_package() -> None:
    """What a unit requires of ours is a unit of the package too."""
    folders = ROOT / "contrib/systemd", ROOT / "contrib/prometheus"
    units = {path.name: path.read_text() for folder in folders for path in folder.glob("*.service")}
    for unit in units.values():
        assert set(re.findall(r"(?<=Start=)/\S+", unit)) == {"/usr/local/bin/nfxlat"}
        assert {name.replace("%i", "") for name in re.findall(r"^Requires=(nfxlat\S+)", unit, re.MULTILINE)} <= set(
            units
        )
    assert "debian/units/*.service usr/lib/systemd/system" in lines("nfxlat.install")
    assert "for unit in contrib/systemd/*@.service contrib/prometheus/*.service;" in "\n".join(lines("rules"))


def test_what_is_on_no_index_is_a_dependency_of_the_package() -> None:
    depends = (DEBIAN / "control").read_text().partition("\nDepends:")[2].partition("\nRecommends:")[0]
    assert {"python3-nftables", "${python3:Depends}"} <= {word.strip(" ,") for word in depends.split()}


def test_nobody_is_made_up() -> None:
    """There is no address to write to, and the package says so."""
    maintainer = "nfxlat project <no-address@nfxlat.invalid>"
    assert f"Maintainer: {maintainer}" in lines("control")
    assert [line for line in lines("changelog") if line.startswith(" -- ") and maintainer not in line] == []


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_script_is_sound(script: Path) -> None:
    assert subprocess.run(["sh", "-n", str(script)], capture_output=True, text=True, timeout=60).stderr == ""
    assert script.read_text().startswith("#!/bin/sh\n")
    if script.parent == DEBIAN:
        assert "set -e\n" in script.read_text()
        assert "#DEBHELPER#\n" in script.read_text()


def test_the_index_is_told_what_it_asks_for() -> None:
    assert {"name", "version", "description", "readme", "requires-python", "authors", "keywords"} <= set(PROJECT)
    assert any(line.startswith("License :: ") for line in PROJECT["classifiers"])
    assert (ROOT / "LICENSE").read_text().split()[:3] == ["GNU", "GENERAL", "PUBLIC"]
    assert (ROOT / PROJECT["readme"]).is_file()


def test_the_environment_of_another_checkout_stays_as_it_is(tmp_path: Path) -> None:
    """Where .venv is a link: what is installed there, editable, is not led to this checkout."""
    (tmp_path / "theirs").mkdir()
    (tmp_path / ".venv").symlink_to("theirs")
    script = 'ROOT=$1 VENV=$2/.venv PYTHONPATH=; . "$1/contrib/dev/prepare.sh"; prepare_environment ""; env'
    command = ["sh", "-euc", script, "sh", str(ROOT), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert f"PYTHONPATH={ROOT}" in done.stdout.splitlines()
    assert list((tmp_path / "theirs").iterdir()) == []
