"""CPU time per answered request: the request loads, each made by a program of its own on the load's core, wrk or h2load."""

import json
import re
import secrets
import time

from bench import row
from material import HERE, PATH
from processes import Failed, run_on_load_core

TITLES = {
    "h1": "HTTP/1.1 over TLS, 32 connections",
    "h2": "HTTP/2 over TLS, 8 connections × 16 streams",
    "401": "refused with 401 (HTTP/1.1 over TLS, 32 connections)",
}


def run(bench, loads):
    """All of `loads` on all peers. The programs are started anew in each generation, because some luck of theirs lasts from their
    start to their end (where their memory lies)."""
    made = {load: [] for load in loads}
    for _ in range(bench.options.generations):
        with bench.started(bench.peers):
            for load in loads:
                peers = {peer.name: peer for peer in bench.peers if (load != "h2" or peer.http2) and (load != "401" or peer.checks_keys)}
                seconds = bench.options.seconds
                made[load] += bench.rounds(load, list(peers), lambda name: measure(load, peers[name], bench.material, seconds))
    return {load: row(f"µs of CPU per request: {TITLES[load]}", made[load], "cpu", bench.against) for load in loads}


def measure(load, peer, material, seconds):
    """Microseconds of the peer's CPU per answer, answers per second, and latencies in microseconds."""
    before = peer.process.cpu_nanoseconds()
    made = http2(peer, material, seconds) if load == "h2" else http1(load, peer, material, seconds)
    time.sleep(0.05)  # for what the load leaves behind: closing connections
    peer.process.check_alive()
    return {"cpu": (peer.process.cpu_nanoseconds() - before) / 1000 / made.pop("answers"), **made}


def http1(load, peer, material, seconds):
    keys = material.folder / ("unknown.txt" if load == "401" else "keys.txt")
    text = run_on_load_core(
        ["wrk", "-t1", "-c32", f"-d{seconds}s", "-s", HERE / "wrk.lua", f"https://localhost:{peer.port}{PATH}", "--", keys]
    )
    result = json.loads(text.split("RESULT ")[1])
    expected = result["answers"] if load == "401" else 0
    if result["refused"] != expected or result["broken"] or not result["answers"]:
        raise Failed(f"{peer.name}, {load}: answers that were not expected: {result}")
    return {"answers": result["answers"], "rate": result["answers"] / result["microseconds"] * 1e6,
            "p50": result["p50"], "p99": result["p99"]}


def http2(peer, material, seconds):
    # h2load sends the same header fields in all requests of a run, so the key changes from round to round.
    key = secrets.choice(material.keys)
    log = material.folder / "h2load.log"
    log.unlink(missing_ok=True)
    text = run_on_load_core(
        ["h2load", "-t1", "-c8", "-m16", "-D", seconds, "--log-file", log, "-H", f"authorization: Bearer {key}",
         "-H", "accept: application/json", f"https://localhost:{peer.port}{PATH}"]
    )
    done = re.search(r"(\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored", text)
    rate = re.search(r"finished in [\d.]+m?s, ([\d.]+) req/s", text)
    only_good = re.search(r"status codes: \d+ 2xx, 0 3xx, 0 4xx, 0 5xx", text)
    if "Application protocol: h2" not in text or not done or not only_good or int(done.group(1)) == 0:
        raise Failed(f"{peer.name}, h2: answers that were not expected:\n{text[-1500:]}")
    latencies = sorted(int(line.split("\t")[2]) for line in log.read_text().splitlines())
    return {"answers": int(done.group(1)), "rate": float(rate.group(1)),
            "p50": latencies[len(latencies) // 2], "p99": latencies[len(latencies) * 99 // 100]}
