"""The program's size, and the time from its start to its first answer with 10,000 keys."""

import shutil
import subprocess
import time
from pathlib import Path

from asking import Caller
from bench import spread
from processes import Failed


def run(bench):
    figures = {}
    for peer in bench.peers:
        if not peer.checks_keys:
            continue
        times = []
        for _ in range(max(3, bench.options.rounds)):
            peer.start(bench.material, bench.upstream.port, wait=False)
            try:
                times.append(first_answer(peer, bench.material))
            finally:
                peer.stop()
        figures[peer.name] = {"seconds": spread(times), "bytes": stripped_size(peer.program, bench.material.folder)}
        bench.say(f"start: {peer.name} {figures[peer.name]['seconds']['median'] * 1000:.0f} ms, {figures[peer.name]['bytes'] / 1e6:.1f} MB")
    return {"start": {"title": "seconds from the start to the first answer with 10,000 keys", "value": "seconds", "peers": figures}}


def first_answer(peer, material):
    """Seconds since the process was made (not since its configuration was written) until it has answered a request."""
    deadline = peer.process.begun + 30
    while True:
        peer.process.check_alive()
        try:
            if Caller(peer.port, material).status(material.keys[-1]) == 200:
                return time.monotonic() - peer.process.begun
        except OSError:
            pass
        if time.monotonic() > deadline:
            raise Failed(f"{peer.name} did not answer for 30 s")
        time.sleep(0.001)


def stripped_size(program, folder):
    """Bytes of the program without symbols; shared libraries that it needs come on top."""
    copy = folder / "stripped"
    shutil.copy(Path(program).resolve(), copy)
    subprocess.run(["strip", copy], check=True, capture_output=True)
    size = copy.stat().st_size
    copy.unlink()
    return size
