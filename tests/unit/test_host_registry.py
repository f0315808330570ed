"""Domains that are stored for a network namespace. What they do: netns/test_domain.py."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from nfxlat.errors import OperatorError
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


def test_where_there_is_no_room_nothing_is_left(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, *_: Any, **__: Any) -> int:
        path.touch()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OperatorError, match="No space left on device; make room there"):
        registry.store("siit0", "[domain.siit0]\n")
    assert os.listdir(run) == []
