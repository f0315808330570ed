"""`nfxlat stats` and `nfxlat top`, beside a translator at work.

host4 --- router4 --- translator --- router6 --- host6
"""

import json
import os
from collections.abc import Iterator

import pytest

from nfxlat.cli import main
from nfxlat.errors import OperatorError
from nfxlat.lab.netns import Namespace
from nfxlat.lab.probe import ping
from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.topology import HOST6_4, Lab
from nfxlat.service import status
from nfxlat.service.status import Running, StatusSocket, ask, running

NOBODY = 65534


@pytest.fixture
def node() -> Iterator[Namespace]:
    with Namespace("stats") as namespace, namespace.entered():
        yield namespace


def test_counters_are_told_while_it_runs(
    lab: Lab, process: TranslatorProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lab.host4.call(ping, HOST6_4, count=3).ok
    with lab.translator.entered():
        assert running() == [Running("siit0", process.pid)]
        assert main(["stats", "--json", "--domain", "siit0"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert main(["stats"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert main(["top", "--interval", "0.1", "--count", "1"]) == 0
        table = capsys.readouterr().out
    assert told["pid"] == process.pid
    assert told["reasons"]["translated"] == {"4to6": 3, "6to4": 3}
    assert told["totals"] == process.summary()["totals"]
    assert lines[0].startswith("summary of siit0 after ")
    assert "4to6 translated" in table


def test_of_another_namespace_nothing_is_seen(lab: Lab, process: TranslatorProcess) -> None:
    with lab.host4.entered():
        assert running() == []


@pytest.mark.parametrize("arguments", [["stats"], ["top"], ["stats", "--domain", "siit9"]])
def test_where_nothing_runs_that_is_said_in_one_line(
    node: Namespace, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "translator" in error


def test_an_interval_that_is_none_is_refused(node: Namespace, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["top", "--interval", "0"]) == 2
    assert "--interval" in capsys.readouterr().err


def test_only_root_and_the_owner_are_told(node: Namespace) -> None:
    socket = StatusSocket("siit0", lambda: {"secret": 1})
    (one,) = running()
    child = os.fork()
    if not child:
        code = 1
        try:
            os.setuid(NOBODY)
            ask(one)
        except OperatorError:
            code = 0
        finally:
            os._exit(code)
    os.set_blocking(socket.fileno(), True)  # the child connects when it does
    socket.answer()
    assert os.waitpid(child, 0)[1] == 0
    socket.close()
    assert running() == []


def test_one_that_says_nothing_is_not_waited_for(node: Namespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "_TIMEOUT", 0.1)
    socket = StatusSocket("siit0", dict)
    with pytest.raises(OperatorError, match="does not answer"):
        ask(running()[0])
    socket.answer()  # who asked has gone
    socket.close()
