"""What the settings of a unit forbid, tried: prints a line for each name given, and what came of it ("allowed", or why
not).

    setting_probes.py NAME...

Nothing is changed where it is allowed: values are set to what they are, and calls have arguments that they refuse.
"""

import ctypes
import errno
import mmap
import os
import resource
import socket
import sys
import tempfile
from collections.abc import Callable

_LIBC = ctypes.CDLL(None, use_errno=True)
_SYS_INIT_MODULE, _SYS_KEYCTL, _SYS_BPF = 175, 250, 321  # x86_64
_CLONE_NEWUTS, _CLONE_NEWNET = 0x04000000, 0x40000000
_PR_GET_NO_NEW_PRIVS, _PER_LINUX32, _SIZE_OF_LOG = 39, 0x0008, 10
_TIMEX = 208  # octets of struct timex; modes 0 reads


def _called(result: int) -> None:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _syscall(number: int, *arguments: object) -> None:
    """Refused by a filter, or let through to the kernel, which does not like the arguments."""
    if _LIBC.syscall(number, *arguments) < 0 and ctypes.get_errno() in (errno.EPERM, errno.ENOSYS):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _other_family() -> None:
    """One that the unit does not name; a kernel may lack some."""
    for family in (socket.AF_VSOCK, socket.AF_ALG, socket.AF_KEY, socket.AF_BLUETOOTH):
        try:
            socket.socket(family, socket.SOCK_RAW if family == socket.AF_KEY else socket.SOCK_SEQPACKET, 2).close()
        except OSError as error:
            if error.errno == errno.EAFNOSUPPORT:
                continue
        return
    raise OSError(errno.EAFNOSUPPORT, "")


def _set_id() -> None:
    with tempfile.NamedTemporaryFile(dir="/run") as file:
        os.chmod(file.name, 0o4700)


def _writable(path: str) -> None:
    if os.statvfs(path).f_flag & os.ST_RDONLY:
        raise OSError(errno.EROFS, "")


def _is(wanted: bool) -> None:
    if not wanted:
        raise OSError(errno.EACCES, "")


def _new_privileges() -> None:
    _is(_LIBC.prctl(_PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0)


def _datagram() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.sendto(b"", ("127.0.0.1", 9))


def _owner() -> None:
    with tempfile.NamedTemporaryFile(dir="/run") as file:
        os.chown(file.name, 1, 1)


PROBES: dict[str, Callable[[], object]] = {
    "chown": _owner,
    "new-privileges": _new_privileges,
    "other-family": _other_family,
    "uts-namespace": lambda: _called(_LIBC.unshare(_CLONE_NEWUTS)),
    "net-namespace": lambda: _called(_LIBC.unshare(_CLONE_NEWNET)),
    "swap": lambda: _called(_LIBC.swapon(b"/nothing", 0)),
    "affinity": lambda: os.sched_setaffinity(0, os.sched_getaffinity(0)),
    "keyring": lambda: _syscall(_SYS_KEYCTL, -1, 0, 0, 0, 0),
    "bpf": lambda: _syscall(_SYS_BPF, -1, 0, 0),
    "write-execute": lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC).close(),
    "personality": lambda: _called(_LIBC.personality(_PER_LINUX32)),
    "realtime": lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)),
    "set-id": _set_id,
    "clock": lambda: _called(_LIBC.adjtimex(ctypes.create_string_buffer(_TIMEX))),
    "hostname": lambda: socket.sethostname(socket.gethostname()),
    "usr": lambda: _writable("/usr"),
    "home": lambda: _is(bool(os.stat("/home").st_mode & 0o777)),
    "tmp": lambda: _is(os.stat("/tmp").st_ino == os.stat("/proc/1/root/tmp").st_ino),
    "cgroups": lambda: _writable("/sys/fs/cgroup"),
    "modules": lambda: _syscall(_SYS_INIT_MODULE, 0, 0, b""),
    "kernel-log": lambda: _called(_LIBC.klogctl(_SIZE_OF_LOG, None, 0)),
    "device": lambda: os.close(os.open("/dev/kmsg", os.O_RDONLY)),
    "tun": lambda: os.close(os.open("/dev/net/tun", os.O_RDWR)),
    "umask": lambda: _is(os.umask(0) != 0o077),
    "datagram": _datagram,
}


def tried(name: str) -> str:
    try:
        PROBES[name]()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error.errno))
    return "allowed"


def main() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for name in sys.argv[1:]:
        print(name, tried(name), flush=True)


if __name__ == "__main__":
    main()
