#!/usr/bin/env python3
"""Counts the instructions of the decision and of requests, and fails where they have grown.

`make bench-instructions`; with `UPDATE_GOLDEN=1` the figures become the new baseline. Instructions hardly depend on how busy the machine
is, so a growth of a few per cent can be told from noise, as it could not with time. README.md says what is counted.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from clients import Http1, Http2
from gateway import Gateway, total

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BASELINE = HERE / "baseline.json"
PROFILES = ROOT / "target" / "instructions"

MOST = 1.05  # times the baseline
CALLS = 1_000  # of a part of the decision
BATCHES, REQUESTS, WARM_UP = 5, 200, 100
KEY = "bench_" + "k" * 38


def build():
    """The program that makes single calls, and the gateway: where they are."""
    command = ["cargo", "bench", "--locked", "--no-run", "--bench", "instructions", "--message-format=json-render-diagnostics"]
    built = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    messages = (json.loads(line) for line in built.splitlines())
    programs = {message["target"]["name"]: message["executable"] for message in messages if message.get("executable")}
    return programs["instructions"], programs["keygate"]


def count_parts(program):
    """Instructions of one call of each part of the decision: the difference of two runs, whose start is the same."""

    def per_call(part):
        counted = []
        for calls in (CALLS, 2 * CALLS):
            profile = PROFILES / part
            command = ["valgrind", "-q", "--tool=callgrind", f"--callgrind-out-file={profile}", program, part, str(calls)]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            counted.append(total(profile))
        return round((counted[1] - counted[0]) / CALLS)

    # Processors have instructions for SHA-256, valgrind has not: ours would vanish in what it does instead.
    digest = per_call("digest")
    figures = {part: per_call(part) - digest for part in ("authorise", "authorise_unknown_key")}
    figures["charge"] = per_call("charge") - digest - figures["authorise"]
    return figures | {part: per_call(part) for part in ("prepare_request", "prepare_response", "refuse")}


def count_requests(program):
    """Instructions of the gateway for one request of each kind: the least of some batches."""
    folder = PROFILES / "gateway"
    folder.mkdir()
    figures = {}
    gateway = Gateway(program, folder, [hashlib.sha256(f"{KEY}{number}".encode()).hexdigest() for number in range(100)])
    try:
        idle = gateway.count(lambda: time.sleep(1))
        for name, client, key, expected in (
            ("http1_request", Http1, KEY + "50", 200),
            ("http1_request_401", Http1, KEY + "unknown", 401),
            ("http2_request", Http2, KEY + "50", 200),
        ):
            connection = client(gateway.port, gateway.cert, key)

            def ask(times, connection=connection, expected=expected):
                for _ in range(times):
                    status = connection.status()
                    if status != expected:
                        raise RuntimeError(f"{name}: the answer was {status} instead of {expected}")

            ask(WARM_UP)
            batches = [gateway.count(lambda: ask(REQUESTS)) for _ in range(BATCHES)]
            # What the worker does anyway, ten times a second, is no part of a request. What else happens beside can only add.
            each = [(batch.instructions - idle.instructions / idle.seconds * batch.seconds) / REQUESTS for batch in batches]
            figures[name] = round(min(each))
            print(f"{name}: {BATCHES} batches of {REQUESTS}, from {min(each):,.0f} to {max(each):,.0f} instructions a request")
            shutil.copy(batches[-1].profile, PROFILES / name)
    finally:
        gateway.stop()
    return figures


def tools():
    """What besides Keygate's own source decides about the figures."""
    said = [subprocess.run([tool, "--version"], check=True, capture_output=True, text=True).stdout for tool in ("rustc", "valgrind")]
    return [text.split("(")[0].strip() for text in said]


def compare(figures, baseline):
    """Prints each figure beside the baseline's; returns what is wrong: those that have grown too much or are in one of both only."""
    wrong = [f"{name}: in the baseline, but not counted any more" for name in baseline.keys() - figures.keys()]
    for name, now in figures.items():
        if name not in baseline:
            wrong.append(f"{name}: {now:,} instructions, not in the baseline")
            continue
        before = baseline[name]
        change = f"{now / before - 1:+.1%}"
        hint = "   renew the baseline to keep this" if now < before / MOST else ""
        print(f"{name:24}{before:>10,} → {now:>10,}   {change}{hint}")
        if now > before * MOST:
            wrong.append(f"{name}: from {before:,} to {now:,} instructions ({change})")
    sys.stdout.flush()
    return wrong


def explain(wrong, before):
    """What is wrong, how to look further, and what to do about it."""
    listed = "\n  ".join(wrong)
    return f"""
More than {MOST - 1:.0%} above {BASELINE.relative_to(ROOT)}, or not to be compared with it:
  {listed}
Where it is: `callgrind_annotate {PROFILES.relative_to(ROOT)}/NAME`, here and on the commit before
(with lines of the source: CARGO_PROFILE_BENCH_DEBUG=line-tables-only make bench-instructions).
The baseline was made with {" and ".join(before)}; this is {" and ".join(tools())}.
Another compiler or dependency may be the reason, too. If it is, or the growth is worth it, say so in the commit and renew:
  UPDATE_GOLDEN=1 make bench-instructions"""


def main():
    shutil.rmtree(PROFILES, ignore_errors=True)
    PROFILES.mkdir(parents=True)
    decision, gateway = build()
    figures = count_parts(decision) | count_requests(gateway)
    if os.environ.get("UPDATE_GOLDEN"):
        BASELINE.write_text(json.dumps({"tools": tools(), "instructions": figures}, indent=2) + "\n")
    baseline = json.loads(BASELINE.read_text())
    if wrong := compare(figures, baseline["instructions"]):
        sys.exit(explain(wrong, baseline["tools"]))


if __name__ == "__main__":
    main()
