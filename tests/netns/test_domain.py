"""`nfxlat domain`: the device that is there before anybody translates, and who may take it away.

host4 --- router4 --- translator --- router6 --- host6
"""

import contextlib
import io
import json
from pathlib import Path

import pytest

from nfxlat.cli import main
from nfxlat.errors import OperatorError
from nfxlat.host import netns, registry, state
from nfxlat.lab.leftovers import remove_remains
from nfxlat.lab.netns import Namespace
from nfxlat.lab.probe import ping
from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.topology import HOST4_6, HOST6, HOST6_4, HOST6_EAM4, Lab

WORDS = ("prefix6", "2001:db8:64::/96", "eam", "203.0.113.2=2001:db8:2::2", "pool4", "198.51.100.0/24")
MODELS = pytest.mark.parametrize("model", ["hook", "device", "route"])


def command(where: Namespace, *arguments: str) -> tuple[int, str, str]:
    """The command, without a process of its own: its exit status and what it prints."""
    output, errors = io.StringIO(), io.StringIO()
    with where.entered(), contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        status = main(arguments)
    return status, output.getvalue(), errors.getvalue()


def domain(where: Namespace, *arguments: str) -> list[str]:
    status, output, errors = command(where, "domain", *arguments)
    assert (status, errors) == (0, "")
    return output.splitlines()


def refused(where: Namespace, *arguments: str) -> str:
    """The one line that says why not, exit status 2."""
    before = state_of(where)
    status, output, errors = command(where, "domain", *arguments)
    assert (status, output, errors.count("\n")) == (2, "", 1)
    assert state_of(where) == before
    return errors


def state_of(where: Namespace) -> tuple[str, ...]:
    files = sorted(path.name for path in Path("/run/nfxlat").glob(f"*{where.inode}*"))
    pinned = sorted(path.name for path in netns.RUN.glob(f"nfxlat-*{where.inode}"))
    links = [entry["ifname"] for entry in json.loads(where.ip("-j link"))]  # a TUN's carrier comes and goes
    routes = where.ip("route show table all") + where.ip("-6 route show table all")
    unicast = [line for line in routes.splitlines() if not line.startswith("multicast")]
    return (str(links), "\n".join(unicast), str(files), str(pinned))


@MODELS
def test_a_domain_is_added_shown_run_and_deleted(bare_lab: Lab, model: str) -> None:
    lab, where = bare_lab, bare_lab.translator
    before = state_of(where)
    order = ("--model", model, "red") if model == "hook" else ("red", "--model", model)
    assert "domain red added" in domain(where, "add", *order, *WORDS)[-1]
    (shown,) = json.loads(domain(where, "show", "--json")[0])
    kind = "tun" if model == "device" else "veth"
    assert (shown["name"], shown["device"]["kind"], shown["device"]["state"]) == ("red", kind, "up")
    assert shown["translators"] == []
    assert shown["config"]["prefix6"] == "2001:db8:64::/96"
    lines = domain(where, "show", "red")
    assert lines[0].startswith("red prefix6 2001:db8:64::/96 pool4 198.51.100.0/24 eam 203.0.113.2")
    assert "translator: none" in lines[2]
    added = state_of(where)
    with TranslatorProcess(where, lab.directory, "--model", model, "--domain", "red") as process:
        assert lab.host4.call(ping, HOST6_EAM4).ok
        assert lab.host4.call(ping, HOST6_4).ok
        assert lab.host6.call(ping, HOST4_6, HOST6).ok
        assert json.loads(domain(where, "show", "--json")[0])[0]["translators"] == [process.pid]
        assert f"a translator is running for it (pid {process.pid}); stop it first" in refused(where, "del", "red")
        process.stop()
    assert state_of(where) == added  # the device stays, and with it the operator's routes
    assert domain(where, "del", "red")[-1] == "domain red deleted"
    assert json.loads(domain(where, "show", "--json")[0]) == []
    none = "no domains were added here; add one with nfxlat domain add NAME prefix6 PREFIX\n"
    assert command(where, "domain", "show") == (0, "", none)
    assert state_of(where) == before


def test_address_of_a_host_does_not_stay_on_a_device_that_stays(bare_lab: Lab) -> None:
    where = bare_lab.translator
    domain(where, "add", "red", *WORDS)
    added = state_of(where)
    with TranslatorProcess(where, bare_lab.directory, "--role", "host", "--domain", "red") as process:
        assert "local 203.0.113.2 dev red" in where.ip("route show table local")
        process.stop()
        assert "address 203.0.113.2/32 dev red removed" in process.output()
    assert state_of(where) == added


@MODELS
def test_routes_into_a_domain_nobody_translates_for_fail_closed(bare_lab: Lab, model: str) -> None:
    lab, where = bare_lab, bare_lab.translator
    where.sysctl("net.ipv4.ip_forward", 1)
    where.sysctl("net.ipv6.conf.all.forwarding", 1)
    where.ip("route add default via 192.0.2.17")
    domain(where, "add", "--model", model, "red", *WORDS)
    for route in ("203.0.113.2", "2001:db8:64::/96"):
        where.ip(f"route add {route} dev red")
    assert "dev red" in where.ip("route get 203.0.113.2")
    assert not lab.host4.call(ping, HOST6_EAM4, count=1, timeout=0.3).ok
    if model == "device":  # the routes are all that it needs
        with TranslatorProcess(where, lab.directory, "--model", model, "--domain", "red", setup=False):
            assert lab.host4.call(ping, HOST6_EAM4).ok
        assert not lab.host4.call(ping, HOST6_EAM4, count=1, timeout=0.3).ok
    assert "dev red" in where.ip("route get 203.0.113.2")


def test_what_cannot_be_is_one_line(bare_lab: Lab) -> None:
    where = bare_lab.translator
    domain(where, "add", "red", *WORDS)
    assert "domain red: the domain already exists; remove it with nfxlat domain del red" in refused(
        where, "add", "red", *WORDS
    )
    assert "prefix6" in refused(where, "add", "blue", "prefix6", "64:ff9b::/95")
    assert "no such domain; the domains added are red" in refused(where, "del", "blue")
    assert "no such domain; the domains added are red" in refused(where, "show", "blue")
    assert "not a domain device" in refused(where, "add", "to-r4", *WORDS)
    assert "not a TUN of the device model" in refused(where, "add", "--model", "device", "to-r4", *WORDS)


def test_a_domain_that_runs_without_having_been_added_cannot_be_added(lab: Lab) -> None:
    assert "a translator is running for it" in refused(lab.translator, "add", "siit0", *WORDS)


def test_the_other_models_device_is_told_from_its_own(bare_lab: Lab) -> None:
    where = bare_lab.translator
    domain(where, "add", "red", *WORDS)
    with pytest.raises(OperatorError, match="nfxlat domain del"):
        TranslatorProcess(where, bare_lab.directory, "--model", "device", "--domain", "red").__enter__()
    assert len(domain(where, "show", "red")) == 3


def test_each_namespace_has_its_own(bare_lab: Lab) -> None:
    domain(bare_lab.translator, "add", "red", *WORDS)
    try:
        assert "domain red added" in domain(bare_lab.router4, "add", "red", *WORDS)[-1]
        assert "red" in domain(bare_lab.router4, "del", "red")[-1]
        assert json.loads(domain(bare_lab.router4, "show", "--json")[0]) == []
        assert domain(bare_lab.translator, "show") != []
    finally:
        remove_remains(bare_lab.router4.inode)


def test_a_device_that_is_gone_is_shown_and_does_not_hinder(bare_lab: Lab) -> None:
    where = bare_lab.translator
    domain(where, "add", "red", *WORDS)
    where.ip("link del red")
    assert "device red: missing" in domain(where, "show", "red")[1]
    assert domain(where, "del", "red") == ["domain red deleted"]


def test_what_a_namespace_of_the_past_left_is_not_there(bare_lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    with bare_lab.translator.entered():
        registry.store("red", "[domain.red]\n")
        assert registry.names() == ["red"]
        monkeypatch.setattr(state, "netns_cookie", lambda: 1)
        assert registry.names() == []
        registry.store("red", "[domain.red]\n")
        registry.remove("red")


def test_doctor_knows_added_domains_and_devices_without_one(bare_lab: Lab) -> None:
    where = bare_lab.translator
    domain(where, "add", "--model", "device", "red", *WORDS)
    with TranslatorProcess(where, bare_lab.directory, "--model", "device", setup=False) as process:
        process.kill()
    told = json.loads(command(where, "doctor", "--json")[1])
    found = {line["what"]: line for line in told["findings"]}
    assert found["domain red"]["found"] == "added"
    assert found["device siit0"]["found"] == "a TUN"
    assert "device red" not in found
