#!/usr/bin/env bash
# Makes or refreshes the environment .venv of this checkout, and does nothing when it is up to date.
#
#   scripts/environment.sh        what it takes to run homeserver
#   scripts/environment.sh dev    and what it takes to work on it
#
# PYTHON names the interpreter to make it with; otherwise that is the first on the path that is 3.11 or later and works.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly extra="${1:-}"
readonly log=build/environment.log
readonly python=.venv/bin/python
readonly place=.venv/.homeserver-place           # where it was made: its scripts name their interpreter by its path
readonly stamp=.venv/.homeserver-installed       # what was installed, from which files
readonly unfinished=.venv/.homeserver-unfinished # there while something is half done

say() { printf '%s\n' "$*"; }
fail() {
    printf '%s\n' "$*" >&2
    exit 1
}

fingerprint() { cat pyproject.toml constraints.txt | cksum; }

is_up_to_date() {
    [[ -f $stamp && ! -e $unfinished && "$(cat "$place" 2>/dev/null)" == "$PWD" ]] || return 1
    "$python" -c '' 2>/dev/null || return 1
    case "$(cat "$stamp")" in
        "dev $(fingerprint)") true ;;
        "run $(fingerprint)") [[ -z $extra ]] ;;
        *) false ;;
    esac
}

is_sound() {
    [[ ! -e $unfinished && "$(cat "$place" 2>/dev/null || pwd)" == "$PWD" ]] &&
        is_recent "$python" && "$python" -m pip --version >/dev/null 2>&1
}

is_recent() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }
makes_environments() { "$1" -c 'import ensurepip, venv; ensurepip.version()' >/dev/null 2>&1; }

# Every interpreter that the path offers under a name of ours. Each must be run to be believed: pyenv, for one, puts
# a python3.12 there that only says that no 3.12 is switched on.
candidates() {
    local name folder
    if [[ -n ${PYTHON:-} ]]; then
        say "$PYTHON"
        return
    fi
    for name in python3.11 python3.12 python3.13 python3; do
        while IFS= read -r -d : folder; do
            [[ ! -x ${folder:-.}/$name ]] || say "${folder:-.}/$name"
        done <<<"$PATH:"
    done
}

# Sets `recent` to the first interpreter that is new enough, and `base` to the first that can make environments too:
# Debian's needs a package for that.
look_for_python() {
    local candidate
    recent="" base=""
    while IFS= read -r candidate; do
        is_recent "$candidate" || continue
        recent="${recent:-$candidate}"
        if makes_environments "$candidate"; then
            base="$candidate"
            return
        fi
    done < <(candidates)
}

find_python() {
    look_for_python
    [[ -n $recent ]] || fail "homeserver needs Python 3.11 or later, and there is none${PYTHON:+ at $PYTHON}.
On Debian: sudo apt-get install python3 python3-venv"
    if [[ -z $base ]] && scripts/debian-packages.sh python3-venv; then
        look_for_python
    fi
    [[ -n $base ]] || fail "$recent cannot make environments yet. Run this, then try again:
sudo apt-get install python3-venv"
}

make_environment() {
    find_python
    say "Making the environment .venv with $("$base" --version) ($base) ..."
    rm -rf .venv
    mkdir .venv
    : >"$unfinished"
    pwd >"$place"
    "$base" -m venv .venv >"$log" 2>&1 || {
        cat "$log" >&2
        fail "$base could not make an environment."
    }
}

# Keeps what pip says in the log; shows on a terminal, in one line, what it is at.
follow() {
    local line what count=0
    while IFS= read -r line; do
        printf '%s\n' "$line" >>"$log"
        case "$line" in
            "Collecting "*) what="${line#Collecting }" count=$((count + 1)) ;;
            "Installing collected packages"*) what="unpacking them" ;;
            *) continue ;;
        esac
        [[ ! -t 1 ]] || printf '\r\033[K  %s: %s' "$count" "${what%% (*}"
    done
    [[ ! -t 1 ]] || printf '\r\033[K'
}

install_packages() {
    say "Installing what homeserver needs${extra:+, and what its developers need} (a minute or two the first time) ..."
    : >"$unfinished"
    : >"$log"
    # The two variables hold the build of homeserver itself to the same versions, in older and newer releases of pip.
    PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt PIP_DISABLE_PIP_VERSION_CHECK=1 \
        "$python" -m pip install --no-input --progress-bar off -c constraints.txt -e ".${extra:+[$extra]}" \
        </dev/null 2>&1 | follow || {
        tail -n 20 "$log" >&2
        fail "The packages could not be installed; $log holds all that pip said. Does this machine reach a package index?"
    }
    say "${extra:-run} $(fingerprint)" >"$stamp"
    pwd >"$place"
    rm -f "$unfinished"
}

[[ -z $extra || $extra == dev ]] || fail "\"$extra\" is not known here: say nothing, or dev."
! is_up_to_date || exit 0

mkdir -p build
exec 9>build/environment.lock
if command -v flock >/dev/null && ! flock -n 9; then
    say "Waiting for another command that is making the environment ..."
    flock 9
    ! is_up_to_date || exit 0
fi
if ! is_sound; then
    [[ ! -e .venv ]] || say "The environment .venv is broken, half made, or from another folder; it is made anew."
    make_environment
fi
install_packages
say "The environment is ready after $SECONDS s."
