#!/usr/bin/env bash
# Installs what the tests and `make bench-instructions` need besides Rust, where it is missing:
# curl, Node, Chromium, Firefox, OpenSSL, Valgrind, systemd-analyze, slowhttptest, Prometheus, nginx,
# HAProxy and Python environments. It looks for Python 2.7, which the Autobahn test suite needs, but
# cannot install it, because Debian no longer has it.
# A second run does nothing. Everything that is not a Debian package of general use lies below
# target/test-tools.
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
have c++ || missing+=(g++)
have curl || missing+=(curl)
have node || missing+=(nodejs)
have npm || missing+=(npm)
[[ -x /usr/bin/chromium ]] || missing+=(chromium)
[[ -x /usr/bin/firefox-esr ]] || missing+=(firefox-esr)
have openssl || missing+=(openssl)
have valgrind || missing+=(valgrind)
have systemd-analyze || missing+=(systemd)
have slowhttptest || missing+=(slowhttptest)
can_make_venv python3 || missing+=(python3 python3-venv)
[[ ${#missing[@]} == 0 ]] || debian ca-certificates "${missing[@]}"
python=python3
can_make_venv "$python" || python=/usr/bin/python3

# 2. Prometheus: the two programs of the Debian package. They are taken out of it instead of
#    installed, because installing would start a server and add a user, and the tests start servers
#    of their own.
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

# 3. nginx and HAProxy, likewise, with those of their libraries that are not there yet.
mkdir -p "$tools/servers"
fetch=()
for server in nginx haproxy; do
    [[ -x $tools/servers/$server ]] && continue
    if found=$(PATH=$PATH:/usr/sbin command -v "$server"); then
        ln -sf "$found" "$tools/servers/$server"
    else
        fetch+=("$server")
    fi
done
if [[ ${#fetch[@]} -gt 0 ]]; then
    say "fetching ${fetch[*]}"
    debian
    fetched=$(mktemp -d)
    mkdir "$fetched/partial"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --download-only --no-install-recommends \
        -o APT::Sandbox::User=root -o Dir::Cache::archives="$fetched" "${fetch[@]}" </dev/null >/dev/null
    for package in "$fetched"/*.deb; do dpkg-deb -x "$package" "$tools/servers/unpacked"; done
    as_root rm -rf "$fetched"
    for server in "${fetch[@]}"; do
        printf '#!/bin/sh\nLD_LIBRARY_PATH=%q exec %q "$@"\n' \
            "$tools/servers/unpacked/usr/lib/$(cc -dumpmachine)" "$tools/servers/unpacked/usr/sbin/$server" >"$tools/servers/$server"
        chmod 755 "$tools/servers/$server"
    done
fi

# 4. The Python environments, each made anew when its lists change:
#    `environment NAME REQUIREMENTS CONSTRAINTS [MORE LISTS]`.
environment() {
    local place=$tools/$1 wanted
    wanted=$(sha256sum "${@:2}")
    if [[ "$(cat "$place/stamp" 2>/dev/null)" != "$wanted" ]]; then
        say "making the Python environment $1"
        "$python" -m venv --clear "$place"
        "$place/bin/python" -m pip install --quiet --disable-pip-version-check --no-input -r "$2" -c "$3"
        printf '%s\n' "$wanted" >"$place/stamp"
    fi
}
environment python tests/real/requirements.txt tests/real/constraints.txt examples/django-helpdesk/requirements.txt
environment sslyze tests/real/sslyze.txt tests/real/sslyze-constraints.txt

# 5. Node's packages, beside the programs that import them, because that is where Node looks. The
#    browsers are the system's.
for place in tests/real tests/browser; do
    wanted=$(sha256sum "$place/package-lock.json")
    if [[ "$(cat "$place/node_modules/.stamp" 2>/dev/null)" != "$wanted" ]]; then
        say "installing Node's packages in $place"
        PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 npm ci --prefix "$place" --no-audit --no-fund --silent
        printf '%s\n' "$wanted" >"$place/node_modules/.stamp"
    fi
done

# 6. The Autobahn test suite, for the Python 2.7 that is found.
is_python2() { "$1" -c 'import sys, pip, ssl; sys.exit(sys.version_info[:2] != (2, 7))' 2>/dev/null; }
python2=
for candidate in python2.7 python2 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/2.7.*/bin/python2.7; do
    if is_python2 "$candidate"; then
        python2=$("$candidate" -c 'import sys; print(sys.executable)')
        break
    fi
done
wanted=$(sha256sum tests/real/autobahn.txt)
if [[ -z $python2 ]]; then
    say "no Python 2.7 with pip is found, so the test of WebSockets by the Autobahn suite will fail; 'pyenv install 2.7.18' builds one"
    rm -rf "$tools/autobahn"
elif [[ "$(cat "$tools/autobahn/stamp" 2>/dev/null)" != "$wanted $python2" ]]; then
    say "installing the Autobahn test suite for $python2"
    rm -rf "$tools/autobahn"
    mkdir -p "$tools/autobahn"
    "$python2" -m pip install --quiet --disable-pip-version-check --no-input \
        --target "$tools/autobahn/lib" -r tests/real/autobahn.txt
    ln -s "$python2" "$tools/autobahn/python2"
    printf '%s\n' "$wanted $python2" >"$tools/autobahn/stamp"
fi
