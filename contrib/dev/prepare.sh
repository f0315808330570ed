# Sourced by contrib/demo and contrib/test. Installs what is missing: Debian packages, then the private virtual
# environment .venv with nfxlat (editable) and its Python dependencies. Does nothing, at once, where all is there.
#
# prepare EXTRAS   e.g. prepare "" or prepare test

PYTHON=/usr/bin/python3
NEEDED="python3 python3-venv python3-nftables nftables iproute2"
BUILD="gcc python3-dev libnetfilter-queue-dev" # for the NetfilterQueue package only, which has no wheels

say() { printf '%s\n' "nfxlat: $*" >&2; }
die() {
    say "$*"
    exit 2
}

missing_packages() {
    for package in "$@"; do
        case $(dpkg-query -W -f='${Status}' "$package" 2>/dev/null) in
        "install ok installed") ;;
        *) printf '%s ' "$package" ;;
        esac
    done
}

install_packages() {
    say "installing Debian packages: $*"
    log=$(mktemp)
    if { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@"; } >"$log" 2>&1; then
        rm -f "$log"
        return 0
    fi
    tail -n 5 "$log" >&2
    rm -f "$log"
    return 1
}

# need WHAT PACKAGE...   install what is missing for WHAT, or end
need() {
    purpose=$1
    shift
    # shellcheck disable=SC2046
    set -- $(missing_packages "$@")
    [ $# = 0 ] || install_packages "$@" || die "$purpose: these packages are needed, and cannot be installed: $*"
}

# download_packages FOLDER PACKAGE...   into it; as root, since the folder may be closed to apt's own user
download_packages() (
    cd "$1" && shift && apt-get download -q -o APT::Sandbox::User=root "$@" >/dev/null 2>&1
)

# copy_source FOLDER   make it, and copy this checkout there, without what was made in it
copy_source() {
    mkdir "$1"
    tar -C "$ROOT" -c --exclude='./.[!.]*' --exclude='__pycache__' --exclude='*.egg-info' --exclude=./dist --exclude=./build . |
        tar -C "$1" -x
}

prepare_packages() {
    if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
        [ -x "$PYTHON" ] || die "$PYTHON is missing, and this is no Debian: install Python 3.11 or later"
        "$PYTHON" -c 'import venv, ensurepip, nftables' 2>/dev/null ||
            die "this is no Debian: install the equivalents of $NEEDED"
        return
    fi
    # shellcheck disable=SC2086
    need nfxlat $NEEDED
    # shellcheck disable=SC2046,SC2086
    set -- $(missing_packages $BUILD)
    if [ $# -gt 0 ]; then
        install_packages "$@" || say "cannot install $*: --source netfilterqueue will not work"
    fi
}

prepare_environment() {
    extras=$1
    if [ -L "$VENV" ]; then # another checkout's: it stays as it is, and only the code is from here
        PYTHONPATH=$ROOT${PYTHONPATH:+:$PYTHONPATH}
        export PYTHONPATH
        return
    fi
    stamp=$VENV/nfxlat-$extras.stamp
    wanted="$("$PYTHON" -V) $(cksum <"$ROOT/pyproject.toml")"
    [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && return
    say "setting up $VENV"
    # Debian's nftables bindings, the official ones, are seen through --system-site-packages.
    [ -x "$VENV/bin/python" ] || "$PYTHON" -m venv --system-site-packages "$VENV" ||
        die "cannot create a virtual environment in $VENV: install python3-venv, or make the directory writable"
    pip="$VENV/bin/python -m pip install --quiet --disable-pip-version-check"
    $pip --editable "$ROOT${extras:+[$extras]}" ||
        die "pip could not install nfxlat's dependencies: is a package index reachable?"
    $pip --editable "$ROOT[netfilterqueue]" >/dev/null 2>&1 ||
        say "the NetfilterQueue package does not build here: --source netfilterqueue will not work"
    printf '%s\n' "$wanted" >"$stamp"
}

# unpack PACKAGE FOLDER [FILE]: unpacked, not installed; with its version.
unpack() {
    command -v apt-get >/dev/null || return
    folder=$(mktemp -d)
    if (
        cd "$folder" || exit
        download_packages . "$1" || { apt-get -q update && download_packages . "$1"; } || exit
        mkdir -p "$2"
        # shellcheck disable=SC2086
        dpkg-deb --fsys-tarfile ./*.deb | tar -x -C "$2" ${3:-} && dpkg-deb -f ./*.deb Version >"$2/version"
    ) >/dev/null 2>&1; then status=0; else status=1; fi
    rm -rf "$folder"
    return $status
}

# TAYGA, for nfxlat bench to be compared with: its package starts a daemon and sets up NAT.
prepare_tayga() {
    [ -x "$VENV/tayga/usr/sbin/tayga" ] || command -v tayga >/dev/null && return
    unpack tayga "$VENV/tayga" || say "TAYGA is not available: nfxlat bench leaves it out"
}

# promtool, for contrib/prometheus to be tested with. Debian 12 has it in a package that starts a daemon which listens.
prepare_promtool() {
    [ -x "$VENV/bin/promtool" ] || command -v promtool >/dev/null && return
    if unpack promtool "$VENV/promtool" ./usr/bin/promtool || unpack prometheus "$VENV/promtool" ./usr/bin/promtool; then
        ln -sf ../promtool/usr/bin/promtool "$VENV/bin/promtool"
    else
        say "promtool is not available: the tests of contrib/prometheus will fail"
    fi
}

prepare() {
    [ "$(id -u)" = 0 ] || die "run as root: namespaces, nftables rules and packet queues need it"
    prepare_packages
    prepare_environment "${1:-}"
    case ${1:-} in *test*) prepare_tayga && prepare_promtool ;; esac
}
