# What there is to type. `make test` installs what is missing first (as root, or with sudo).

.PHONY: test setup lint format clippy doc dependencies advisories fuzz soak bench bench-scale bench-compare bench-instructions screenshots

test: setup
	cargo test --locked

setup:
	scripts/setup.sh

# Renews docs/screenshots with the program as it is.
screenshots: setup
	cargo build --locked
	node tests/browser/screenshots.mjs

lint: format clippy doc dependencies

format:
	cargo fmt --check
	cargo fmt --check --manifest-path fuzz/Cargo.toml

clippy:
	cargo clippy --locked --all-targets -- -D warnings

doc:
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items

dependencies:
	scripts/dependencies.sh

# Known vulnerabilities: needs the network, so it is no part of `make lint`.
advisories:
	scripts/dependencies.sh advisories

# Each target for so many seconds.
fuzz: setup
	fuzz/run.sh $(or $(FOR),60)

# Everything at once for so many seconds: good traffic, attacks, faults, edits, upgrades. With
# UPGRADES=0 one process serves to the end, and may grow by 4 MiB at most after a third of the time.
soak:
	KEYGATE_SOAK_SECONDS=$(or $(FOR),1800) KEYGATE_SOAK_UPGRADES=$(or $(UPGRADES),1) cargo test --locked --test it soak -- --nocapture

bench:
	cargo bench --locked --bench end_to_end --bench micro

# Fails where the decision or a request costs more than 5 % more instructions than the baseline;
# UPDATE_GOLDEN=1 renews it.
bench-instructions: setup
	benches/instructions/count.py

# A store with a million keys, first in force, then revoked: takes some minutes and 2 GB.
bench-scale:
	cargo bench --locked --bench scale

# Keygate against other proxies, which are installed where they are missing: takes about 40 minutes
# on a machine that is otherwise idle.
bench-compare:
	benches/compare/setup.sh
	cargo build --locked --profile dist
	benches/compare/compare.py --full
