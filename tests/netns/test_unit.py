"""contrib/systemd/nfxlat@.service under real systemd: with all that bounds it, it does all that it does without.

host4 --- router4 --- translator (in a container of its own) --- router6 --- host6
"""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from lossless import without_loss
from systemd_container import CHECKOUT, ROOT, SERVICE, UNITS, Container, container

from nfxlat import __version__
from nfxlat.host import capabilities
from nfxlat.lab.netns import wait_for
from nfxlat.lab.probe import ping
from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.topology import DOMAIN, HOST4, HOST6_4, HOST6_EAM4, Lab, in_prefix6

pytestmark = pytest.mark.timeout(600)  # emulated, it takes minutes
NET_ADMIN_AND_RAW = sum(1 << capabilities.CAPABILITIES[name] for name in ("CAP_NET_ADMIN", "CAP_NET_RAW"))
WITH_SYS_ADMIN = NET_ADMIN_AND_RAW | 1 << capabilities.CAPABILITIES["CAP_SYS_ADMIN"]


def assert_translates(lab: Lab) -> None:
    wait_for(lambda: lab.host4.call(ping, HOST6_EAM4).ok, "packets to be translated", 60)
    assert lab.host4.call(ping, HOST6_4).ok
    assert lab.host6.call(ping, in_prefix6(HOST4)).ok


def standing(lab: Lab, up: Container) -> tuple[str, ...]:
    """What the service may have changed."""
    routes = [lab.translator.ip(f"{family} route show table all") for family in ("-4", "-6")]
    rules = lab.translator.run(["nft", "list", "ruleset"]).stdout
    pins = up.run("ls", "/run/netns").stdout
    return (*routes, rules, lab.translator.ip("-br link").replace("@", " "), pins)


def is_bounded(up: Container, model: str) -> None:
    """No process has more than it needs, whatever it was started with."""
    main = up.status(up.main())
    wait_for(lambda: up.status(up.main())["NoNewPrivs"] == "1", "the main process to give up rights")
    assert int(main["CapBnd"], 16) == WITH_SYS_ADMIN
    for folder in ("/home", "/tmp"):
        its = f"/proc/{up.main()}/root{folder}"
        assert up.run("ls", "-A", its).stdout == ""
        assert up.run("stat", "-c", "%d %i", its).stdout != up.run("stat", "-c", "%d %i", folder).stdout
    assert int(up.status(up.main())["CapPrm"], 16) == (NET_ADMIN_AND_RAW if model == "device" else WITH_SYS_ADMIN)
    for pid in up.workers():
        found = up.status(pid)
        assert [int(found[name], 16) for name in ("CapEff", "CapPrm", "CapInh", "CapAmb")] == [
            *[NET_ADMIN_AND_RAW] * 2,
            0,
            0,
        ]
        assert found["NoNewPrivs"] == "1"
        assert found["Seccomp"] == "2"


@pytest.mark.parametrize("model", ["hook", "device"])
def test_the_service_does_under_its_unit_all_that_it_does_without(bare_lab: Lab, tmp_path: Path, model: str) -> None:
    lab = bare_lab
    (tmp_path / "siit0.toml").write_text(DOMAIN)
    with container(lab.translator, tmp_path, f"--model {model}") as up:
        before = standing(lab, up)
        up.systemctl("start", SERVICE)
        assert_translates(lab)
        is_bounded(up, model)
        if model == "hook":
            assert any(line.startswith("stamp of gso_size by") for line in up.log())
        # a worker, the device, the rules: what goes is replaced
        (worker,) = up.workers()
        up.run("kill", "-9", str(worker))
        wait_for(lambda: up.workers() not in ([worker], []), "a new worker", 60)
        assert_translates(lab)
        lab.translator.run(["nft", "flush", "ruleset"])
        wait_for(
            lambda: any("removed by another program" in line for line in up.log()) or model == "device", "rules", 60
        )
        if model != "device":  # a TUN cannot be deleted under who has it
            lab.translator.ip("link del siit0")
        assert_translates(lab)
        # another configuration
        (tmp_path / "siit0.toml").write_text(DOMAIN.replace('"203.0.113.2"', '"203.0.113.7"'))
        up.systemctl("reload", SERVICE)
        wait_for(lambda: lab.host4.call(ping, "203.0.113.7").ok, "the new mapping to hold", 120)
        (tmp_path / "siit0.toml").write_text(DOMAIN)
        # it dies, and is back with what it left
        up.run("kill", "-9", str(up.main()))
        wait_for(lambda: up.show("NRestarts") == "1" and up.show("ActiveState") == "active", "a restart", 240)
        assert any("taking over" in line for line in up.log())
        assert_translates(lab)
        is_bounded(up, model)
        assert up.run("/run/test/nfxlat", "stats", "--json").stdout.startswith('{"pid": ')
        up.systemctl("stop", SERVICE)
        wait_for(lambda: standing(lab, up) == before, "all to be taken away", 240)
        assert up.show("Result") == "success"
        assert not [line for line in up.log() if "Traceback" in line or "not permitted" in line]


def program(up: Container, version: str, *, broken: bool = False) -> None:
    """Another version of the package in the place of that which is there."""
    package = up.folder / version / "nfxlat"
    shutil.copytree(ROOT / "nfxlat", package, ignore=shutil.ignore_patterns("__pycache__"))
    (package / "__init__.py").write_text(f'__version__ = "{version}"\n')
    if broken:
        (package / "cli/run.py").write_text("import a module that is not there\n")
    script = up.folder / "nfxlat"
    text = re.sub(r"PYTHONPATH=\S+", f"PYTHONPATH=/run/test/{version}", script.read_text())
    partial = script.with_suffix(".partial")
    partial.write_text(text)
    partial.chmod(0o755)
    partial.rename(script)


@pytest.mark.timeout(1800)  # likewise: five restarts
def test_a_restart_loses_nothing_whatever_the_new_version_is(bare_lab: Lab, tmp_path: Path) -> None:
    lab = bare_lab
    good, bad = DOMAIN, DOMAIN + "colour = 1\n"
    (tmp_path / "siit0.toml").write_text(good)
    with container(lab.translator, tmp_path, "--domain siit0") as up:

        def refused_restart() -> None:
            with pytest.raises(RuntimeError, match="failed"):
                up.systemctl("restart", SERVICE)

        def settles(main: int) -> None:
            wait_for(lambda: (up.show("ActiveState"), up.main()) == ("active", main), "the unit", 240)

        def goes_on() -> int:
            """The process that goes on without the unit's."""
            (pid,) = [int(one["pid"]) for one in map(json.loads, stats(up)) if one["version"] == version]
            return pid

        before = standing(lab, up)
        up.systemctl("start", SERVICE)
        stood, version, attempt = standing(lab, up), __version__, 0

        def restarts() -> None:
            nonlocal version, attempt
            attempt += 1
            former = up.main()
            up.systemctl("restart", SERVICE)
            assert up.main() != former
            version = f"9.{attempt}"
            program(up, version)
            up.systemctl("try-restart", SERVICE)
            (found,) = map(json.loads, stats(up))
            assert (found["pid"], found["version"]) == (up.main(), version)
            # what is wrong with its configuration is told, and changes nothing
            (tmp_path / "siit0.toml").write_text(bad)
            refused_restart()
            settles(goes_on())
            assert "colour" in up.show("StatusText")
            (tmp_path / "siit0.toml").write_text(good)
            up.systemctl("restart", SERVICE)
            # a version that cannot even say what is wrong
            program(up, f"{version}.1", broken=True)
            refused_restart()
            assert goes_on() != up.main()
            shutil.copy(tmp_path / version / "nfxlat/cli/run.py", tmp_path / f"{version}.1/nfxlat/cli/run.py")
            version += ".1"  # of which the unit tries each second whether it starts by now
            wait_for(lambda: up.show("ActiveState") == "active", "the unit", 240)
            assert goes_on() == up.main()

        without_loss(lab, restarts)
        assert standing(lab, up) == stood
        # it ends with its unit, also where that has no process any more
        program(up, "9.9", broken=True)
        refused_restart()
        assert_translates(lab)
        up.systemctl("stop", SERVICE)
        wait_for(lambda: standing(lab, up) == before, "all to be taken away", 240)
        assert not [line for line in up.log() if "not permitted" in line]


def stats(up: Container) -> list[str]:
    """A line of JSON for each translator that runs."""
    checkout = f"PYTHONPATH={CHECKOUT}"
    return up.run("env", checkout, up.python, "-m", "nfxlat", "stats", "--json").stdout.splitlines()


def test_rights_go_without_the_unit_too(lab: Lab, process: TranslatorProcess) -> None:
    def rights(pid: int) -> int:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return next(int(line.split()[1], 16) for line in lines if line.startswith("CapPrm"))

    wait_for(lambda: rights(process.pid).bit_count() <= 6, "rights to be given up")
    wait_for(lambda: [rights(pid) for pid in process.workers()] == [NET_ADMIN_AND_RAW], "the worker's to be given up")


def test_a_mistake_is_not_tried_again_and_a_lack_is(bare_lab: Lab, tmp_path: Path) -> None:
    lab = bare_lab
    (tmp_path / "siit0.toml").write_text(DOMAIN + "colour = 1\n")
    with container(lab.translator, tmp_path, "--queue 7") as up:
        up.systemctl("start", SERVICE, check=False)
        assert (up.show("ExecMainStatus"), up.show("NRestarts")) == ("2", "0")
        assert up.show("ActiveState") == "failed"
        (tmp_path / "siit0.toml").write_text(DOMAIN)
        unit = tmp_path / "units" / "nfxlat@.service"
        unit.write_text(unit.read_text().replace("UMask=", "LimitNOFILE=12\nUMask="))
        up.systemctl("daemon-reload")
        up.systemctl("start", "--no-block", SERVICE)
        wait_for(lambda: int(up.show("NRestarts")) >= 1, "a second start", 240)
        assert any("Too many open files" in line for line in up.log())
        unit.write_text(unit.read_text().replace("LimitNOFILE=12\n", ""))
        up.systemctl("daemon-reload")
        wait_for(lambda: up.show("ActiveState") == "active", "a start that has what it needs", 240)
        assert_translates(lab)
        up.systemctl("stop", SERVICE)


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_the_unit_is_bounded_as_far_as_it_can_be(unit: Path) -> None:
    assert os.access("/usr/bin/systemd-analyze", os.X_OK)
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(unit)]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout
    (level,) = re.findall(r"Overall exposure level for .*: (\d+\.\d)", said)
    assert float(level) <= 4.0, said
