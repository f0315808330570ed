"""The service manager hears that the service is ready."""

import socket
from pathlib import Path

import pytest

from nfxlat.service.notify import notify


@pytest.mark.parametrize("abstract", [False, True])
def test_what_the_manager_asked_for_arrives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, abstract: bool) -> None:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + path if abstract else path)
        manager.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + path if abstract else path)
        assert notify("READY=1")
        assert manager.recv(64) == b"READY=1"


@pytest.mark.parametrize("path", [None, "", "relative", "/nonexistent/notify"])
def test_without_a_manager_nothing_happens(monkeypatch: pytest.MonkeyPatch, path: str | None) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    if path is not None:
        monkeypatch.setenv("NOTIFY_SOCKET", path)
    assert not notify("READY=1")
