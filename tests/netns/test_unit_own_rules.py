"""The drop-in of the page "Rules of your own" under real systemd: it loads the operator's rules as the service starts.

host4 --- router4 --- translator (in a container of its own) --- router6 --- host6
"""

from pathlib import Path

import doc_pages
import pytest
from doc_pages import DOC, Written
from systemd_container import SERVICE, Container, container

from nfxlat.lab.netns import wait_for
from nfxlat.lab.probe import ping
from nfxlat.lab.topology import HOST6_4, Lab

pytestmark = pytest.mark.timeout(600)  # emulated, it takes minutes
DROP_IN = "/etc/systemd/system/nfxlat@siit0.service.d/rules.conf"


def written(folder: Path) -> None:
    """The files of the page, where the container has them: its program and its configuration are in /run/test."""
    steps = doc_pages.read(DOC / "how-to/own-rules.md").steps
    files = {step.path: step.content for step in steps if isinstance(step, Written)}
    (folder / "siit0.toml").write_text(files["/etc/nfxlat.toml"])
    (folder / "siit.nft").write_text(files["/etc/siit.nft"])
    script = files["/etc/siit-rules.sh"].replace("nfxlat rules", "/run/test/nfxlat rules")
    (folder / "siit-rules.sh").write_text(here(script))
    drop_in = folder / "units/nfxlat@siit0.service.d"
    drop_in.mkdir()
    (drop_in / "rules.conf").write_text(here(files[DROP_IN].replace("/usr/bin/nfxlat", "/run/test/nfxlat")))


def here(text: str) -> str:
    for path, name in (("/etc/nfxlat.toml", "siit0.toml"), ("/etc/siit", "siit")):
        text = text.replace(path, f"/run/test/{name}")
    return text


def drops(up: Container) -> bool:
    return "counter packets" in up.run("nft", "list", "table", "ip", "siit").stdout


def test_rules_of_the_operator_are_loaded_whenever_the_service_starts(bare_lab: Lab, tmp_path: Path) -> None:
    lab = bare_lab
    (tmp_path / "siit0.toml").write_text("")
    with container(lab.translator, tmp_path, "--queue 7") as up:
        written(tmp_path)
        up.systemctl("daemon-reload")
        up.systemctl("start", SERVICE)
        wait_for(lambda: lab.host4.call(ping, HOST6_4).ok, "packets to be translated", 60)
        assert drops(up)
        # as after another tool's flush, and as at the next boot: a stop leaves what the script finds at the next start
        lab.translator.run(["nft", "flush", "ruleset"])
        up.systemctl("restart", SERVICE)
        wait_for(lambda: lab.host4.call(ping, HOST6_4).ok, "packets to be translated again", 60)
        assert drops(up)
        up.systemctl("stop", SERVICE)
        assert drops(up)
        assert "unreachable 198.51.100.0/24" in lab.translator.ip("route show")
        assert not lab.host4.call(ping, HOST6_4).ok
        assert up.show("Result") == "success"
