"""How fast a saved edit is in force: a changed key in a file of 100,000 under load, and a revocation among 10,000."""

import copy
import hashlib
import os
import subprocess
import time

from asking import Caller
from bench import spread
from material import PATH, Material, new_keys
from processes import LOAD_CORE, Failed

RATE = 2000


def quantile(values, share):
    values = sorted(values)
    return values[int((len(values) - 1) * share)]


def save(path, text, in_place=False):
    """As editors do it: a new file that takes the old one's place, or the old one written over. Returns the moment when it is done."""
    if in_place:
        path.write_text(text)
    else:
        other = path.with_suffix(".new")
        other.write_text(text)
        os.replace(other, path)
    return time.time()


def until(caller, key, status):
    """The moment when the answer to a key changes to `status`."""
    deadline = time.time() + 20
    while caller.status(key) != status:
        if time.time() > deadline:
            raise Failed(f"an edit was not in force after 20 s: no {status}")
        time.sleep(0.0005)
    return time.time()


def reload(bench):
    """Seconds until one changed key of 100,000 is in force, and what requests notice of it."""
    folder = bench.material.folder / "many"
    folder.mkdir()
    many, figures = Material(folder, 100_000), {}
    for peer in bench.keygates():
        peer = copy.copy(peer)
        try:
            peer.start(many, bench.upstream.port)
            figures[peer.name] = edits_under_load(bench, peer, many)
        finally:
            peer.stop()
        bench.say(f"reload: {peer.name} {figures[peer.name]['seconds']['median'] * 1000:.0f} ms")
    return {"reload": {"title": "seconds until an edit of a 100,000-key file is in force, under load", "value": "seconds", "peers": figures}}


def edits_under_load(bench, peer, many):
    count, quiet, pause = bench.options.edits // 5, 3.0, 1.0
    series, text = many.folder / "series.txt", peer.file.read_text()
    load = subprocess.Popen(
        [str(bench.options.load), "open-loop", f"port={peer.port}", f"path={PATH}", f"rate={RATE}", "connections=32", f"cert={many.cert}",
         f"keys={many.folder / 'keys.txt'}",
         f"milliseconds={int((quiet + count * (pause + 0.6)) * 1000)}", f"series={series}"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=lambda: os.sched_setaffinity(0, (LOAD_CORE,)),
    )
    caller, times = Caller(peer.port, many), []
    try:
        time.sleep(quiet)
        for number in range(count):
            old, new = many.keys[-1 - number], new_keys(1)[0]
            digests = [hashlib.sha256(key.encode()).hexdigest() for key in (old, new)]
            # The load uses all keys, so the old one stays valid beside the new one.
            text = text.replace(f'"{digests[0]}"', f'["{digests[0]}", "{digests[1]}"]')
            saved = save(peer.file, text)
            times.append((saved, until(caller, new, 200)))
            time.sleep(pause)
        output, _ = load.communicate(timeout=60)
        if load.returncode:
            raise Failed(f"the load during the reload failed: {output.decode()[-800:]}")
    finally:
        load.kill()
        load.wait()
    during, apart = [], []
    for line in series.read_text().splitlines():
        due, latency = (int(word) / 1e6 for word in line.split())
        within = any(saved <= due <= done for saved, done in times)
        near = any(saved - 0.1 <= due <= done + 0.3 for saved, done in times)
        if within:
            during.append(latency)
        elif not near:
            apart.append(latency)
    return {
        "seconds": spread([done - saved for saved, done in times]),
        "p99_before_ms": quantile(apart, 0.99) * 1000, "p99_during_ms": quantile(during, 0.99) * 1000,
        "worst_during_ms": max(during) * 1000, "edits": len(times),
    }


def revocation(bench):
    """Seconds from saving a revocation to the first 401, in a file of 10,000 keys."""
    figures = {}
    for peer in bench.keygates():
        with bench.started([peer]):
            text, caller, times = peer.file.read_text(), Caller(peer.port, bench.material), []
            for number in range(bench.options.edits):
                key = bench.material.keys[number]
                if caller.status(key) != 200:
                    raise Failed(f"{peer.name}: a key did not work before it was revoked")
                ids = ", ".join(f'"key_{revoked}"' for revoked in range(number + 1))
                saved = save(peer.file, f"{text}\n[revoked]\nkeys = [{ids}]\n", in_place=number % 2 == 1)
                times.append(until(caller, key, 401) - saved)
                time.sleep(0.05)
        figures[peer.name] = {"p50": quantile(times, 0.5), "p99": quantile(times, 0.99), "worst": max(times), "edits": len(times)}
        bench.say(f"revocation: {peer.name} p99 {figures[peer.name]['p99'] * 1000:.1f} ms")
    return {"revocation": {"title": "seconds from saving a revocation to the first 401, 10,000 keys (p99)", "value": "p99", "peers": figures}}
