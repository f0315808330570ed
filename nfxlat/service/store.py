"""Descriptors that the service manager keeps beyond our end (systemd.service(5), FileDescriptorStoreMax): what waits
in them waits for whoever it starts next, who gets them as sd_listen_fds(3) says.

    FDSTORE=1, FDNAME=name, FDPOLL=0, with the descriptor     kept until FDSTOREREMOVE=1, or until the unit has stopped
    LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES                    given to the next process: numbers from 3 on, and names

A name says what the descriptor is and how it was set up, so that nothing else is ever taken for it.
"""

import os
import socket
import stat
from collections.abc import Mapping, MutableMapping

from nfxlat.service.notify import notify, settled

FIRST = 3  # SD_LISTEN_FDS_START


class Store:
    """`given`: what a former process has left, by name."""

    def __init__(self, given: Mapping[str, int] | None = None) -> None:
        self._given = dict(given or {})
        self._kept = dict(self._given)  # the descriptors as they are here

    @classmethod
    def of(cls, environment: MutableMapping[str, str]) -> "Store":
        """What the manager gives this process; children are not to take it for theirs."""
        try:
            mine = int(environment.pop("LISTEN_PID", "")) == os.getpid()
            count = int(environment.pop("LISTEN_FDS", ""))
        except ValueError:
            mine, count = False, 0
        names = environment.pop("LISTEN_FDNAMES", "").split(":")
        given: dict[str, int] = {}
        for number, name in zip(range(FIRST, FIRST + count), names, strict=False) if mine else ():
            try:
                os.set_inheritable(number, False)
            except OSError:  # it is not open: somebody has set the environment by hand
                continue
            if name in given:
                os.close(number)
            else:
                given[name] = number
        return cls(given)

    @property
    def keeps(self) -> bool:
        """Whether there is a manager that has been given something, or has given us something."""
        return bool(self._kept)

    def take(self, name: str) -> int | None:
        """The descriptor of that name, which is the caller's from here on."""
        return self._given.pop(name, None)

    def waiting(self, start: str) -> int:
        """How many that nobody has taken yet have a name that begins so."""
        return sum(name.startswith(start) for name in self._given)

    def ports(self) -> frozenset[int]:
        """Netlink port ids of the sockets that nobody has taken yet."""
        found = set()
        for descriptor in self._given.values():
            if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                with socket.socket(fileno=os.dup(descriptor)) as copy:
                    found |= {copy.getsockname()[0]} if copy.family == socket.AF_NETLINK else set()
        return frozenset(found)

    def keep(self, name: str, descriptor: int) -> None:
        """Have the manager keep it, where there is one."""
        if self._kept.get(name) == descriptor:
            return
        self.forget(name)  # it was another
        if notify(f"FDSTORE=1\nFDNAME={name}\nFDPOLL=0", [descriptor]):
            self._kept[name] = descriptor

    def forget(self, *names: str) -> None:
        """Have the manager close its own of these, before this returns."""
        stale = [name for name in names if name in self._kept]
        for name in stale:
            notify(f"FDSTOREREMOVE=1\nFDNAME={name}")
            del self._kept[name]
        if stale:
            settled()

    def forget_all(self) -> None:
        """All of them: the end of what they belong to."""
        self.forget(*self._kept)

    def close_rest(self) -> None:
        """Close what nobody has taken: it is of another configuration."""
        rest, self._given = self._given, {}
        for descriptor in rest.values():
            os.close(descriptor)
        self.forget(*rest)
