"""Network namespaces by name: pin one under /run/netns, enter it and come back.

A pinned namespace is a bind mount of its nsfs file, as iproute2 makes it, so `ip netns` lists it. It lives until it is
unpinned, whoever made it may die. Entering changes the calling thread only (setns(2)); sockets stay where they were
opened.
"""

import contextlib
import ctypes
import errno
import os
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

from nfxlat.errors import OperatorError
from nfxlat.host import run_folder

RUN = Path("/run/netns")
OWN = Path("/proc/thread-self/ns/net")

CLONE_NEWNET = 0x40000000  # linux/sched.h
MS_REC, MS_BIND, MS_SHARED, MNT_DETACH = 0x4000, 0x1000, 0x100000, 2  # linux/mount.h
NSFS_MAGIC = 0x6E736673  # linux/magic.h

_libc = ctypes.CDLL(None, use_errno=True)


def _call(function: str, *arguments: object) -> None:
    """Call libc's `function`; raise OSError with its errno where it returns other than 0."""
    if getattr(_libc, function)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{function}: {os.strerror(number)}")


def own_inode() -> int:
    """Inode of the calling thread's network namespace: its identity on this kernel, while it lives."""
    return OWN.stat().st_ino


def is_pinned(name: str) -> bool:
    """Whether /run/netns/`name` is a namespace, and not the plain file that a lost mount leaves behind."""
    buffer = ctypes.create_string_buffer(256)  # struct statfs: its first word is f_type
    if _libc.statfs(os.fsencode(RUN / name), buffer) != 0:
        return False
    return bool(struct.unpack_from("@l", buffer)[0] == NSFS_MAGIC)


@contextlib.contextmanager
def in_namespace(name: str) -> Iterator[None]:
    """Run the body in the namespace pinned as `name` (this thread only), then return to where the thread was.

    Raises OperatorError where there is no such namespace, or no permission to enter it.
    """
    home = os.open(OWN, os.O_RDONLY | os.O_CLOEXEC)
    try:
        try:
            there = os.open(RUN / name, os.O_RDONLY | os.O_CLOEXEC)
            try:
                _call("setns", there, CLONE_NEWNET)
            finally:
                os.close(there)
        except OSError as error:
            raise OperatorError(
                f"cannot enter the network namespace: {error.strerror}",
                where=str(RUN / name),
                hint="run nfxlat run --setup again",
            ) from None
        try:
            yield
        finally:
            _call("setns", home, CLONE_NEWNET)
    finally:
        os.close(home)


def pin_new(name: str) -> None:
    """Make a new network namespace and pin it as `name`. Raises OperatorError without CAP_SYS_ADMIN."""
    failure: list[OSError] = []

    def work() -> (
        None
    ):  # in a thread of its own, which dies in the new namespace: nothing to restore, nothing to get wrong
        try:
            _make_mount_point()
            os.close(os.open(RUN / name, os.O_CREAT | os.O_RDONLY | os.O_CLOEXEC, 0o444))
            _call("unshare", CLONE_NEWNET)
            _call("mount", os.fsencode(OWN), os.fsencode(RUN / name), b"none", ctypes.c_ulong(MS_BIND), None)
        except OSError as error:
            failure.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if failure:
        unpin(name)
        raise OperatorError(
            f"cannot create a network namespace: {failure[0].strerror}",
            where=str(RUN / name),
            hint=_remedy(failure[0]),
        )


def _remedy(error: OSError) -> str:
    rights = "--setup needs root (CAP_SYS_ADMIN and CAP_NET_ADMIN)"
    made = str(error.strerror).startswith("unshare")  # the rest is about /run
    return remedy(error.errno, rights) if made else run_folder.remedy(error, rights)


def remedy(number: int | None, rights: str) -> str:
    """What to do where unshare(2) makes no network namespace; `rights` where it is one of those."""
    if number == errno.ENOSPC:
        return "raise user.max_net_namespaces (sysctl), on the host of a container too"
    return rights if number == errno.EPERM else ""


def _make_mount_point() -> None:
    """/run/netns as a shared mount, so that other mount namespaces see what is pinned there (as ip-netns(8) does)."""
    RUN.mkdir(mode=0o755, exist_ok=True)
    path = os.fsencode(RUN)
    try:
        _call("mount", b"", path, b"none", ctypes.c_ulong(MS_SHARED | MS_REC), None)
    except OSError:  # EINVAL: not a mount point yet
        _call("mount", path, path, b"none", ctypes.c_ulong(MS_BIND | MS_REC), None)
        _call("mount", b"", path, b"none", ctypes.c_ulong(MS_SHARED | MS_REC), None)


def unpin(name: str) -> None:
    """Take the name away; the namespace dies with its last user. Nothing happens where there is none.

    Whoever may not unmount leaves that to who has mounted (`nfxlat domain unpin`, which the unit calls).
    """
    with contextlib.suppress(OSError):
        _call("umount2", os.fsencode(RUN / name), MNT_DETACH)
    try:
        (RUN / name).unlink(missing_ok=True)
    except OSError as error:
        if error.errno != errno.EBUSY:  # still mounted
            raise
