"""What the kernel's answers to a dump of nf_tables mean."""

import errno
from collections.abc import Callable

import pytest

from nfxlat.errors import OperatorError
from nfxlat.netlink.connection import Connection
from nfxlat.nft.kernel import nf_tables
from nfxlat.wire import netlink


def test_an_object_is_its_family_and_its_attributes(monkeypatch: pytest.MonkeyPatch) -> None:
    def listed(self: Connection, kind: int, body: bytes, read: Callable[[bytes], object]) -> list[object]:
        assert (kind, body) == (10 << 8 | 7, netlink.nfgenmsg(2) + b"asked")
        return [read(netlink.nfgenmsg(10) + b"told")]

    monkeypatch.setattr(Connection, "dump", listed)
    assert nf_tables.dump(nf_tables.NFT_MSG_GETRULE, 2, b"asked") == [(10, b"told")]


def refuse(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def refused(*_: object) -> None:
        raise OSError(code, "")

    monkeypatch.setattr(Connection, "dump", refused)


@pytest.mark.parametrize("code", [errno.ENOENT, errno.EINVAL, errno.EOPNOTSUPP])
def test_without_a_table_or_nf_tables_nothing_is_there(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    refuse(monkeypatch, code)
    assert nf_tables.dump(nf_tables.NFT_MSG_GETRULE, 2) == []


@pytest.mark.parametrize("code", [errno.EPERM, errno.ENOMEM])
def test_a_list_that_cannot_be_had_is_no_empty_one(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    refuse(monkeypatch, code)
    with pytest.raises(OperatorError, match="rules: cannot be listed: "):
        nf_tables.dump(nf_tables.NFT_MSG_GETRULE, 2)
