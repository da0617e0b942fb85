#!/usr/bin/env bash
# Fuzzes each target, or those that are named, for so many seconds:   fuzz/run.sh [SECONDS] [TARGET…]
# What is found stops it with the input that did it, below fuzz/artifacts/; what is new is added to fuzz/found/, which is not kept.
# KEYGATE_FUZZ_KEEP=1 adds what is new to the corpus and leaves out of it what adds nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
version=0.13.2
root=$PWD/target/test-tools/cargo-fuzz-$version
seconds=${1:-60}
shift || true

if ! [[ -x $root/bin/cargo-fuzz ]]; then
    # Unoptimised: it only starts other programs.
    cargo install cargo-fuzz --version "$version" --locked --debug --quiet --root "$root" --target-dir target/cargo-fuzz
    rm -rf target/cargo-fuzz
fi
# The stable compiler has what a fuzzer needs, behind this name. No code here is unsafe, so memory needs no sanitiser.
export RUSTC_BOOTSTRAP=1
fuzz() { "$root/bin/cargo-fuzz" fuzz "$@"; }
if [[ $# == 0 ]]; then
    mapfile -t targets < <(fuzz list)
    set -- "${targets[@]}"
fi
fuzz build --sanitizer none
for target in "$@"; do
    echo "== fuzz $target: $seconds s"
    mkdir -p "fuzz/found/$target" "fuzz/corpus/$target"
    most=4096
    # Files are larger than messages.
    [[ $target == config ]] && most=16384
    fuzz run --sanitizer none "$target" "fuzz/found/$target" "fuzz/corpus/$target" -- \
        -max_total_time="$seconds" -max_len=$most -timeout=20 -rss_limit_mb=4096 -print_final_stats=1 -verbosity=0 2>&1 |
        grep -vE '^\{|^stat::(new_units|slowest)' || exit 1
    if [[ ${KEYGATE_FUZZ_KEEP:-} == 1 ]]; then
        cp -n "fuzz/found/$target/"* "fuzz/corpus/$target/" 2>/dev/null || true
        fuzz cmin --sanitizer none "$target" "fuzz/corpus/$target" -- -max_len=$most >/dev/null 2>&1
    fi
done
