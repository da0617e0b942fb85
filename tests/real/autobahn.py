"""The Autobahn test suite against a WebSocket server, directly and through Keygate: both must behave in the same way, case by case.

    autobahn.py PYTHON2 PACKAGES DIRECT GATED [CASES]

PYTHON2 is a Python 2.7, PACKAGES the folder with the suite, DIRECT and GATED are the two URLs. CASES are all of
them by `*`, or some, such as `9.*,12.1.*`; without it those that measure speed (9, 12, 13) are left out.

What a case comes to may depend on which of two things the server does first, so a case in which the two differ is run again: they are alike
if one of the two does what the other one has done, too.
"""

import json
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from pathlib import Path

SLOW = ["9.*", "12.*", "13.*"]
AGAIN = 6
# What a client can see of how a case went, but for times, and for sizes that the handshake is part of.
SEEN = [
    "behavior", "behaviorClose", "result", "resultClose", "received", "remoteCloseCode", "remoteCloseReason", "wasClean", "failedByMe",
    "closedByMe", "droppedByMe", "wasCloseHandshakeTimeout", "wasOpenHandshakeTimeout", "wasServerConnectionDropTimeout", "wasNotCleanReason",
]  # fmt: skip
START = "import site, sys; site.addsitedir(sys.argv.pop(1)); from autobahntestsuite.wstest import run; run()"


def main(python, packages, direct, gated, chosen=None):
    suite = Suite(python, packages, {"direct": direct, "gated": gated})
    first = suite.run(chosen.split(",") if chosen else ["*"], [] if chosen else SLOW)
    seen = {agent: defaultdict(set) for agent in first}
    for agent, cases in first.items():
        for case, outcome in cases.items():
            seen[agent][case].add(outcome)
    if seen["direct"].keys() != seen["gated"].keys():
        sys.exit(f"other cases have run: {sorted(seen['direct'].keys() ^ seen['gated'].keys())}")

    differ = [case for case in seen["direct"] if not seen["direct"][case] & seen["gated"][case]]
    for _ in range(AGAIN):
        again = [case for case in differ if not seen["direct"][case] & seen["gated"][case]]
        if not again:
            break
        for agent, cases in suite.run(again, []).items():
            for case, outcome in cases.items():
                seen[agent][case].add(outcome)
    wrong = [case for case in differ if not seen["direct"][case] & seen["gated"][case]]
    for case in wrong:
        for agent, cases in seen.items():
            print(f"FAILED  case {case} {agent}: {sorted(cases[case])}")
    count = Counter(json.loads(outcome)["behavior"] for outcome in first["gated"].values())
    if wrong or (chosen is None and len(seen["direct"]) < 240):
        sys.exit(f"{len(wrong)} of {len(seen['direct'])} cases go otherwise through Keygate")
    print(f"ok      {len(seen['direct'])} cases go the same way: {dict(count)}; {len(differ)} were run again: {differ}")


class Suite:
    def __init__(self, python, packages, servers):
        self.python, self.packages, self.servers = python, packages, servers

    def run(self, cases, excluded):
        """Runs cases against all servers at a time. What each case came to, by server."""
        with tempfile.TemporaryDirectory() as folder:
            running = {agent: self.start(Path(folder), agent, url, cases, excluded) for agent, url in self.servers.items()}
            return {agent: self.outcomes(Path(folder), agent, process) for agent, process in running.items()}

    def start(self, folder, agent, url, cases, excluded):
        spec = {
            "outdir": str(folder / agent),
            "servers": [{"agent": agent, "url": url}],
            "cases": cases,
            "exclude-cases": excluded,
            "exclude-agent-cases": {},
        }
        file = folder / f"{agent}.json"
        file.write_text(json.dumps(spec))
        command = [self.python, "-c", START, self.packages, "-m", "fuzzingclient", "-s", str(file)]
        output = (folder / f"{agent}.out").open("wb")
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd=folder)

    def outcomes(self, folder, agent, process):
        process.wait()
        index = folder / agent / "index.json"
        if process.returncode or not index.exists():
            sys.exit(f"the suite failed with {process.returncode}:\n{(folder / f'{agent}.out').read_text()[-4000:]}")
        reports = json.loads(index.read_text()).get(agent)
        if not reports:
            sys.exit(f"nothing answers at {self.servers[agent]}:\n{(folder / f'{agent}.out').read_text()[-4000:]}")
        return {case: outcome(folder / agent / report["reportfile"]) for case, report in reports.items()}


def outcome(file):
    report = json.loads(file.read_text())
    return json.dumps({name: report[name] for name in SEEN}, sort_keys=True)


main(*sys.argv[1:])
