"""Containers: user namespaces (rootless Podman, unprivileged LXC), a read-only /proc/sys, IPv6 off by default."""

import json
import subprocess
from collections.abc import Iterator

import pytest
from contained import READ_ONLY, Container, container

from nfxlat.lab.netns import Namespace, wait_for
from nfxlat.lab.probe import ping

pytestmark = [
    pytest.mark.netns,
    pytest.mark.skipif(
        subprocess.run(["unshare", "-Urnm", "true"], capture_output=True, check=False).returncode != 0,
        reason="user namespaces are refused here",
    ),
]

Place = tuple[Container, Namespace, Namespace]
FORWARDING = "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1"


@pytest.fixture
def place() -> Iterator[Place]:
    with container() as found:
        yield found


def crosses(place: Place) -> bool:
    """Both ways, once neighbours have found each other."""
    _, host4, host6 = place
    wait_for(lambda: host4.call(ping, "203.0.113.2", count=1, timeout=0.2).ok, "the first reply")
    return host4.call(ping, "203.0.113.2").ok and host6.call(ping, "2001:db8:64::c000:202", "2001:db8:2::2").ok


@pytest.mark.parametrize("arguments", [("--setup",), ("--setup", "--model", "device")], ids=["hook", "device"])
def test_traffic_crosses_in_a_user_namespace(place: Place, arguments: tuple[str, ...]) -> None:
    assert place[0].start(*arguments)[-1].startswith("ready:")
    assert crosses(place)


@pytest.mark.parametrize("arguments", [("--setup",), ("--setup", "--model", "device")], ids=["hook", "device"])
def test_read_only_sysctls_do_no_harm_where_they_are_right(place: Place, arguments: tuple[str, ...]) -> None:
    inside = place[0]
    inside.run(f"{FORWARDING}; {READ_ONLY}")
    assert inside.start(*arguments)[-1].startswith("ready:")
    assert crosses(place)


def test_a_sysctl_that_is_wrong_and_read_only_is_one_line(place: Place) -> None:
    inside = place[0]
    inside.run(READ_ONLY)
    lines = inside.start("--setup")
    assert lines[-1] == "ended"
    (told,) = [line for line in lines if line.startswith("nfxlat: ")]
    assert "read-only: net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1; set this where the container is" in told
    assert not [line for line in inside.run("ip -br link; nft list tables; ls /run/nfxlat") if "siit0" in line]


@pytest.mark.parametrize("model", ["hook", "device"])
@pytest.mark.parametrize("setup", [("--setup",), ()], ids=["setup", "by hand"])
def test_a_device_has_ipv6_where_it_is_off_by_default(place: Place, setup: tuple[str, ...], model: str) -> None:
    inside = place[0]
    inside.run("sysctl -qw net.ipv6.conf.default.disable_ipv6=1")
    lines = inside.start(*setup, "--model", model)
    assert lines[-1].startswith("ready:")
    assert lines.count("sysctl net.ipv6.conf.siit0.disable_ipv6 1 -> 0") == 1
    assert inside.run("sysctl -n net.ipv6.conf.siit0.disable_ipv6") == ["0"]


def test_a_device_whose_ipv6_is_off_for_good_is_refused_in_one_line(place: Place) -> None:
    inside = place[0]
    inside.run(f"sysctl -qw net.ipv6.conf.default.disable_ipv6=1; {FORWARDING}; {READ_ONLY}")
    for arguments in ((), ("--model", "device"), ("--setup",)):
        lines = inside.start(*arguments)
        assert lines[-1] == "ended"
        (told,) = [line for line in lines if line.startswith("nfxlat: ")]
        assert told.startswith("nfxlat: net.ipv6.conf.siit0.disable_ipv6: cannot set it to 0: Read-only")
        assert not [line for line in inside.run("ip -br link") if "siit0" in line]


def test_doctor_tries_a_set_up(place: Place) -> None:
    inside = place[0]

    def found() -> dict[str, dict[str, str]]:
        (line,) = inside.run(inside.nfxlat("doctor", "--json"))
        return {finding["what"]: finding for finding in json.loads(line)["findings"]}

    look = "ip -o link | cut -d@ -f1; mount | grep -v nsfs; ls -R /run"
    before = inside.run(look)
    first = found()
    assert (first["--setup"]["state"], first["--setup"]["found"]) == ("ok", "works")
    assert first["user namespace"]["state"] in ("ok", "note")
    assert first["IPv4 forwarding"]["state"] == "note"
    assert inside.run(look) == before
    inside.run(READ_ONLY)
    assert found()["--setup"]["found"] == "works"
    assert found()["IPv4 forwarding"]["state"] == "missing"
    assert "--sysctl" in found()["IPv4 forwarding"]["remedy"]


def test_a_limit_of_namespaces_is_told_as_one(place: Place) -> None:
    inside = place[0]
    inside.run("echo 0 > /proc/sys/user/max_net_namespaces")
    told = "No space left on device; raise user.max_net_namespaces (sysctl), on the host of a container too"
    (line,) = inside.run(f"{inside.nfxlat('domain', 'pin', 'siit0')} 2>&1")
    assert line.endswith(f"cannot create a network namespace: unshare: {told}")
    (line,) = inside.run(inside.nfxlat("doctor", "--json"))
    findings = {finding["what"]: finding for finding in json.loads(line)["findings"]}
    assert findings["--setup"]["found"] == f"cannot create a network namespace: {told}"
    assert findings["kernel"]["remedy"].startswith("raise user.max_net_namespaces")
