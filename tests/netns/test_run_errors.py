"""Mistakes of the operator: one line, what and where and what to do, exit status 2, nothing half-applied."""

import subprocess
import sys
from pathlib import Path

import pytest

from nfxlat.lab.netns import end_processes, wait_for
from nfxlat.lab.probe import ping
from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.topology import HOST6_EAM4, Lab

RUN = [sys.executable, "-m", "nfxlat", "run"]
FEWEST = 8  # descriptors, with which no start can come to its end
SIIT0 = ("--prefix6", "2001:db8:64::/96", "--pool4", "198.51.100.0/24")


def refused(lab: Lab, *command: str) -> str:
    """The one line that the command prints before it exits with 2."""
    before = lab.translator.ip("-o link"), lab.translator.run(["nft", "list", "ruleset"]).stdout
    result: subprocess.CompletedProcess[str] = lab.translator.run(command, timeout=20, check=False)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    assert (lab.translator.ip("-o link"), lab.translator.run(["nft", "list", "ruleset"]).stdout) == before
    return result.stderr.splitlines()[-1]


def test_a_queue_that_another_process_holds(lab: Lab, process: TranslatorProcess) -> None:
    line = refused(lab, *RUN, "--queue", "7", "--domain", "siit1", "--prefix6", "2001:db8:65::/96", "--setup")
    assert line.startswith("nfxlat: queue 7: held by another process")
    assert str(process.pid) in line
    assert "--queue" in line


def test_the_second_queue_being_held_gives_the_first_back(lab: Lab) -> None:
    assert refused(lab, *RUN, *SIIT0, "--queue", "6", "--setup").startswith("nfxlat: queue 7: held by another process")
    assert " 6 " not in lab.translator.run(["cat", "/proc/net/netfilter/nfnetlink_queue"]).stdout


def test_set_up_of_a_domain_that_is_translated_without_one(bare_lab: Lab) -> None:
    lab = bare_lab
    with TranslatorProcess(lab.translator, lab.directory, setup=False) as process:
        before = lab.translator.ip("-d link show siit0"), lab.translator.ip("route show table all")
        line = refused(lab, *RUN, "--queue", "9", "--prefix6", "2001:db8:64::/96", "--setup")
        assert line.startswith("nfxlat: domain.siit0: another nfxlat translates for this domain without --setup")
        assert f"(pid {process.pid})" in line
        assert (lab.translator.ip("-d link show siit0"), lab.translator.ip("route show table all")) == before
        assert process.alive()
        process.kill()
    with TranslatorProcess(lab.translator, lab.directory):  # its device is taken over as ever
        assert lab.host4.call(ping, HOST6_EAM4).ok


@pytest.mark.parametrize("arguments", [("--setup",), ()], ids=["setup", "plain"])
@pytest.mark.parametrize("source", ["netlink", "netfilterqueue"])
def test_a_missing_capability(shared_bare_lab: Lab, source: str, arguments: tuple[str, ...]) -> None:
    without = ["setpriv", "--bounding-set", "-net_admin", "--inh-caps", "-net_admin", "--"]
    assert "CAP_NET_ADMIN" in refused(shared_bare_lab, *without, *RUN, *SIIT0, "--source", source, *arguments)


@pytest.mark.parametrize("limit", [FEWEST, 12, 16, 20])
def test_a_start_without_descriptors_is_one_line_and_is_tried_again(bare_lab: Lab, limit: int) -> None:
    """Whether more are enough is not judged: those that are not end it with 75, which the unit starts again."""
    lab = bare_lab
    before = lab.translator.ip("-o link"), lab.translator.run(["nft", "list", "ruleset"]).stdout
    said, told = lab.directory / "said", lab.directory / "told"
    with said.open("w") as out, told.open("w") as errors:
        command = ["prlimit", f"--nofile={limit}:{limit}", *RUN, *SIIT0, "--setup"]
        limited = lab.translator.popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=errors)
    wait_for(lambda: limited.poll() is not None or "ready:" in said.read_text(), "its end, or that it is ready", 60)
    status = limited.poll()
    end_processes([limited], grace=10)
    lab.translator.processes.remove(limited)
    assert "Traceback" not in told.read_text()
    assert status == 75 or (status is None and limit > FEWEST), told.read_text()
    if status is not None:
        assert told.read_text().splitlines()[-1].startswith("nfxlat: ")
        assert "Too many open files" in told.read_text()
    with TranslatorProcess(lab.translator, lab.directory) as process:  # takes over what could not be taken back
        process.stop()
    assert (lab.translator.ip("-o link"), lab.translator.run(["nft", "list", "ruleset"]).stdout) == before


def test_a_missing_raw_capability(shared_bare_lab: Lab) -> None:
    without = ["setpriv", "--bounding-set", "-net_raw", "--inh-caps", "-net_raw", "--"]
    assert "CAP_NET_RAW" in refused(shared_bare_lab, *without, *RUN, *SIIT0, "--inject", "ip")
    assert "CAP_NET_RAW" in refused(shared_bare_lab, *without, *RUN, *SIIT0)


def test_an_unknown_configuration_key_is_named_with_its_path(shared_bare_lab: Lab, tmp_path: Path) -> None:
    config = tmp_path / "siit.toml"
    config.write_text('[domain.siit0]\nprefix6 = "2001:db8:64::/96"\npool = ["198.51.100.0/24"]\n')
    line = refused(shared_bare_lab, *RUN, "--setup", "--config", str(config))
    assert line.startswith(f"nfxlat: {config}: domain.siit0.pool:")
    assert "pool4" in line


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--config", "/nonexistent.toml"), "/nonexistent.toml"),
        (("--config", "/dev/null", "--prefix6", "::/96"), "--config"),
        (("--prefix6", "2001:db8::/95"), "prefix6"),
        (("--prefix6", "2001:db8::/96", "--eam", "192.0.2.1"), "192.0.2.1"),
        ((), "no domain given"),
        (("--setup",), "no domain given"),
        (("--domain", "elsewhere"), "domain elsewhere: no such domain"),
        (("--queue", "65535"), "--queue"),
        (("--icmp-rate", "-1"), "--icmp-rate"),
        (("--busy-poll", "-1"), "--busy-poll"),
        (("--model", "device", "--queue", "7"), "--queue"),
        (("--model", "device", "--source", "netlink"), "--source"),
        (("--model", "device", "--inject", "ip"), "--inject"),
        (("--model", "device", "--role", "host"), "--role"),
        (("--model", "route", "--role", "host"), "--role"),
        (("--role", "host", "--prefix6", "2001:db8::/96", "--setup"), "eam"),
    ],
    ids=lambda value: " ".join(value) or "none" if isinstance(value, tuple) else "",
)
def test_arguments_that_make_no_sense(shared_bare_lab: Lab, arguments: tuple[str, ...], told: str) -> None:
    assert told in refused(shared_bare_lab, *RUN, *arguments)
