"""Capabilities that are missing."""

import os
import subprocess

import pytest

from nfxlat.errors import OperatorError
from nfxlat.host import capabilities


def test_missing_capabilities_are_named_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capabilities, "missing", lambda *names: list(names))
    with pytest.raises(OperatorError) as caught:
        capabilities.require("CAP_NET_ADMIN", "CAP_NET_RAW", what="--setup")
    assert str(caught.value) == "--setup needs CAP_NET_ADMIN and CAP_NET_RAW; run as root"


def test_what_is_given_up_is_gone_for_good() -> None:
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        capabilities.keep_only("CAP_NET_RAW", "CAP_KILL")
        command = "grep -E '^(Cap|NoNew)' /proc/self/status"  # a program that root starts gets no more
        os.write(writer, subprocess.run(["sh", "-c", command], capture_output=True, check=False).stdout)
        os._exit(0)
    os.waitpid(pid, 0)
    os.close(writer)
    with open(reader) as file:
        found = dict(line.split() for line in file)
    kept = 1 << capabilities.CAPABILITIES["CAP_NET_RAW"] | 1 << capabilities.CAPABILITIES["CAP_KILL"]
    assert [int(found[f"Cap{name}:"], 16) for name in ("Eff", "Prm", "Inh", "Amb")] == [kept, kept, 0, 0]
    assert found["NoNewPrivs:"] == "1"
