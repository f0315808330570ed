#!/bin/sh
# In the Debian that check-deb.sh has booted, with the package installed: service, manuals, completion, upgrade, purge.
set -eu
UNIT=nfxlat@siit0.service
PREFIX=2001:db8:99::/96

fail() {
    printf 'FAILED %s\n' "$*"
    systemctl status --no-pager --full "$UNIT" || true
    exit 1
}
holds() {
    what=$1
    shift
    "$@" >/check/out 2>&1 || {
        tail -n 20 /check/out
        fail "$what"
    }
    printf 'ok     %s\n' "$what"
}
translates() {
    systemctl is-active --quiet "$UNIT" && ip -6 route show "$PREFIX" dev siit0 | grep . && nfxlat stats --json | grep siit0
}
main_pid() { systemctl show --property MainPID --value "$UNIT"; }
has_pages() {
    for page in $(dpkg -L nfxlat | grep /usr/share/man/man); do
        [ -f "$page" ] || continue
        man --warnings --local-file "$page" 2>&1 >/dev/null | grep . && return 1
        page=$(basename "${page%.gz}")
        man --where "${page##*.}" "${page%.*}" || return 1
        pages=${pages:-}1
    done
    [ "${#pages}" -gt 10 ]
}
bash_completes() {
    bash -c '. /usr/share/bash-completion/bash_completion
        { _comp_load nfxlat || _completion_loader nfxlat; } 2>/dev/null
        complete -p nfxlat'
}
zsh_completes() {
    zsh -fc 'autoload -U compinit; compinit -u -d /check/zcompdump; print $_comps[nfxlat]' | grep nfxlat
}
fish_completes() { HOME=/check fish -c 'complete -C "nfxlat ru"' | grep '^run'; }
runs_again() { [ "$(main_pid)" != "$1" ] && translates; }
left() {
    find / -xdev \( -path /check -o -path /proc -o -path /sys -o -path /var/cache/man \) -prune -o -name '*nfxlat*' -print
    find /run -name '*nfxlat*'
    systemctl list-units --all --no-legend 'nfxlat*'
    nft list tables | grep nfxlat
    ip -o link | grep -o siit0
    ip route show table all proto 118
    ip -6 route show table all proto 118
}

holds "version" nfxlat --version
holds "manual pages without a warning" has_pages
holds "completion in bash" bash_completes
holds "completion in zsh" zsh_completes
holds "completion in fish" fish_completes
holds "the unit is sound" systemd-analyze verify "$UNIT"
holds "nothing runs unasked" sh -c "! systemctl is-active $UNIT && ! systemctl is-enabled $UNIT"

holds "one file is edited" sed -i "s,^prefix6 = .*,prefix6 = \"$PREFIX\"," /etc/nfxlat.toml
holds "systemctl enable --now" systemctl enable --now "$UNIT"
holds "it translates" translates
holds "systemctl reload" systemctl reload "$UNIT"
holds "it still does" translates
holds "the demo" nfxlat demo --size 8 --seconds 0.3 --rounds 1

before=$(main_pid)
holds "upgrade" sh -c 'dpkg --install /check/nfxlat_*.deb'
holds "it runs anew" runs_again "$before"

holds "remove" apt-get remove -y nfxlat
holds "the configuration is kept" test -f /etc/nfxlat.toml
holds "purge" apt-get purge -y nfxlat
found=$(left || true)
[ -z "$found" ] || fail "left after purge: $found"
printf 'ok     nothing is left\n'
