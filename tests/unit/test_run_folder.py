"""What is said of /run that cannot be written."""

import errno
import os

import pytest

from nfxlat.host.run_folder import remedy


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (errno.EPERM, "run as root"),
        (errno.EACCES, "run as root"),
        (errno.EROFS, "/run is read-only: "),
        (errno.ENOSPC, "make room there: "),
        (errno.EMFILE, ""),
        (errno.ENOMEM, ""),
    ],
)
def test_rights_are_asked_for_where_they_lack(number: int, told: str) -> None:
    found = remedy(OSError(number, os.strerror(number)), "run as root")
    assert found.startswith(told)
    assert bool(found) == bool(told)
