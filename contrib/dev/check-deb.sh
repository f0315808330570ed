#!/bin/sh
# contrib/deb --check: the package in a clean Debian, built in one chroot, then installed, run, upgraded and purged in another,
# which systemd-nspawn boots. Some five minutes. Nothing of it is installed on this machine but the tools; all is removed at the end.
#
#     contrib/dev/check-deb.sh 12|13
set -eu
ROOT=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd -P)
. "$ROOT/contrib/dev/prepare.sh"
NEEDED="debootstrap systemd-container"
MIRROR=${NFXLAT_MIRROR:-http://deb.debian.org/debian}
WITH="systemd-sysv dbus man-db bash-completion zsh fish" # what the package is tried with

case ${1:-} in
12) suite=bookworm ;;
13) suite=trixie ;;
*) die "usage: contrib/deb --check [12|13]" ;;
esac
[ "$(id -u)" = 0 ] || die "run as root: it makes chroots"
PATH=$PATH:/usr/sbin:/sbin
# shellcheck disable=SC2086
need "contrib/deb --check" $NEEDED

work=$(mktemp -d "${TMPDIR:-/var/tmp}/nfxlat-deb.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM HUP

# Run a command in a chroot, with mounts that end with it. Its output is shown only if it fails.
inside() {
    chroot=$1
    shift
    # shellcheck disable=SC2016
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
        unshare --mount sh -ec '
            chroot=$1
            shift
            mount --bind "$chroot" "$chroot"
            mount -t proc proc "$chroot/proc"
            mount --rbind /dev "$chroot/dev"
            cp /etc/resolv.conf "$chroot/etc/resolv.conf"
            exec chroot "$chroot" "$@"' sh "$chroot" "$@" >"$work/log" 2>&1 || {
        tail -n 40 "$work/log" >&2
        die "failed in a clean Debian ($suite): $*"
    }
}

say "making a clean Debian ($suite)"
debootstrap --variant=minbase "$suite" "$work/build" "$MIRROR" >"$work/log" 2>&1 || {
    tail -n 5 "$work/log" >&2
    die "debootstrap failed: is $MIRROR reachable?"
}
cp -a "$work/build" "$work/home"

say "building"
copy_source "$work/build/nfxlat"
inside "$work/build" apt-get update
inside "$work/build" apt-get install -y --no-install-recommends lintian
inside "$work/build" /nfxlat/contrib/deb
inside "$work/build" sh -c 'lintian --allow-root --fail-on error /nfxlat/dist/*.deb /nfxlat/dist/*.changes'
cat "$work/log"

say "installing"
mkdir "$work/home/check"
cp "$work"/build/nfxlat/dist/*.deb "$ROOT/contrib/dev/check-deb-inside.sh" "$work/home/check/"
inside "$work/home" apt-get update
# shellcheck disable=SC2086
inside "$work/home" apt-get install -y --no-install-recommends $WITH iproute2 nftables
inside "$work/home" sh -c 'apt-get install -y --no-install-recommends /check/nfxlat_*.deb'

say "booting"
cat >"$work/home/etc/systemd/system/check.service" <<END
[Unit]
After=multi-user.target
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'sh /check/check-deb-inside.sh >/check/log 2>&1 && touch /check/passed'
ExecStopPost=/bin/systemctl --no-block poweroff
TimeoutStartSec=300
END
mkdir -p "$work/home/etc/systemd/system/multi-user.target.wants"
ln -s ../check.service "$work/home/etc/systemd/system/multi-user.target.wants/check.service"
timeout --kill-after=10 400 unshare --mount systemd-nspawn --quiet --directory="$work/home" --machine="nfxlat-$$" --boot \
    --private-network --register=no --keep-unit --capability=all --console=pipe </dev/null >"$work/log" 2>&1 || true
cat "$work/home/check/log" 2>/dev/null || tail -n 20 "$work/log" >&2
[ -f "$work/home/check/passed" ] || die "the package does not hold in Debian ($suite)"
say "the package holds in a clean Debian ($suite)"
