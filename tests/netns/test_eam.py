"""Mappings that are changed while the translator runs, without a file that is edited.

host4 --- router4 --- translator --- router6 --- host6
"""

import io
import os
import signal
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import pytest

from nfxlat.cli import main
from nfxlat.lab.netns import wait_for
from nfxlat.lab.probe import ping
from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.topology import HOST6, HOST6_EAM4, Lab

BASE = '[domain.siit0]\nprefix6 = "2001:db8:64::/96"\npool4 = ["198.51.100.0/24"]\neam-file = "siit0.eam"\n'
EAM = f"{HOST6_EAM4} {HOST6}\n"
OTHER, OTHER6 = "203.0.113.9", "2001:db8:3::2"


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


def eam(lab: Lab, *words: str, text: str = "") -> Done:
    """`nfxlat eam WORDS` with that for its input."""
    output, errors = io.StringIO(), io.StringIO()
    given = patch("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    with lab.translator.entered(), given, redirect_stdout(output), redirect_stderr(errors):
        status = main(["eam", *words])
    return Done(status, output.getvalue(), errors.getvalue())


def reaches(lab: Lab, address: str) -> bool:
    return lab.host4.call(ping, address, count=1, timeout=10).ok


def reaches_nobody(lab: Lab, address: str) -> bool:
    return not lab.host4.call(ping, address, count=1, timeout=0.3).ok


@pytest.mark.parametrize("options", [(), ("--model", "device"), ("--offload",)], ids=["hook", "device", "offload"])
def test_mappings_change_at_run_time_all_or_nothing(bare_lab: Lab, tmp_path: Path, options: tuple[str, ...]) -> None:
    lab, node, saved = bare_lab, bare_lab.translator, tmp_path / "siit0.eam"
    saved.write_text(EAM)
    (tmp_path / "siit0.toml").write_text(BASE)
    configuration = str(tmp_path / "siit0.toml")
    # host6 has one address: a second one maps to it through a prefix of its own
    lab.host6.ip(f"address add {OTHER6}/128 dev lo nodad")
    lab.router6.ip(f"route add {OTHER6}/128 via {HOST6}")
    with TranslatorProcess(node, lab.directory, "--config", configuration, *options) as process:

        def state() -> tuple[str, ...]:
            rules = node.run(["nft", "list", "ruleset"]).stdout
            return rules, node.ip("route show table all"), eam(lab, "list").stdout, saved.read_text()

        before = state()
        assert reaches(lab, HOST6_EAM4)
        assert reaches_nobody(lab, OTHER)
        done = eam(lab, "add", OTHER, OTHER6)
        assert (done.returncode, done.stdout) == (0, "siit0: 1 added, 2 mappings\n"), done.stderr
        assert reaches(lab, OTHER)
        assert reaches(lab, HOST6_EAM4)
        assert f"{OTHER} dev siit0" in node.ip("route show proto 118")
        assert f"{OTHER}/32 {OTHER6}/128\n" in eam(lab, "list").stdout
        assert saved.read_text() == EAM
        # all or nothing, by the checks of a reload
        stood = state()
        node.ip("route add blackhole 198.18.7.0/24")
        for text, words in (
            ("203.0.113.10 2001:db8:3::10\n203.0.113.2 2001:db8:3::11\n", "stdin:2: EAM 203.0.113.2/32"),
            ("203.0.113.10 2001:db8:3::10\n127.0.0.9 2001:db8:3::11\n", "never translated"),
            ("203.0.113.10 2001:db8:3::10\n198.18.7.0/24 2001:db8:c::/120\n", "there already is a route"),
            ("203.0.113.10\n", "stdin:1: expected a pair"),
            ("", "stdin: the list is empty"),
        ):
            done = eam(lab, "add", "-", text=text)
            assert done.returncode == 2
            assert words in done.stderr
            assert done.stderr.count("\n") == 1
        assert "no EAM" in eam(lab, "del", OTHER, HOST6).stderr
        node.ip("route del blackhole 198.18.7.0/24")
        assert state() == stood
        # saved, and again without
        done = eam(lab, "add", "-", "--save", text="203.0.113.10 2001:db8:3::10\n203.0.113.11 2001:db8:3::11\n")
        assert done.stdout == f"siit0: 2 added, 4 mappings, saved in {saved}\n", done.stderr
        assert saved.read_text() == f"{EAM}203.0.113.10/32 2001:db8:3::10/128\n203.0.113.11/32 2001:db8:3::11/128\n"
        assert "there is no line" in eam(lab, "del", "--save", OTHER, OTHER6).stderr
        assert eam(lab, "del", "--save", "-", text=saved.read_text().removeprefix(EAM)).returncode == 0
        assert eam(lab, "del", OTHER, OTHER6).returncode == 0
        assert reaches_nobody(lab, OTHER)
        assert reaches(lab, HOST6_EAM4)
        assert state() == before
        summary = process.summary()
        assert summary["reloads"]["done"] == 4
        if "--offload" in options and summary["offload"] is not None:
            assert summary["workers_restarted"] == 0


def test_while_files_are_read_again_nothing_is_changed_that_they_would_take_back(bare_lab: Lab, tmp_path: Path) -> None:
    """The eam-file is a pipe here, which ends when the test says so; a million lines take as long."""
    lab, file = bare_lab, tmp_path / "siit0.eam"
    file.write_text(EAM)
    (tmp_path / "siit0.toml").write_text(BASE)
    with TranslatorProcess(lab.translator, lab.directory, "--config", str(tmp_path / "siit0.toml")) as process:
        file.unlink()
        os.mkfifo(file)
        with file.open("r+b", 0) as pipe:
            os.kill(process.pid, signal.SIGHUP)
            wait_for(process.beside, "the file to be read")
            done = eam(lab, "add", OTHER, OTHER6)
            assert (done.returncode, done.stdout) == (2, "")
            assert "being read again (SIGHUP)" in done.stderr
            pipe.write(EAM.encode())
        process.told("reload: nothing has changed")
        assert eam(lab, "add", OTHER, OTHER6).returncode == 0
        assert f"{OTHER}/32 {OTHER6}/128\n" in eam(lab, "list").stdout


def test_another_user_changes_nothing(lab: Lab, process: TranslatorProcess) -> None:
    command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", sys.executable, "-m", "nfxlat", "eam"]
    done = lab.translator.run([*command, "add", OTHER, OTHER6], check=False)
    assert done.returncode == 2
    assert "run as root" in done.stderr
    assert OTHER not in eam(lab, "list").stdout
