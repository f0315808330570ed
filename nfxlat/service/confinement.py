"""What a container leaves of root's powers, for `nfxlat doctor`: a user namespace, a read-only /proc/sys."""

from collections.abc import Iterator

from nfxlat.datapath.nfqueue import RECEIVE_BUFFER
from nfxlat.host import sysctl
from nfxlat.plan import sysctls
from nfxlat.service import trial
from nfxlat.service.diagnosis import Diagnosis, State

KERNEL_DOUBLES = 2  # what is asked for is doubled for the kernel's own needs (socket(7), SO_RCVBUF)


def confinement() -> Iterator[Diagnosis]:
    """Whether `--setup` works here, tried whole, and what is smaller here than elsewhere."""
    if refused := trial.refusal():
        yield Diagnosis("--setup", State.MISSING, refused, "tried in a temporary namespace, and failed")
    else:
        yield Diagnosis("--setup", State.OK, "works", "tried in a temporary namespace")
    if trial.in_user_namespace():
        yield _user_namespace()


def _user_namespace() -> Diagnosis:
    granted = trial.receive_buffer(RECEIVE_BUFFER) // KERNEL_DOUBLES
    if granted >= RECEIVE_BUFFER:
        found = "this process is in one, with large buffers"
        return Diagnosis("user namespace", State.OK, found, "bursts fit into the queues")
    found = f"this process is in one: buffers of at most {granted >> 10} KB"
    meaning = "each superframe takes 68 KB of them, and what does not fit is lost (see socket in nfxlat stats)"
    remedy = f"on the host: sysctl -w net.core.rmem_max={RECEIVE_BUFFER}"
    return Diagnosis("user namespace", State.NOTE, found, meaning, remedy)


def forwarding_remedy(key: str) -> tuple[State, str]:
    """What to do where a forwarding sysctl is 0."""
    if sysctl.writable(key):
        return State.NOTE, "nfxlat run --setup turns it on"
    return State.MISSING, f"/proc/sys is read-only: {sysctl.READ_ONLY} ({sysctls.dotted(key)}=1)"
