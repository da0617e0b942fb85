"""What connections cost: full TLS handshakes, and memory while nothing happens."""

import json
import os
import subprocess
import time

from bench import row, spread
from material import PATH
from processes import LOAD_CORE, Failed


def handshakes(bench):
    """Full handshakes per second of CPU time; each is followed by one request that is refused."""
    peers = {peer.name: peer for peer in bench.peers if peer.checks_keys}

    def measure(name):
        peer = peers[name]
        before = peer.process.cpu_nanoseconds()
        made = json.loads(bench.load("handshakes", port=peer.port, path=PATH, connections=16, milliseconds=bench.options.seconds * 1000))
        time.sleep(0.05)
        return {"per_cpu_second": made["handshakes"] / ((peer.process.cpu_nanoseconds() - before) / 1e9)}

    with bench.started(list(peers.values())):
        made = bench.rounds("handshakes", list(peers), measure, shown="per_cpu_second")
    return {"handshakes": row("full TLS handshakes per CPU second", made, "per_cpu_second", bench.against)}


def idle(bench):
    """Bytes of user-space memory for each connection that has served a request and is idle."""
    count, figures = bench.options.idle_connections, {}
    for peer in bench.peers:
        # The relay would need a connection to the upstream for each one.
        if not peer.checks_keys:
            continue
        made = []
        for _ in range(bench.options.repeats):
            with bench.started([peer]):
                made.append(one_idle(bench, peer, count))
        figures[peer.name] = {"bytes": spread(made)}
        bench.say(f"idle: {peer.name} {figures[peer.name]['bytes']['median']:.0f} bytes")
    return {"idle": {"title": f"bytes of memory for each of {count:,} idle TLS connections that have served a request",
                     "value": "bytes", "peers": figures}}


def one_idle(bench, peer, count):
    fields = ("RssAnon", "RssShmem")
    before = peer.process.memory(*fields)
    client = subprocess.Popen(
        [bench.options.load, "idle", f"port={peer.port}", f"path={PATH}", f"count={count}", f"cert={bench.material.cert}",
         f"keys={bench.material.folder / 'keys.txt'}"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=lambda: os.sched_setaffinity(0, (LOAD_CORE,)),
    )
    try:
        if not client.stdout.readline():
            raise Failed(f"{peer.name}: {count} idle connections could not be opened")
        time.sleep(1)  # for what a peer frees a moment after an answer
        grown = peer.process.memory(*fields) - before
        client.stdin.close()
        still = json.loads(client.stdout.readline())["still_open"]
        if still != count:
            raise Failed(f"{peer.name}: only {still} of {count} idle connections stayed open")
    finally:
        client.kill()
        client.wait()
    return grown / count
