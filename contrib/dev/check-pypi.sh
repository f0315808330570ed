#!/bin/sh
# What an index such as PyPI would get: builds the source distribution and the wheel, checks their metadata, and installs the wheel
# where nothing else is. Half a minute; all of it is removed at the end.
#
#     contrib/dev/check-pypi.sh
set -eu
ROOT=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd -P)
. "$ROOT/contrib/dev/prepare.sh"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM HUP

copy_source "$work/nfxlat"
"$PYTHON" -m venv "$work/tools"
"$work/tools/bin/pip" install --quiet --disable-pip-version-check build twine
"$work/tools/bin/python" -m build --outdir "$work/dist" "$work/nfxlat" >"$work/log" 2>&1 || {
    tail -n 20 "$work/log" >&2
    die "the distributions could not be built"
}
"$work/tools/bin/twine" check --strict "$work"/dist/*

"$PYTHON" -m venv "$work/home"
"$work/home/bin/pip" install --quiet --disable-pip-version-check "$work"/dist/*.whl
cd "$work"
"$work/home/bin/nfxlat" explain --prefix6 2001:db8:64::/96 192.0.2.1
say "the distributions hold"
