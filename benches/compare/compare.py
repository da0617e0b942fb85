#!/usr/bin/env python3
"""Keygate against other proxies that do the same job: CPU time per request and more.

Without options: a few rounds of the three request loads against the Debian packages. With --full: everything, with results to publish.
"""

import argparse
import os
import signal
import sys
import tempfile
from pathlib import Path

import report
from bench import Bench
from material import HERE, Material
from peers import Keygate, Upstream, all_others, built, debian
from processes import LOAD_CORE, Failed, raise_file_limit, stop_all
from rows import bodies, changes, connections, latency, requests, start, window, workers

TARGET = HERE.parent.parent / os.environ.get("CARGO_TARGET_DIR", "target")
REQUESTS = ["h1", "h2", "401"]
ROWS = {
    "workers": workers.run,
    "handshakes": connections.handshakes,
    "idle": connections.idle,
    "bodies": bodies.run,
    "latency": latency.run,
    "reload": changes.reload,
    "revocation": changes.revocation,
    "window": window.run,
    "start": start.run,
}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--full", action="store_true", help="all rows, all peers, enough rounds; writes results/ (about 40 minutes)")
    add("--keygate", type=Path, default=os.environ.get("KEYGATE_BIN", TARGET / "dist/keygate"),
        help="the program under test; also KEYGATE_BIN (default: target/dist/keygate)")
    add("--also", action="append", default=[], metavar="NAME=PATH", help="another build of Keygate, in the same rounds")
    add("--only", help=f"rows by comma: {', '.join([*REQUESTS, *ROWS])} (default: {','.join(REQUESTS)})")
    add("--peers", help="besides Keygate: all, daily (default), none, or names by comma")
    add("--rounds", type=int, help="default 5; 7 with --full")
    add("--seconds", type=int, help="of one load on one peer in one round (default 1; 2 with --full)")
    add("--generations", type=int, help="how often all is started anew for the request loads (default 1; 2 with --full)")
    add("--idle-connections", type=int, default=10_000)
    add("--repeats", type=int, help="of a measurement that starts its program anew (default 1; 3 with --full)")
    add("--edits", type=int, help="revocations; a fifth as many reloads (default 20; 100 with --full)")
    add("--results", type=Path, help="folder for table, plot and JSON (with --full: benches/compare/results)")
    add("--render", action="store_true", help="only make tables and plot anew from the JSON in the folder of results")
    options = parser.parse_args()
    defaults = {
        "only": (",".join(REQUESTS), ",".join([*REQUESTS, *ROWS])), "peers": ("daily", "all"), "rounds": (5, 7), "seconds": (1, 2),
        "generations": (1, 2), "repeats": (1, 3), "edits": (20, 100), "results": (None, HERE / "results"),
    }
    for name, (short, full) in defaults.items():
        if getattr(options, name) is None:
            setattr(options, name, full if options.full else short)
    options.only = options.only.split(",")
    unknown = [row for row in options.only if row not in [*REQUESTS, *ROWS]]
    if unknown:
        parser.error(f"there is no row {unknown[0]}")
    return options


def choose_peers(options):
    keygates = [Keygate("keygate", options.keygate)] + [Keygate(*also.split("=", 1)) for also in options.also]
    for keygate in keygates:
        if not Path(keygate.program).is_file():
            raise Failed(f"there is no {keygate.program}; `cargo build --locked --profile dist` makes it, or name one by --keygate")
    others = all_others(options.keygate)
    wanted = {"all": list(others), "daily": ["keygate-public", "nginx", "haproxy"], "none": []}.get(options.peers, options.peers.split(","))
    unknown = [name for name in wanted if name not in others]
    if unknown:
        raise Failed(f"no peer is called {unknown[0]}; there are {', '.join(others)}")
    return keygates + [others[name]() for name in wanted]


def run(options):
    peers = choose_peers(options)
    options.load = built("load") if set(options.only) & {"handshakes", "idle", "bodies", "latency", "reload"} else None
    with tempfile.TemporaryDirectory(prefix="keygate-compare-") as folder:
        os.chmod(folder, 0o755)  # nginx's workers are another user
        material = Material(folder)
        try:
            bench = Bench(options, material, Upstream(debian("nginx"), material), peers)
            rows = {}
            measures = [(row, ROWS[row]) for row in options.only if row in ROWS]
            loads = [row for row in options.only if row in REQUESTS]
            if loads:
                measures.insert(0, ("requests", lambda bench: requests.run(bench, loads)))
            for _, measure in measures:
                made = measure(bench)
                rows |= made
                print(report.text(made), flush=True)
            print(report.goals_text(rows, bench), flush=True)
            if options.results:
                report.write(options.results, rows, bench)
        finally:
            stop_all()


def main():
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    raise_file_limit()
    os.sched_setaffinity(0, (LOAD_CORE,))
    try:
        if options.render:
            report.render(options.results or HERE / "results")
        else:
            run(options)
    except Failed as failure:
        sys.exit(f"compare: {failure}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
