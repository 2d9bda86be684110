#!/usr/bin/env bash
# Bundles Uppy and uPlot into static/vendor, from the packages that scripts/vendor/package-lock.json pins by version and hash.
#
#   scripts/vendor.sh [FOLDER]     FOLDER instead of static/vendor
#
# Needs Node.js and npm. Nobody else does: the bundle is committed.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly target="$(realpath -m "${1:-static/vendor}")"
readonly work=build/vendor

command -v npm >/dev/null || {
    echo "This needs Node.js and npm. On Debian: sudo apt-get install nodejs npm" >&2
    exit 1
}
mkdir -p "$work"
cp scripts/vendor/* "$work"
cd "$work"
if [[ ! -f node_modules/.homeserver-installed ]] || ! cmp -s package-lock.json node_modules/.homeserver-installed; then
    # No package's own script runs: what is bundled is what is pinned.
    npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
    cp package-lock.json node_modules/.homeserver-installed
fi
node build.mjs "$target"
