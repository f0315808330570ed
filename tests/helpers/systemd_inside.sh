#!/bin/sh
# PID 1 of a container: real systemd with the units in FOLDER/units and no others; /run is empty but for FOLDER at /run/test.
#
#     unshare --pid --mount --fork --kill-child sh systemd_inside.sh FOLDER GROUP CHECKOUT PREFIX
#
# GROUP: of cgroup2, made here. CHECKOUT and PREFIX (Python's) are at /run/checkout and /run/python: they may be in /home or
# /tmp, which the service does not see.
set -eu
mount --make-rprivate /
mount -t proc proc /proc
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir "/sys/fs/cgroup/$2"
echo 0 >"/sys/fs/cgroup/$2/cgroup.procs"
mount --bind "$1" /mnt # all three may be below /run
exec 8<"$3" 9<"$4"
mount -t tmpfs -o mode=755 run /run
mkdir -p /run/test /run/checkout /run/python /run/netns /run/systemd/system
mount --bind /proc/self/fd/8 /run/checkout
mount --bind /proc/self/fd/9 /run/python
exec 8<&- 9<&-
mount --bind /mnt /run/test
mount --bind /mnt/units /run/systemd/system
mount --make-rshared /
export container=other SYSTEMD_UNIT_PATH=/run/systemd/system
# its own group is the root of what it sees
exec unshare --cgroup sh -euc '
    umount /sys/fs/cgroup
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
    exec /lib/systemd/systemd --system --unit=start.target --log-target=console --log-level=warning --show-status=no'
