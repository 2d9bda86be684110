#!/usr/bin/env bash
# Installs Debian packages by apt-get, where that can be done without asking anybody: as root, on a machine that has it.
#
#   scripts/debian-packages.sh PACKAGE...
#   scripts/debian-packages.sh --tests       what tests use besides Python: Chromium, xmlsec1, Node.js with npm
#
# Ends with 0 when all are there in the end. What is there already costs nothing.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly log=build/debian-packages.log
export DEBIAN_FRONTEND=noninteractive

apt() {
    apt-get -y -q -o Acquire::Retries=1 -o Acquire::http::Timeout=20 -o DPkg::Lock::Timeout=120 "$@" \
        </dev/null >>"$log" 2>&1
}

packages=()
if [[ ${1:-} == --tests ]]; then
    command -v chromium >/dev/null || packages+=(chromium)
    command -v xmlsec1 >/dev/null || packages+=(xmlsec1)
    command -v node >/dev/null || packages+=(nodejs)
    command -v npm >/dev/null || packages+=(npm)
else
    packages=("$@")
fi
((${#packages[@]})) || exit 0
if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
    exit 1
fi

mkdir -p build
: >"$log"
echo "Fetching Debian's list of packages ..."
apt update || echo "  that did not work; trying with the list as it is ($log)"
missing=0
for package in "${packages[@]}"; do
    echo "Installing Debian's $package ..."
    apt install --no-install-recommends "$package" || {
        missing=1
        echo "  it cannot be had here ($log)"
    }
done
exit "$missing"
