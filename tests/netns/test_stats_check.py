"""`nfxlat stats --check`: whether what a translator needs is there; and what is told of it without `--setup`.

host4 --- router4 --- translator --- router6 --- host6
"""

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from setup_node import DOMAIN, OTHER

from nfxlat.cli import main
from nfxlat.errors import OperatorError
from nfxlat.host import state
from nfxlat.lab.netns import Namespace, wait_for
from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.topology import Lab
from nfxlat.plan.plan import plan
from nfxlat.queues import Queues
from nfxlat.service import host_told, owned
from nfxlat.service.host_told import OperatorsHostWatch
from nfxlat.service.status import running


def checked(lab: Lab, capsys: pytest.CaptureFixture[str]) -> tuple[int, list[str]]:
    """Exit status, and what is missing."""
    with lab.translator.entered():
        status = main(["stats", "--check", "--json"])
    return status, json.loads(capsys.readouterr().out)["missing"]


@pytest.mark.parametrize("run_arguments", [(), ("--model", "device")], ids=str)
def test_what_is_gone_of_a_set_up_is_named_for_as_long_as_it_is(
    lab: Lab, process: TranslatorProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    assert checked(lab, capsys) == (0, [])
    with lab.translator.entered():
        assert main(["stats", "--check"]) == 0
        assert owned.missing("siit0", {"workers_missing": [1]}) == ["worker 1"]
    assert capsys.readouterr().out.startswith(f"siit0 (pid {process.pid}): well: all is there; ")
    os.kill(process.pid, signal.SIGSTOP)  # or it would be put back at once
    try:
        lab.translator.sysctl("net.ipv4.ip_forward", 0)
        lab.translator.run(["nft", "flush", "ruleset"])
        lab.translator.ip("-6 route flush proto 118")
        with lab.translator.entered():
            missing = owned.missing("siit0", {})
            told = {"chains": {"ip6 nfxlat_siit0": {"prerouting": 1}}}
            assert "rules ip6 nfxlat_siit0" in owned.missing("siit0", told)
    finally:
        os.kill(process.pid, signal.SIGCONT)
    assert "sysctl net.ipv4.ip_forward 1 (it is 0)" in missing
    assert any(line.startswith("route 2001:db8:64::/96 dev siit0") for line in missing)
    assert "rules ip6 nfxlat_siit0" in missing
    wait_for(lambda: checked(lab, capsys) == (0, []), "all to be put back")


def test_rules_that_are_gone_of_one_chain_are_named_by_it(
    lab: Lab, process: TranslatorProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    chains = process.summary()["chains"]
    assert chains["ip nfxlat_siit0"]["xlat_to_siit0_plain"] == 2
    os.kill(process.pid, signal.SIGSTOP)  # or they would be put back at once
    try:
        lab.translator.run(["nft", "flush chain ip nfxlat_siit0 xlat_to_siit0_plain"])
        with lab.translator.entered():
            missing = owned.missing("siit0", {"chains": chains})
            lab.translator.run(["nft", "add table ip6 nfxlat_siit0 { flags dormant; }"])
            asleep = owned.missing("siit0", {"chains": chains})
    finally:
        os.kill(process.pid, signal.SIGCONT)
    assert missing == ["rules ip nfxlat_siit0 (chain xlat_to_siit0_plain: 0 of 2)"]
    assert asleep == [*missing, "rules ip6 nfxlat_siit0 (dormant)"]
    wait_for(lambda: checked(lab, capsys) == (0, []), "all to be put back")


def test_what_cannot_be_put_back_makes_its_exit_status_1(
    lab: Lab, process: TranslatorProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    lab.translator.ip("route replace unreachable 198.51.100.0/24")  # in the place of ours
    wait_for(lambda: any("cannot be repaired" in line for line in process.output()), "it to be told")
    status, missing = checked(lab, capsys)
    assert status == 1
    assert [line.partition(" mtu")[0] for line in missing] == ["route 198.51.100.0/24 dev siit0"]


def test_without_setup_what_goes_is_told_and_what_comes_back_too(
    bare_lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    lab = bare_lab
    for family in ("ipv4.ip_forward", "ipv6.conf.all.forwarding"):
        lab.translator.sysctl(f"net.{family}", 1)
    with TranslatorProcess(lab.translator, lab.directory, "--model", "device", setup=False) as process:
        assert checked(lab, capsys) == (0, [])
        lab.translator.sysctl("net.ipv4.ip_forward", 0)
        lost = "host: sysctl net.ipv4.ip_forward 1 (it is 0)"
        wait_for(lambda: any(line.startswith(lost) for line in process.output()), lost)
        status, missing = checked(lab, capsys)
        assert (status, missing[0]) == (1, "sysctl net.ipv4.ip_forward 1 (it is 0)")
        lab.translator.sysctl("net.ipv4.ip_forward", 1)
        wait_for(lambda: checked(lab, capsys) == (0, []), "it to be there again")
        assert process.summary()["host"]["lost"]
        assert not any("yours to set" in line for line in process.output())


def test_without_setup_forwarding_that_is_off_is_told_and_nothing_is_said_to_be_there(
    bare_lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    lab = bare_lab
    with TranslatorProcess(lab.translator, lab.directory, setup=False) as process:
        process.told("yours to set")
        (told,) = [line for line in process.output() if "yours to set" in line]
        assert told == (
            "host: sysctl net.ipv4.ip_forward 1 (it is 0), net.ipv4.conf.siit0.forwarding 1 (it is 0), "
            "net.ipv6.conf.all.forwarding 1 (it is 0): translated packets for other hosts are dropped; "
            "without --setup it is yours to set"
        )
        with lab.translator.entered():
            assert main(["stats", "--check"]) == 0
        assert "): well: nothing of yours has gone (nfxlat rules check --live " in capsys.readouterr().out
    with TranslatorProcess(lab.translator, lab.directory, "--inject", "ip", setup=False) as process:
        assert checked(lab, capsys) == (0, [])
        assert not any("yours to set" in line for line in process.output())


Timers = list[Callable[[], None]]


@pytest.fixture
def timers() -> Timers:
    return []


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def watch(timers: Timers, lines: list[str]) -> Iterator[OperatorsHostWatch]:
    """Of an operator who has made a device, one route, and no other."""
    with Namespace("told") as node, node.entered():
        for key in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"):
            node.sysctl(key, 1)
        node.ip("link add siit0 type veth peer name other")
        node.ip("link set other up")
        node.ip("link set siit0 up")
        wait_for(lambda: "state UP" in node.ip("link show siit0"), "siit0")  # else its carrier is news to the watch
        node.ip("route add 198.51.100.0/24 dev siit0")
        wanted = plan(DOMAIN, "router", "hook", Queues())
        watch = OperatorsHostWatch(wanted, lines.append, lambda seconds, call: timers.append(call))
        yield watch
        watch.close()


def ip(command: str) -> None:
    subprocess.run(["ip", *command.split()], check=True, timeout=10)


def test_routes_that_were_never_there_are_not_missed_until_they_come_and_go(
    watch: OperatorsHostWatch, timers: Timers, lines: list[str]
) -> None:
    assert watch.missing == []
    ip("route add 192.0.2.0/24 dev siit0")  # nobody asks for it
    watch.changed()
    assert timers == []
    ip("route del 198.51.100.0/24 dev siit0")
    watch.changed()
    timers.pop()()
    assert [one.partition(" mtu")[0] for one in watch.missing] == ["route 198.51.100.0/24 dev siit0"]
    ip("-6 route add 2001:db8:64::/96 dev siit0")
    ip("route add 198.51.100.0/24 dev siit0")
    watch.changed()
    timers.pop()()
    assert watch.missing == []
    assert "is there again" in lines[-1]
    ip("link del siit0")
    watch.changed()
    timers.pop()()
    assert sorted(one.partition(" mtu")[0] for one in watch.missing) == [
        "device siit0 (missing)",
        "route 198.51.100.0/24 dev siit0",
        "route 2001:db8:64::/96 dev siit0",
    ]
    assert watch.counts == {"lost": 2, "repaired": 0}
    watch.changed()
    assert timers == []


def test_another_plan_begins_with_what_there_is(
    watch: OperatorsHostWatch, timers: Timers, monkeypatch: pytest.MonkeyPatch
) -> None:
    ip("route del 198.51.100.0/24 dev siit0")
    watch.renew(plan(OTHER, "router", "hook", Queues()))
    assert watch.missing == []
    monkeypatch.setattr(host_told, "MOST_ROUTES", 0)
    watch.renew(plan(DOMAIN, "router", "hook", Queues()))
    ip("route add 198.51.100.0/24 dev siit0")
    watch.changed()
    assert timers == []


def test_what_was_lost_before_a_reload_is_missed_after_it(
    watch: OperatorsHostWatch, timers: Timers, lines: list[str]
) -> None:
    ip("route del 198.51.100.0/24 dev siit0")
    watch.changed()
    timers.pop()()
    (lost,) = watch.missing
    watch.renew(plan(replace(DOMAIN, eamt=OTHER.eamt), "router", "hook", Queues()))
    assert watch.missing == [lost]
    assert (watch.counts["lost"], len(lines)) == (1, 1)
    ip("route add 198.51.100.0/24 dev siit0")
    watch.changed()
    timers.pop()()
    assert watch.missing == []
    assert "is there again" in lines[-1]


def test_what_was_lost_and_is_not_wanted_any_more_is_not_said_to_be_there(
    watch: OperatorsHostWatch, timers: Timers, lines: list[str]
) -> None:
    ip("route del 198.51.100.0/24 dev siit0")
    watch.changed()
    timers.pop()()
    watch.renew(plan(OTHER, "router", "hook", Queues()))
    assert watch.missing == []
    assert "is there again" not in lines[-1]


def test_a_host_that_cannot_be_looked_at_is_told_once_and_looked_at_again(
    watch: OperatorsHostWatch, timers: Timers, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(wanted: object) -> None:
        raise OperatorError("cannot be listed", where="routes")

    with monkeypatch.context() as patch:
        patch.setattr("nfxlat.host.found.look", refuse)
        ip("route del 198.51.100.0/24 dev siit0")
        watch.changed()
        timers.pop()()
        timers.pop()()
    assert lines == ["host: cannot be looked at: routes: cannot be listed"]
    timers.pop()()
    assert timers == []
    assert [one.partition(" mtu")[0] for one in watch.missing] == ["route 198.51.100.0/24 dev siit0"]


def test_where_nothing_runs_its_exit_status_is_2() -> None:
    with Namespace("stats") as namespace, namespace.entered():
        assert main(["stats", "--check"]) == 2


def test_of_one_that_was_killed_it_is_told_that_packets_are_dropped(
    lab: Lab, process: TranslatorProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    process.kill()
    with lab.translator.entered():
        wait_for(lambda: not running(), "its workers to be gone too")
        assert main(["stats", "--check"]) == 1
        told = capsys.readouterr().out
        assert told == "siit0: off: it does not run, and what it has set up drops its packets: start it again\n"
        assert main(["stats", "--check", "--domain", "siit1"]) == 2
        assert "no translator is running for siit1; start one with" in capsys.readouterr().err
        for command in (["stats"], ["trace"], ["eam", "list"], ["top", "--count", "1"]):
            assert main(command) == 2
            told = "no translator is running, and packets for siit0 are dropped; start it again: what it set up stands"
            assert capsys.readouterr().err == f"nfxlat: this network namespace: {told}\n"


def test_a_record_that_is_damaged_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nfxlat.files.text", lambda path: "{")
    with pytest.raises(OperatorError, match="cannot be read"):
        owned.missing("siit0", {})
    monkeypatch.setattr(
        "nfxlat.files.text", lambda path: json.dumps({"version": 99, state.COOKIE: state.netns_cookie()})
    )
    with pytest.raises(OperatorError, match="cannot read the record"):
        owned.missing("siit0", {})


def test_a_record_of_a_namespace_that_is_gone_says_nothing_of_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Inodes are used again. Without --setup the translator tells what it misses."""
    gone = json.dumps({"version": 99, state.COOKIE: 1})
    monkeypatch.setattr("nfxlat.files.text", lambda path: gone)
    told = {"missing": ["route 192.0.2.0/24"], "workers_missing": [1]}
    assert owned.missing("siit0", told) == ["route 192.0.2.0/24", "worker 1"]
