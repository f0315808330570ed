#!/bin/sh
# systemctl(1) for nfxlat@NAME alone, in the room of a page: starts what the shipped unit starts, without a systemd.
set -eu
UNIT=$CHECKOUT/contrib/systemd/nfxlat@.service

start() {
    [ ! -e "/run/$1.pid" ] || return 0
    NFXLAT_OPTIONS=$(sed -n 's/^Environment="NFXLAT_OPTIONS=\(.*\)"$/\1/p' "$UNIT")
    [ ! -e "/etc/default/nfxlat-$1" ] || . "/etc/default/nfxlat-$1"
    export NFXLAT_OPTIONS
    command=$(sed -n "s,^ExecStart=/usr/local/bin/,exec ,; s/%i/$1/g; /^exec /p" "$UNIT")
    mkfifo "/run/$1.ready"
    setsid sh -c "$command --ready-fd 9" 9>"/run/$1.ready" >>"/run/$1.log" 2>&1 </dev/null &
    echo $! >"/run/$1.pid"
    ready=$(head -n 1 "/run/$1.ready")
    rm "/run/$1.ready"
    [ -z "$ready" ] || return 0
    rm "/run/$1.pid"
    tail -n 3 "/run/$1.log" >&2
    exit 1
}

stop() {
    [ -e "/run/$1.pid" ] || return 0
    pid=$(cat "/run/$1.pid")
    kill "$pid" 2>/dev/null || :
    # nobody waits for it here: it stays as a zombie
    while [ -d "/proc/$pid" ] && ! grep -q '^State:.Z' "/proc/$pid/status"; do sleep 0.02; done
    rm "/run/$1.pid"
}

action=
units=
for word in "$@"; do
    case $word in
    nfxlat@*) units="$units ${word#nfxlat@}" ;;
    --all) units=$(cd /run && ls -- *.pid 2>/dev/null | sed 's/\.pid$//' || :) ;;
    -*) ;;
    enable) action=start ;;
    *) action=$word ;;
    esac
done
[ "$action" != daemon-reload ] || exit 0
for unit in $units; do
    name=${unit%.service}
    case $action in
    start) start "$name" ;;
    stop) stop "$name" ;;
    restart) stop "$name" && start "$name" ;;
    reload) kill -HUP "$(cat "/run/$name.pid")" ;;
    is-active) [ -e "/run/$name.pid" ] && echo active || { echo inactive; exit 3; } ;;
    status) tail -n 10 "/run/$name.log" ;;
    *) echo "systemctl $*: not in a page's room" >&2 && exit 1 ;;
    esac
done
