"""The request loads, each made by a program of its own on the load's core: wrk for HTTP/1.1, h2load for HTTP/2."""

import json
import os
import re
import secrets
import subprocess
import time

from material import HERE, PATH
from processes import LOAD_CORE, Failed

LABELS = {
    "h1": "HTTP/1.1 over TLS, 32 connections",
    "h2": "HTTP/2 over TLS, 8 connections x 16 streams",
    "401": "refused with 401, HTTP/1.1 over TLS, 32 connections",
}


def measure(load, peer, material, seconds):
    """One round: microseconds of the peer's CPU per answer, answers per second, latencies in microseconds where they are known."""
    before = peer.process.cpu_nanoseconds()
    made = http2(peer, material, seconds) if load == "h2" else http1(load, peer, material, seconds)
    time.sleep(0.05)  # for what the load leaves behind: closing connections
    peer.process.check_alive()
    made["cpu"] = (peer.process.cpu_nanoseconds() - before) / 1000 / made["answers"]
    return made


def run(command):
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=False,
        preexec_fn=lambda: os.sched_setaffinity(0, (LOAD_CORE,)),
    )
    if done.returncode:
        raise Failed(f"{command[0]} failed: {done.stdout}{done.stderr}")
    return done.stdout


def http1(load, peer, material, seconds):
    keys = material.folder / ("unknown.txt" if load == "401" else "keys.txt")
    text = run(["wrk", "-t1", "-c32", f"-d{seconds}s", "-s", HERE / "wrk.lua", f"https://localhost:{peer.port}{PATH}", "--", keys])
    result = json.loads(text.split("RESULT ")[1])
    expected = result["answers"] if load == "401" else 0
    if result["refused"] != expected or result["broken"] or not result["answers"]:
        raise Failed(f"{peer.name}, {load}: answers that were not expected: {result}")
    return {"answers": result["answers"], "rate": result["answers"] / result["microseconds"] * 1e6,
            "p50": result["p50"], "p99": result["p99"]}


def http2(peer, material, seconds):
    # h2load sends the same header fields in all requests of a run, so the key changes from round to round.
    key = secrets.choice(material.keys)
    text = run(["h2load", "-t1", "-c8", "-m16", "-D", seconds, "-H", f"authorization: Bearer {key}", "-H", "accept: application/json",
                f"https://localhost:{peer.port}{PATH}"])
    done = re.search(r"(\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored", text)
    only_good = re.search(r"status codes: \d+ 2xx, 0 3xx, 0 4xx, 0 5xx", text)
    rate = re.search(r"finished in [\d.]+m?s, ([\d.]+) req/s", text)
    if "Application protocol: h2" not in text or not done or not only_good or int(done.group(1)) == 0:
        raise Failed(f"{peer.name}, h2: answers that were not expected:\n{text[-1500:]}")
    return {"answers": int(done.group(1)), "rate": float(rate.group(1))}
