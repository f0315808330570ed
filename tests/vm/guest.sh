#!/bin/sh
# In the guest, first: make an overlay of the host's files the root, then run COMMAND there.
#
#     guest.sh KERNEL COMMAND...    KERNEL: folder with lib/modules/ of the running kernel
#
# The host's files come read-only over 9p (tag "host"), cached, since every program start would fetch its pages again;
# a tmpfs above them takes all writes. Who starts this has mounted them on /run/lower: /tmp and /var/tmp are others there, and
# the checkout may be in these. The one folder of the host that the guest may write is /run/results (tag "results").
set -eu
kernel=$1
shift
options=trans=virtio,version=9p2000.L,msize=512000

modprobe -d "$kernel" -a overlay tun # nobody makes /dev/net/tun ahead of the driver, as udev does
mkdir /run/writes /run/root
mount -t tmpfs writes /run/writes
mkdir /run/writes/upper /run/writes/work
mount -t overlay -o lowerdir=/run/lower,upperdir=/run/writes/upper,workdir=/run/writes/work root /run/root

cd /run/root
modules=lib/modules/$(uname -r)
mkdir -p "$modules"
mount --bind "./$kernel/$modules" "$modules"
mount -t proc proc proc
mount -t sysfs sysfs sys
mount --rbind /dev dev
mount -t tmpfs -o mode=0755 run run
mkdir run/results run/before run/tmp
mount -t 9p -o "$options" results run/results
busybox pivot_root . run/before # of util-linux it is in a package of its own since Debian 14
cd /

export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin TMPDIR=/run/tmp HOME=/root
exec "$@" >/run/results/guest.log 2>&1 </dev/null
