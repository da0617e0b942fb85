"""A limit of 100 a minute against a schedule aimed at the window's edge: the worst rolling minute, and how many get in at all.

One request opens the window; 99 come just before a fixed window would end, and from right after it on 20 a second, to the end.
"""

import threading
import time

from asking import Caller
from processes import Failed

LIMIT, WINDOW, END = 100, 60.0, 125.0


def schedule():
    first_burst = [58.0 + number * 0.015 for number in range(LIMIT - 1)]
    second_burst = [60.5 + number * 0.01 for number in range(LIMIT)]
    steady = [62.0 + number * 0.05 for number in range(int((END - 62.0) / 0.05))]
    return [0.0, *first_burst, *second_burst, *steady]


def run(bench):
    peers = [peer for peer in bench.peers if peer.checks_keys and peer.limits]
    key, found, threads = bench.material.keys[5], {}, []
    with bench.started(peers, limit=LIMIT):
        bench.say(f"window: {END:.0f} s, all peers at once")
        for peer in peers:
            threads.append(threading.Thread(target=lambda peer=peer: found.update({peer.name: calls(peer, bench.material, key)}), daemon=True))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    missing = [peer.name for peer in peers if peer.name not in found]
    if missing:
        raise Failed(f"the limit of {', '.join(missing)} could not be tried; the reason is above")
    figures = {
        name: {"worst_minute": worst_minute(admitted), "admitted": len(admitted)} for name, admitted in found.items()
    }
    return {"window": {"title": f"admitted in the worst rolling minute, limit {LIMIT} (and in {END:.0f} s)", "value": "worst_minute",
                       "peers": figures}}


def calls(peer, material, key):
    """When each admitted request was sent and answered, in seconds of this process' clock."""
    caller, admitted = Caller(peer.port, material), []
    start = time.monotonic()
    for moment in schedule():
        pause = start + moment - time.monotonic()
        time.sleep(max(0.0, pause))
        if pause > 5:
            # Some peers close what has been silent for long.
            caller = Caller(peer.port, material)
        sent = time.monotonic()
        status = caller.status(key)
        if status == 200:
            admitted.append((sent, time.monotonic()))
        elif status != 429:
            raise Failed(f"{peer.name} answered {status}")
    return admitted


def worst_minute(admitted):
    """The most requests that were certainly admitted within one window: from when the first was sent to when the last was answered."""
    worst = 0
    for first, (sent, _) in enumerate(admitted):
        worst = max(worst, sum(answered - sent < WINDOW for _, answered in admitted[first:]))
    return worst
