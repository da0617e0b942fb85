"""Two workers against one: what they do to each other shows as CPU time per request."""

import copy

from bench import summarise
from rows import requests


def run(bench):
    peers = {}
    for peer in [*bench.keygates(), *bench.named("nginx")]:
        for workers in (1, 2):
            one = copy.copy(peer)
            one.name = f"{peer.name}-{workers}-worker{'s' * (workers - 1)}"
            peers[one.name] = (one, workers)
    made = []
    for _ in range(bench.options.generations):
        for one, workers in peers.values():
            one.start(bench.material, bench.upstream.port, workers=workers)
        measure = lambda name: requests.measure("h1", peers[name][0], bench.material, bench.options.seconds)
        made += bench.rounds("workers", list(peers), measure)
        for one, _ in peers.values():
            one.stop()
    figures = {}
    for name in [name for name in peers if name.endswith("2-workers")]:
        single = name.replace("2-workers", "1-worker")
        figures.update(summarise([{key: one[key] for key in (single, name)} for one in made], single, "cpu"))
    return {"workers": {
        "title": "µs of CPU per request with one and two workers, which share the proxies' core", "value": "cpu", "peers": figures,
    }}
