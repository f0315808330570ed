"""Domains that are stored for a network namespace. What they do: netns/test_domain.py."""

import os
from pathlib import Path
from typing import Any

import pytest

from nfxlat.host import registry, state


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(state, "RUN", tmp_path / "run")
    return tmp_path / "run"


def test_the_folder_may_go_with_another_s_last_record(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Path.write_text

    def gone_first(path: Path, *more: Any, **words: Any) -> int:
        monkeypatch.setattr(Path, "write_text", real)
        run.rmdir()
        return real(path, *more, **words)

    monkeypatch.setattr(Path, "write_text", gone_first)
    registry.store("siit0", "[domain.siit0]\n")
    assert registry.names() == ["siit0"]
    assert os.listdir(run) == [registry.path("siit0").name]
    registry.remove("siit0")
    assert not run.exists()
