#!/bin/sh
# Debian's NetworkManager for tests/netns/test_network_manager.py, unpacked into a cache folder with the packages that this
# machine lacks for it. It is not installed: it would take over the machine's own network.
#
#     contrib/dev/network-manager.sh prepare   download and unpack it where it is missing (root, Debian)
#     contrib/dev/network-manager.sh find      print the folder that holds usr/sbin/NetworkManager
set -eu
ROOT=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd -P)
. "$ROOT/contrib/dev/prepare.sh"
CACHE=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/nfxlat/NetworkManager

unpack_manager() {
    lacking=$(apt-get install -s --no-install-recommends network-manager dbus 2>/dev/null | sed -n 's/^Inst \([^ ]*\) .*/\1/p')
    [ -n "$lacking" ] || return 1
    part=$(mktemp -d "$CACHE.XXXXXX")
    trap 'rm -rf "$part"' EXIT
    trap 'exit 130' INT TERM HUP
    mkdir "$part/root"
    # shellcheck disable=SC2086
    download_packages "$part" $lacking || return 1
    for package in "$part"/*.deb; do
        dpkg-deb -x "$package" "$part/root" || return 1
    done
    chmod 755 "$part/root"
    rm -rf "$CACHE"
    mv -T "$part/root" "$CACHE"
}

case ${1:-} in
prepare)
    [ -x /usr/sbin/NetworkManager ] || [ -x "$CACHE/usr/sbin/NetworkManager" ] && exit
    mkdir -p "$(dirname "$CACHE")"
    unpack_manager || die "cannot download and unpack NetworkManager: its test is left out"
    ;;
find)
    for folder in "" "$CACHE"; do
        if [ -x "$folder/usr/sbin/NetworkManager" ]; then
            printf '%s\n' "${folder:-/}"
            exit
        fi
    done
    die "there is no NetworkManager: run contrib/dev/network-manager.sh prepare"
    ;;
*) die "usage: contrib/dev/network-manager.sh prepare|find" ;;
esac
