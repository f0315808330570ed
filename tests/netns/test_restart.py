"""A restart under load, as the unit's manager makes one: what waits waits, device, routes and rules stay, and a
successor that cannot start leaves its predecessor at work.

host4 --- router4 --- translator --- router6 --- host6
192.0.2.2 -> 198.51.100.2 (prefix6), 203.0.113.2 (EAM); each numbered, paced, counted
"""

import os
import signal
import socket
from pathlib import Path

import pytest
from lossless import without_loss
from manager import Manager
from pinned import on_one_processor

from nfxlat.cli import main
from nfxlat.datapath.nfqueue import NetlinkQueue
from nfxlat.lab.netns import Namespace, wait_for
from nfxlat.lab.probe import ping
from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.topology import DOMAIN, HOST6_EAM4, Lab
from nfxlat.service.requests import lines
from nfxlat.service.status import running

RESTARTS = 2
NEW = DOMAIN.replace('"203.0.113.2"', '"203.0.113.7"')


def write(directory: Path, text: str = DOMAIN) -> str:
    file = directory / "siit0.toml"
    file.write_text(text)
    return str(file)


def standing(node: Namespace) -> tuple[str, ...]:
    """What the service may have changed, down to the handles of rules and the index of the device."""
    routes = (node.ip(f"{family} route show table all") for family in ("-4", "-6"))
    return (*routes, node.run(["nft", "-a", "list", "ruleset"]).stdout, node.ip("-o link show"))


def alone(lab: Lab, pid: int) -> bool:
    return [one.pid for one in lab.translator.call(running)] == [pid]


@pytest.mark.parametrize("model", ["hook", "device", "route"])
def test_a_restart_under_load_loses_nothing_and_leaves_all_in_its_place(
    bare_lab: Lab, tmp_path: Path, model: str
) -> None:
    lab, node = bare_lab, bare_lab.translator
    before = standing(node)
    with Manager(node, tmp_path, "--config", write(tmp_path), "--model", model, "--workers", "2") as manager:
        process = manager.started()
        assert len(manager.store) == 2
        stood = standing(node)

        def restarts() -> None:
            nonlocal process
            for _ in range(RESTARTS):
                manager.make_way(process)
                process = manager.started()
                wait_for(lambda pid=process.pid: alone(lab, pid), "the predecessor's end", 30)  # type: ignore[misc]

        without_loss(lab, restarts)
        assert standing(node) == stood
        with node.entered():  # counts of queues begin anew with who has them
            assert main(["stats", "--check"]) == 0
        manager.make_way(process)
        write(tmp_path, NEW)
        process = manager.started()
        assert lab.host4.call(ping, "203.0.113.7").ok
        assert not lab.host4.call(ping, HOST6_EAM4, count=1, timeout=0.3).ok
        process.terminate()
        assert process.wait(60) == 0
        assert standing(node) == before
        assert manager.store == {}


def said(manager: Manager, words: str) -> bool:
    return any(words in line for line in manager.output())


@pytest.mark.parametrize("mistake", ["configuration", "arguments"])
def test_a_successor_that_cannot_start_leaves_its_predecessor_at_work(
    bare_lab: Lab, tmp_path: Path, mistake: str
) -> None:
    lab, node = bare_lab, bare_lab.translator
    before = standing(node)
    with Manager(node, tmp_path, "--config", write(tmp_path), "--domain", "siit0") as manager:
        process = manager.started()
        stood = standing(node)

        def try_it() -> None:
            if mistake == "arguments":  # with which the unit would end as failed, and no stop end what goes on
                manager.command.append("--colour")
            else:
                write(tmp_path, DOMAIN + "colour = 1\n")
            if process.poll() is None:
                manager.make_way(process)
            assert manager.start().wait(60) == 75
            assert not manager.ready
            assert manager.start().wait(60) == 0  # the manager has what goes on for main

        without_loss(lab, try_it)
        assert standing(node) == stood
        (told,) = [state for state in manager.told if "MAINPID" in state]
        assert "READY=1" in told
        assert ("colour" if mistake == "configuration" else "command line") in told
        assert said(manager, "colour")
        assert alone(lab, manager.main)
        write(tmp_path)
        manager.command = [word for word in manager.command if word != "--colour"]
        os.kill(manager.main, signal.SIGUSR2)  # it may be succeeded as any other
        wait_for(lambda: not Path(f"/proc/{manager.main}").exists(), "its end", 60)
        process = manager.started()
        assert lab.host4.call(ping, HOST6_EAM4).ok
        process.terminate()
        assert process.wait(60) == 0
        assert standing(node) == before


def test_a_successor_that_dies_with_the_host_in_its_hands_gives_it_back(bare_lab: Lab, tmp_path: Path) -> None:
    lab, node = bare_lab, bare_lab.translator
    with Manager(node, tmp_path, "--config", write(tmp_path)) as manager:
        process = manager.started()
        stood = standing(node)
        (line,) = node.call(lines, "siit0")
        assert line.ask("successor")[0]["stands_by"] is False
        line.close()
        manager.make_way(process)
        (line,) = node.call(lines, "siit0")
        manager.main = line.pid
        assert line.ask("successor")[0]["stands_by"] is True
        assert line.ask("let go")[0]["path_mtus"] == []
        assert node.call(running) == []
        node.ip("route del 203.0.113.2")
        os.kill(line.pid, signal.SIGHUP)
        line.close()
        wait_for(lambda: alone(lab, manager.main), "the predecessor to go on", 30)
        wait_for(lambda: "203.0.113.2 dev siit0" in node.ip("route show proto 118"), "the route", 30)
        assert standing(node) == stood
        assert lab.host4.call(ping, HOST6_EAM4).ok
        # and a true one may come still
        process = manager.started()
        assert lab.host4.call(ping, HOST6_EAM4).ok


@pytest.mark.parametrize("instead", ["nothing", "a foreign device"])
def test_a_device_that_goes_while_the_host_is_a_successor_s_is_made_anew_and_workers_have_it(
    bare_lab: Lab, tmp_path: Path, instead: str
) -> None:
    lab, node = bare_lab, bare_lab.translator
    with Manager(node, tmp_path, "--config", write(tmp_path)) as manager:
        process = manager.started()
        manager.make_way(process)
        (line,) = node.call(lines, "siit0")
        manager.main = line.pid
        line.ask("let go")
        node.ip("link del siit0")
        if instead == "a foreign device":
            node.ip("link add siit0 type veth peer name other")
        line.close()
        wait_for(lambda: alone(lab, manager.main), "the predecessor to go on", 30)
        if instead == "a foreign device":
            wait_for(lambda: said(manager, "taking the host back: siit0: a device of this name"), "why it cannot", 30)
            os.kill(line.pid, signal.SIGHUP)
            wait_for(lambda: said(manager, "still to be taken back"), "a reload that is refused", 30)
            node.ip("link del siit0")
        wait_for(lambda: said(manager, "(made anew); repaired"), "workers that have the device", 30)
        assert lab.host4.call(ping, HOST6_EAM4).ok
        os.kill(manager.main, signal.SIGTERM)
        wait_for(lambda: not Path(f"/proc/{manager.main}").exists(), "its end", 60)
        assert not node.ip("route show proto 118")


@pytest.mark.parametrize(  # a predecessor that has a TUN goes on: the model does not change by a restart
    ("model", "killed"), [("hook", False), ("hook", True), ("device", True)], ids=["makes way", "killed", "killed, TUN"]
)
def test_a_start_that_needs_other_sockets_than_the_manager_gives_has_them(
    bare_lab: Lab, tmp_path: Path, model: str, killed: bool
) -> None:
    """A predecessor ends first; nobody holds queues or a TUN then, the manager and our own copies included."""
    lab, node = bare_lab, bare_lab.translator
    with Manager(node, tmp_path, "--config", write(tmp_path)) as manager:
        command = [*manager.command, "--inject", "ip"]
        manager.command += ["--model", model]
        process = manager.started()
        if killed:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        else:
            manager.make_way(process)
        manager.command = command
        process = manager.started()
        assert lab.host4.call(ping, HOST6_EAM4).ok
        assert alone(lab, process.pid)
        assert len(manager.store) == 1
        process.terminate()
        assert process.wait(60) == 0


def test_a_successor_whose_queue_is_another_program_s_leaves_its_predecessor_at_work(
    bare_lab: Lab, tmp_path: Path
) -> None:
    lab, node = bare_lab, bare_lab.translator
    with Manager(node, tmp_path, "--config", write(tmp_path), "--domain", "siit0") as manager:
        process = manager.started()
        stood = standing(node)
        with node.entered():
            other = NetlinkQueue(41, superframes=False)
        manager.command += ["--queue", "40"]
        manager.make_way(process)
        for status in (75, 0):  # once more, and the manager has what goes on for main
            assert manager.start().wait(60) == status
        other.close()
        assert lab.host4.call(ping, HOST6_EAM4).ok
        assert alone(lab, manager.main)
        assert standing(node) == stood


@pytest.mark.parametrize("before", [(), ("--offload",)], ids=["as before", "with other rules"])
def test_what_waits_outlives_a_kill(bare_lab: Lab, tmp_path: Path, before: tuple[str, ...]) -> None:
    """Where rules are loaded anew the kernel forgets what waits; it is in our sockets all the same, and counted."""
    lab, node = bare_lab, bare_lab.translator
    with Manager(node, tmp_path, "--config", write(tmp_path)) as manager:
        command = [*manager.command]
        manager.command += before
        process = manager.started()
        manager.command = command
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        with lab.host6.entered():
            sink = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        with lab.host4.entered():
            source = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with sink, source, on_one_processor([]):  # what is started here inherits it
            sink.bind(("::", 0))
            sink.settimeout(60)
            for number in range(100):
                source.sendto(bytes([number]), (HOST6_EAM4, sink.getsockname()[1]))
            process = manager.started()
            assert [sink.recv(16)[0] for _ in range(100)] == list(range(100))
        with node.entered():
            assert main(["stats", "--check"]) == 0


def test_without_a_manager_a_restart_is_a_stop_and_a_start(lab: Lab, process: TranslatorProcess) -> None:
    os.kill(process.pid, signal.SIGUSR2)
    process.told("a restart takes all down and makes it again: no service manager keeps the sockets of its queues")
    assert lab.host4.call(ping, HOST6_EAM4).ok
