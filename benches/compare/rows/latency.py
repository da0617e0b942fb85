"""Latency that a peer adds at a fixed moderate rate: open loop, counted from when each request was due."""

import json

from bench import row
from material import PATH

RATE = 2000


def run(bench):
    peers = {peer.name: peer for peer in bench.peers}

    def measure(name):
        how = {"cert": None, "port": bench.upstream.port} if name == "direct" else {"port": peers[name].port}
        made = json.loads(bench.load("open-loop", path=PATH, rate=RATE, connections=32, milliseconds=bench.options.seconds * 1500, **how))
        return {"p50": made["p50"], "p99": made["p99"]}

    with bench.started(bench.peers):
        made = bench.rounds("latency", ["direct", *peers], measure, shown="p99")
    for one in made:
        direct = one["direct"]
        for name in peers:
            one[name] |= {"added_p50": one[name]["p50"] - direct["p50"], "added_p99": one[name]["p99"] - direct["p99"]}
        del one["direct"]
    return {"latency": row(f"µs of latency added at {RATE:,} requests a second, open loop", made, "added_p50", None)}
