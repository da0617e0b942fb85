"""What every row of the comparison works with: the options, the keys, the upstream, the peers, and rounds in which they take turns."""

import random
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median

from asking import check_job
from processes import run_on_load_core


@dataclass
class Bench:
    options: object
    material: object
    upstream: object
    peers: list

    def say(self, text):
        print(f"  {text}", file=sys.stderr, flush=True)

    @contextmanager
    def started(self, peers, upstream=None, checked=True, **how):
        """All these peers, running and known to do the job; `how` is as for `Peer.start`."""
        try:
            for peer in peers:
                peer.start(self.material, upstream or self.upstream.port, **how)
                if checked:
                    check_job(peer, self.material)
            yield
        except Exception:
            for process in [peer.process for peer in peers if peer.process] + [self.upstream.process]:
                if process.last_words():
                    print(f"-- the last lines of {process.name}:\n{process.last_words()}", file=sys.stderr)
            raise
        finally:
            for peer in peers:
                peer.stop()

    def rounds(self, label, names, measure, rounds=None, shown="cpu"):
        """A list of {name: measurement}: in each round all take their turn, in an order of the round's own. A first round, to warm up,
        is thrown away."""
        made = []
        for number in range(-1, rounds or self.options.rounds):
            one = {name: measure(name) for name in random.sample(names, len(names))}
            if number >= 0:
                made.append({name: one[name] for name in names})
                self.say(f"{label}, round {number + 1}: " + "  ".join(f"{name} {one[name][shown]:.4g}" for name in names))
        return made

    def load(self, *words, **values):
        """Runs this folder's load program; what its options are called is told by `load/src`."""
        values = {"keys": self.material.folder / "keys.txt", "cert": self.material.cert, **values}
        named = [f"{name}={value}" for name, value in values.items() if value is not None]
        return run_on_load_core([self.options.load, *words, *named])

    def named(self, *names):
        return [peer for peer in self.peers if peer.name in names]

    def builds(self):
        """All that is Keygate, the one with a public endpoint too."""
        return [peer for peer in self.peers if peer.is_keygate]

    def keygates(self):
        return [peer for peer in self.builds() if peer.checks_keys]

    @property
    def against(self):
        return "nginx" if self.named("nginx") else self.peers[0].name


def spread(values):
    """Median, least and most."""
    return {"median": median(values), "least": min(values), "most": max(values)}


def row(title, rounds, value, against):
    """A row of the results: the rounds as they were, and what they come to for each peer."""
    return {"title": title, "value": value, "peers": summarise(rounds, against, value), "rounds": rounds}


def summarise(rounds, against, key):
    """By name: every measured value's spread, and as `ratio` the spread of the ratios of `key` within each round, which the machine's
    mood touches less than the values."""
    figures = {}
    for name in rounds[0]:
        figures[name] = {value: spread([one[name][value] for one in rounds]) for value in rounds[0][name]}
        if against in rounds[0]:
            figures[name]["ratio"] = spread([one[name][key] / one[against][key] for one in rounds])
    return figures
