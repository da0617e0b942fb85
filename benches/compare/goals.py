"""What Keygate must reach in each row, what it aims at, and what it reached."""

from dataclasses import dataclass
from statistics import median


@dataclass
class Goal:
    what: str
    figure: float
    must: float | None
    aim: float | None
    unit: str = "×"
    at_least: bool = False

    def state(self):
        met = lambda bound: self.figure >= bound if self.at_least else self.figure <= bound
        if self.aim is not None and met(self.aim):
            return "aim met"
        if self.must is None:
            return "aim missed"
        return "must met" if met(self.must) else "MISSED"

    def shown(self, value):
        if value is None:
            return "–"
        digits = {"×": 3, "%": 1, "ms": 1, "µs": 1, "MB": 1, "MiB": 1, "kB": 1}.get(self.unit, 0)
        return f"{value:,.{digits}f} {self.unit}".strip()

    def bound(self, value):
        return "–" if value is None else f"{'≥' if self.at_least else '≤'} {self.shown(value)}"


def goals(rows, builds, name="keygate"):
    """Those whose rows were measured; `builds` are the names of all that is Keygate."""
    # The relay does not do the job, so it is nobody's rival.
    return list(find(rows, name, {*builds, "relay"}))


def find(rows, name, no_rivals):
    def peers(row):
        found = rows.get(row, {}).get("peers", {})
        return found if name in found else {}

    def ratio(row, against):
        """The median of the ratios within each round."""
        key = rows[row]["value"]
        return median(one[name][key] / one[against][key] for one in rows[row]["rounds"])

    def rivals(row):
        return [peer for peer in peers(row) if peer not in no_rivals]

    if "nginx" in peers("h1"):
        yield Goal("HTTP/1.1, CPU per request against nginx", ratio("h1", "nginx"), 0.80, 0.65)
    if "relay" in peers("h1"):
        yield Goal("HTTP/1.1, CPU per request against the TLS relay", ratio("h1", "relay"), None, 1.0)
    if rivals("h2"):
        best = min(rivals("h2"), key=lambda peer: rows["h2"]["peers"][peer]["cpu"]["median"])
        yield Goal(f"HTTP/2, CPU per request against the best, {best}", ratio("h2", best), 1.0, 0.8)
    if "nginx" in peers("401"):
        yield Goal("refused with 401, CPU per request against nginx", ratio("401", "nginx"), 0.9, 0.65)
    if "keygate-public" in peers("h1"):
        yield Goal("what keys, scopes and limits cost, HTTP/1.1", (ratio("h1", "keygate-public") - 1) * 100, 8, 4, "%")
    two = f"{name}-2-workers"
    if two in rows.get("workers", {}).get("peers", {}):
        yield Goal("2 workers, CPU per request against 1", rows["workers"]["peers"][two]["ratio"]["median"], 1.08, 1.03)
    for row, what, must, aim in (("handshakes", "full TLS handshakes per CPU second against nginx", 1.0, 1.3),
                                 ("download", "1 MiB answers per CPU second against nginx", 1.0, 1.2),
                                 ("upload", "64 MiB uploads per CPU second against nginx", 1.0, 1.2)):
        if "nginx" in peers(row):
            yield Goal(what, ratio(row, "nginx"), must, aim, at_least=True)
    if peers("upload"):
        # Flat: several bodies of 64 MiB at once leave less than one of them behind.
        yield Goal("memory grown by 64 MiB uploads, at its peak", peers("upload")[name]["grown_mib"]["most"], 16, None, "MiB")
    if peers("idle"):
        yield Goal("memory of an idle TLS connection", peers("idle")[name]["bytes"]["median"] / 1000, 17, 8, "kB")
    if rivals("latency"):
        for key, what in (("added_p50", "p50"), ("added_p99", "p99")):
            others = [peers("latency")[peer][key] for peer in rivals("latency")]
            best = min(others, key=lambda figure: figure["median"])
            yield Goal(f"latency added, {what}, against the best peer's", peers("latency")[name][key]["median"], best["most"],
                       best["median"], "µs")
    if peers("reload"):
        figure = peers("reload")[name]
        yield Goal("edit of 100,000 keys in force", figure["seconds"]["median"] * 1000, 800, 250, "ms")
        yield Goal("p99 meanwhile, above before", figure["p99_during_ms"] - figure["p99_before_ms"], 10, None, "ms")
    if peers("revocation"):
        yield Goal("saved revocation to first 401, p99", peers("revocation")[name]["p99"] * 1000, 75, 30, "ms")
    if peers("window"):
        yield Goal("worst rolling minute, limit 100", peers("window")[name]["worst_minute"], 100, 100, "")
        yield Goal("admitted in 125 s, limit 100", peers("window")[name]["admitted"], 200, 200, "", at_least=True)
    if peers("start"):
        yield Goal("program, stripped", peers("start")[name]["bytes"] / 1e6, 20, 10, "MB")
        yield Goal("start to first answer, 10,000 keys", peers("start")[name]["seconds"]["median"] * 1000, 150, 60, "ms")
