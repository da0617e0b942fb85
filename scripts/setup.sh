#!/usr/bin/env bash
# Brings what the tests and `make bench-instructions` need besides Rust, where it is missing: curl, Node, OpenSSL, Valgrind, systemd-analyze, Prometheus
# and a Python environment.
# A second run does nothing. Everything that is not a Debian package of general use lies below target/test-tools.
set -euo pipefail
cd "$(dirname "$0")/.."
tools=$PWD/target/test-tools
mkdir -p "$tools"

say() { printf 'setup: %s\n' "$*" >&2; }
have() { command -v "$1" >/dev/null; }
as_root() { if [[ $(id -u) == 0 ]]; then "$@"; else sudo "$@"; fi; }

debian() {
    if ! have apt-get; then
        say "please install by your system's means: $*"
        exit 1
    fi
    as_root apt-get update -qq
    if [[ $# -gt 0 ]]; then
        say "installing $*"
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" </dev/null >/dev/null
    fi
}

# 1. Debian packages. Python counts as complete if it can make virtual environments.
can_make_venv() { "$1" -c 'import ensurepip, venv, sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; }
missing=()
have cc || missing+=(gcc libc6-dev)
have curl || missing+=(curl)
have node || missing+=(nodejs)
have npm || missing+=(npm)
have openssl || missing+=(openssl)
have valgrind || missing+=(valgrind)
have systemd-analyze || missing+=(systemd)
can_make_venv python3 || missing+=(python3 python3-venv)
[[ ${#missing[@]} == 0 ]] || debian ca-certificates "${missing[@]}"
python=python3
can_make_venv "$python" || python=/usr/bin/python3

# 2. Prometheus: the two programs of the Debian package. They are taken out of it instead of installed, because
#    installing would start a server and add a user, and the tests start servers of their own.
if ! [[ -x $tools/prometheus/promtool ]]; then
    mkdir -p "$tools/prometheus"
    if have prometheus && have promtool; then
        ln -sf "$(command -v prometheus)" "$(command -v promtool)" "$tools/prometheus/"
    else
        say "fetching prometheus"
        debian
        unpacked=$(mktemp -d)
        trap 'rm -rf "$unpacked"' EXIT
        (cd "$unpacked" && apt-get download -qq -o APT::Sandbox::User=root prometheus && dpkg-deb -x prometheus_*.deb .)
        mv "$unpacked/usr/bin/prometheus" "$unpacked/usr/bin/promtool" "$tools/prometheus/"
    fi
fi

# 3. The Python environment, made anew when its list changes.
lists=(examples/django-helpdesk/requirements.txt tests/real/requirements.txt tests/real/constraints.txt)
wanted=$(sha256sum "${lists[@]}")
if [[ "$(cat "$tools/python/stamp" 2>/dev/null)" != "$wanted" ]]; then
    say "making the Python environment"
    "$python" -m venv --clear "$tools/python"
    "$tools/python/bin/python" -m pip install --quiet --disable-pip-version-check --no-input \
        -r tests/real/requirements.txt -c tests/real/constraints.txt
    printf '%s\n' "$wanted" >"$tools/python/stamp"
fi

# 4. Node's packages, beside the programs that import them, because that is where Node looks.
wanted=$(sha256sum tests/real/package-lock.json)
if [[ "$(cat tests/real/node_modules/.stamp 2>/dev/null)" != "$wanted" ]]; then
    say "installing Node's packages"
    npm ci --prefix tests/real --no-audit --no-fund --silent
    printf '%s\n' "$wanted" >tests/real/node_modules/.stamp
fi
