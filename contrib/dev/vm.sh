#!/bin/sh
# What the virtual machine of tests/vm needs: qemu and a few programs from Debian, and Debian's stock kernel, unpacked into
# a cache folder. Nothing of the kernel is installed on this machine.
#
#     contrib/dev/vm.sh prepare   install and download what is missing (root, Debian on amd64)
#     contrib/dev/vm.sh find      print the folder that holds boot/vmlinuz-* and lib/modules/
set -eu
ROOT=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd -P)
. "$ROOT/contrib/dev/prepare.sh"

NEEDED_VM="qemu-system-x86 busybox-static kmod file"
PROGRAMS="qemu-system-x86_64 busybox depmod file" # of these packages, in this order
META=linux-image-amd64
CACHE=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/nfxlat/kernel

# The package that META stands for, as name_version; nothing where apt does not know.
newest() {
    apt-cache show --no-all-versions "$META" 2>/dev/null |
        sed -n 's/^Depends: \(.*, \)*\(linux-image-[^ ]*\) (= \([^)]*\)).*/\2_\3/p'
}

# What has to be unpacked of NAME_VERSION, as apt names it: itself, and the packages that it is split into since Debian 14.
parts_of() {
    printf '%s ' "${1%%_*}=${1#*_}"
    apt-cache show "${1%%_*}=${1#*_}" 2>/dev/null | sed -n 's/^Depends: //p' | tr , '\n' |
        sed -n 's/^ *\(linux-\(base\|binary\|modules\)-[0-9][^ ]*\) (= \([^)]*\)).*/\1=\3/p'
}

cached() { [ -f "$CACHE/$1/complete" ]; }

# The newest that is unpacked, as name_version.
newest_cached() {
    for complete in "$CACHE"/*/complete; do
        [ -f "$complete" ] && basename "$(dirname "$complete")"
    done | sort -V | tail -n 1
}

# Image and modules of a package, without most drivers: 90 MB instead of 400.
unpack_kernel() {
    dpkg-deb --fsys-tarfile "$1" | tar -x -C "$2" --wildcards --no-wildcards-match-slash \
        --exclude='./usr/share' --exclude='./boot/[!v]*' \
        --exclude='*/kernel/sound' --exclude='*/kernel/fs/[!9fno]*' \
        --exclude='*/kernel/drivers/[!cnv]*' --exclude='*/kernel/drivers/net/[!bpsvw]*/*' \
        --exclude='*/kernel/drivers/net/p[!p]*/*' --exclude='*/kernel/drivers/net/w[!i]*/*' \
        --exclude='*/kernel/drivers/net/wireless/*'
}

# Files where each Debian has them: modules by two names since 13, whichever of them kmod has been built for; the image beside
# the modules since 14.
same_places() {
    if [ -d "$1/usr/lib/modules" ]; then
        mv "$1/usr/lib" "$1/lib" && ln -s ../lib "$1/usr/lib" || return 1
    fi
    for image in "$1"/lib/modules/*/vmlinuz; do
        [ -f "$image" ] || return 0
        mkdir -p "$1/boot" && mv "$image" "$1/boot/vmlinuz-$(basename "$(dirname "$image")")" || return 1
    done
}

download() {
    say "downloading the kernel ${1%%_*} for the tests in a virtual machine"
    mkdir -p "$CACHE"
    part=$(mktemp -d "$CACHE/part.XXXXXX")
    trap 'rm -rf "$part"' EXIT
    trap 'exit 130' INT TERM HUP
    # shellcheck disable=SC2046
    download_packages "$part" $(parts_of "$1") || return 1
    for package in "$part"/*.deb; do
        unpack_kernel "$package" "$part" || return 1
        rm "$package"
    done
    same_places "$part" || return 1
    release=$(basename "$part"/lib/modules/*)
    depmod -b "$part" "$release" || return 1
    touch "$part/complete"
    chmod 755 "$part"
    for old in "$CACHE"/linux-image-*; do # of a former version
        [ -d "$old" ] && rm -rf "$old"
    done
    mv -T "$part" "$CACHE/$1"
}

prepare_vm() {
    [ "$(dpkg --print-architecture 2>/dev/null)" = amd64 ] || die "the tests in a virtual machine need Debian on amd64"
    # shellcheck disable=SC2086
    need "tests in a virtual machine" $NEEDED_VM
    wanted=$(newest)
    if [ -z "$wanted" ]; then
        [ -n "$(newest_cached)" ] && return # apt has no lists, nor perhaps a network: what is here will do
        apt-get update -q >/dev/null 2>&1 || die "apt-get update fails, and no kernel is in $CACHE"
        wanted=$(newest)
    fi
    [ -n "$wanted" ] || die "apt knows no $META: no kernel for the tests in a virtual machine"
    cached "$wanted" && return
    download "$wanted" && return
    # the lists may be older than the archive
    apt-get update -q >/dev/null 2>&1 || true
    wanted=$(newest)
    download "$wanted" || die "cannot download and unpack $wanted: no kernel for the tests in a virtual machine"
}

find_vm() {
    for program in $PROGRAMS; do
        command -v "$program" >/dev/null ||
            die "the tests in a virtual machine need $program (packages $NEEDED_VM): run contrib/dev/vm.sh prepare"
    done
    found=$(newest_cached)
    [ -n "$found" ] || die "no kernel for the tests in a virtual machine is in $CACHE: run contrib/dev/vm.sh prepare"
    printf '%s\n' "$CACHE/$found"
}

PATH=$PATH:/usr/sbin:/sbin
case ${1:-} in
prepare) prepare_vm ;;
find) find_vm ;;
*) die "usage: contrib/dev/vm.sh prepare|find" ;;
esac
