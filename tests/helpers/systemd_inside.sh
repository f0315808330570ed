#!/bin/sh
# PID 1 of a container: real systemd with the units in FOLDER/units and no others; /run is empty but for FOLDER at /run/test.
#
#     unshare --pid --mount --fork --kill-child sh systemd_inside.sh FOLDER GROUP      GROUP: of cgroup2, made here
set -eu
mount --make-rprivate /
mount -t proc proc /proc
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir "/sys/fs/cgroup/$2"
echo 0 >"/sys/fs/cgroup/$2/cgroup.procs"
mount --bind "$1" /mnt # it may be below /run
mount -t tmpfs -o mode=755 run /run
mkdir -p /run/test /run/netns /run/systemd/system
mount --bind /mnt /run/test
mount --bind /mnt/units /run/systemd/system
mount --make-rshared /
export container=other SYSTEMD_UNIT_PATH=/run/systemd/system
# its own group is the root of what it sees
exec unshare --cgroup sh -euc '
    umount /sys/fs/cgroup
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
    exec /lib/systemd/systemd --system --unit=start.target --log-target=console --log-level=warning --show-status=no'
