"""What is printed while the comparison runs, and the files that it leaves: JSON, tables, plot and the README's section."""

import json
import os
import platform
import re
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

import plot
import tables
from goals import goals
from material import HERE
from peers import run_text

README = HERE.parent.parent / "README.md"
BEGIN, END = "<!-- comparison: begin -->", "<!-- comparison: end -->"


def text(rows):
    """One block a row: a line for each peer, the median with least and most."""
    lines = []
    for row in rows.values():
        columns = list(dict.fromkeys(column for peer in row["peers"].values() for column in peer))
        lines += ["", row["title"], " " * 24 + "".join(f"{column:>28}" for column in columns)]
        for name, peer in row["peers"].items():
            lines.append(f"  {name:22}" + "".join(f"{tables.with_spread(peer.get(column)):>28}" for column in columns))
    return "\n".join(lines)


def goals_text(rows, bench):
    lines, builds = [], [build.name for build in bench.builds()]
    for name in [keygate.name for keygate in bench.keygates()]:
        made = goals(rows, builds, name)
        lines += ["", f"{name} against its goals"] if made else []
        for goal in made:
            lines.append(f"  {goal.what:56}{goal.shown(goal.figure):>12}   must {goal.bound(goal.must):>12}   "
                         f"aim {goal.bound(goal.aim):>12}   {goal.state()}")
    return "\n".join(lines)


def write(folder, rows, bench):
    builds = [build.name for build in bench.builds()]
    results = {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "command": "make bench-compare" if sys.argv[1:] == ["--full"] else "benches/compare/compare.py " + " ".join(sys.argv[1:]),
        "machine": machine(),
        "versions": {peer.name: peer.version() for peer in bench.peers} | tools(),
        "does_less": {peer.name: peer.less for peer in bench.peers if peer.less},
        "builds": builds,
        "goals": [vars(goal) | {"state": goal.state()} for goal in goals(rows, builds)],
        "rows": rows,
    }
    folder.mkdir(parents=True, exist_ok=True)
    # Four figures say all that was measured.
    compact = json.loads(json.dumps(results), parse_float=lambda number: float(f"{float(number):.5g}"))
    (folder / "results.json").write_text(json.dumps(compact, ensure_ascii=False, indent=1) + "\n")
    render(folder)


def render(folder):
    """Tables and plot from the JSON."""
    results = json.loads((folder / "results.json").read_text())
    (folder / "peers.md").write_text(tables.peers(results))
    (folder / "goals.md").write_text(tables.goals(results))
    (folder / "comparison.svg").write_text(plot.svg(results))
    readme = README.read_text()
    if folder.resolve() == HERE / "results" and BEGIN in readme:
        section = f"{BEGIN}\n{tables.readme(results)}{END}"
        README.write_text(re.sub(f"{BEGIN}.*{END}", lambda _: section, readme, flags=re.DOTALL))


def machine():
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    system = re.search(r'PRETTY_NAME="(.*)"', Path("/etc/os-release").read_text())
    return {
        "cpu": cpu.group(1) if cpu else platform.machine(), "cores": os.cpu_count(),
        "kernel": platform.release(), "system": system.group(1) if system else "Linux",
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
    }


def tools():
    commit = subprocess.run(["git", "-C", HERE, "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    return {
        "wrk": run_text(["wrk", "-v"]).split()[1], "h2load": run_text(["h2load", "--version"]).split("/")[-1],
        "openssl": run_text(["openssl", "version"]).split()[1], "rustc": run_text(["rustc", "--version"]).split()[1],
        "keygate commit": commit.stdout.strip() or "unknown",
    }
