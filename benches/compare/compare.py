#!/usr/bin/env python3
"""Keygate against other proxies that do the same job: CPU time per request and more. See README.md beside this file."""

import argparse
import os
import random
import signal
import sys
import tempfile
from pathlib import Path

import loads
import report
from material import HERE, Material
from asking import check_job
from peers import Keygate, Upstream, all_others, debian
from processes import LOAD_CORE, Failed, Process, raise_file_limit, stop_all

ROOT = HERE.parent.parent


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--keygate", default=os.environ.get("KEYGATE_BIN", ROOT / "target/dist/keygate"), type=Path,
                        help="the program under test (also: KEYGATE_BIN)")
    parser.add_argument("--also", action="append", default=[], metavar="NAME=PATH", help="another build of Keygate in the same rounds")
    parser.add_argument("--only", default="h1,h2,401", help="loads, by comma")
    parser.add_argument("--peers", default="daily", help="`all`, `daily`, `none`, or names by comma")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=int, default=2, help="of one load on one peer in one round")
    parser.add_argument("--generations", type=int, default=1, help="times that all programs are started anew; each has all rounds")
    return parser.parse_args()


def choose_peers(options):
    keygates = [Keygate("keygate", options.keygate)]
    for also in options.also:
        name, _, path = also.partition("=")
        keygates.append(Keygate(name, path))
    for keygate in keygates:
        if not Path(keygate.program).is_file():
            raise Failed(f"there is no {keygate.program}; `cargo build --locked --profile dist` makes it, or name one by --keygate")
    others = all_others(options.keygate)
    wanted = {"all": list(others), "daily": ["keygate-public", "nginx", "haproxy"], "none": []}.get(options.peers, options.peers.split(","))
    unknown = [name for name in wanted if name not in others]
    if unknown:
        raise Failed(f"no peer is called {unknown[0]}; there are {', '.join(others)}")
    return keygates + [others[name]() for name in wanted]


def measure_requests(peers, material, upstream, options):
    """All loads on all peers, in rounds; in each the peers take turns in an order of its own."""
    rounds = {load: [] for load in options.only.split(",")}
    for generation in range(options.generations):
        for peer in peers:
            peer.start(material, upstream.port)
            check_job(peer, material)
        for number in range(-1, options.rounds):
            for load, so_far in rounds.items():
                made = {}
                for peer in random.sample(peers, len(peers)):
                    if load == "401" and not peer.keys or load == "h2" and not peer.http2:
                        continue
                    made[peer.name] = loads.measure(load, peer, material, options.seconds if number >= 0 else 1)
                if number >= 0:
                    so_far.append(made)
                    shown = "  ".join(f"{peer.name} {made[peer.name]['cpu']:.2f}" for peer in peers if peer.name in made)
                    print(f"  round {generation * options.rounds + number + 1}, {load}: {shown}", file=sys.stderr, flush=True)
        for peer in peers:
            peer.stop()
    return rounds


def run(options):
    with tempfile.TemporaryDirectory(prefix="keygate-compare-") as folder:
        os.chmod(folder, 0o755)  # nginx's workers are another user
        material = Material(folder)
        try:
            peers = choose_peers(options)
            upstream = Upstream(debian("nginx"), material)
            names = [peer.name for peer in peers]
            against = "nginx" if "nginx" in names else "keygate"
            for load, made in measure_requests(peers, material, upstream, options).items():
                print(report.text_table(load, report.summarise(made, names, against), against))
        except Exception:
            for process in Process.running:
                print(f"-- the last lines of {process.name}:\n{process.last_words()}", file=sys.stderr)
            raise
        finally:
            stop_all()


def main():
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    raise_file_limit()
    os.sched_setaffinity(0, (LOAD_CORE,))
    try:
        run(options)
    except Failed as failure:
        sys.exit(f"compare: {failure}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
