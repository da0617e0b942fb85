#!/usr/bin/env bash
# Checks licences, bans and sources of all dependencies against deny.toml, with a cargo-deny of its
# own.
# Arguments are what to check instead; `advisories` needs the network.
set -euo pipefail
cd "$(dirname "$0")/.."
version=0.20.2
root=$PWD/target/test-tools/cargo-deny-$version

if ! [[ -x $root/bin/cargo-deny ]]; then
    # Unoptimised: it runs for two seconds, and optimising it would take minutes.
    cargo install cargo-deny --version "$version" --locked --debug --quiet --root "$root" --target-dir target/cargo-deny
    rm -rf target/cargo-deny
fi
if [[ $# == 0 ]]; then
    set -- licenses bans sources
fi
"$root/bin/cargo-deny" --log-level error check "$@"
