"""Capabilities that are missing."""

import pytest

from nfxlat.errors import OperatorError
from nfxlat.host import capabilities


def test_missing_capabilities_are_named_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capabilities, "missing", lambda *names: list(names))
    with pytest.raises(OperatorError) as caught:
        capabilities.require("CAP_NET_ADMIN", "CAP_NET_RAW", what="--setup")
    assert str(caught.value) == "--setup needs CAP_NET_ADMIN and CAP_NET_RAW; run as root"
