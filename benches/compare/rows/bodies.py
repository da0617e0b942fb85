"""Big bodies: 1 MiB answers and 64 MiB uploads by CPU time, and whether memory stays flat meanwhile."""

import json
import socket
import time

from bench import row
from material import PATH
from processes import LOAD_CORE, Process, free_port, wait_for


def run(bench):
    port = free_port()
    upstream = Process("upstream for big bodies", [bench.options.load, "upstream", f"port={port}"],
                       bench.material.folder / "bodies.log", (LOAD_CORE,))
    wait_for("the upstream for big bodies", lambda: upstream.check_alive() or is_listening(port))
    peers = {peer.name: peer for peer in bench.peers if peer.name != "keygate-public"}
    rows = {}
    try:
        for kind, total, connections, what in (("download", 1500, 8, "1 MiB answers"), ("upload", 16, 4, "64 MiB uploads")):
            started = {}

            def measure(name):
                process = peers[name].process
                before = process.cpu_nanoseconds()
                made = json.loads(bench.load("transfer", port=peers[name].port, path=f"{PATH}/big", kind=kind, total=total,
                                             connections=connections))
                time.sleep(0.05)
                spent = (process.cpu_nanoseconds() - before) / 1e9
                return {"mib_per_cpu_second": made["bytes"] / 2**20 / spent, "mib_per_second": made["bytes"] / 2**20 / made["seconds"],
                        "grown_mib": (process.memory("VmHWM") - started[name]) / 2**20}

            with bench.started(list(peers.values()), upstream=port, checked=False):
                started.update((name, peer.process.memory("VmRSS")) for name, peer in peers.items())
                made = bench.rounds(kind, list(peers), measure, rounds=bench.options.rounds, shown="mib_per_cpu_second")
            rows[kind] = row(f"{what}: MiB per CPU second", made, "mib_per_cpu_second", bench.against)
    finally:
        upstream.stop()
    return rows


def is_listening(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
