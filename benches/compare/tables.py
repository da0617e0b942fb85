"""Tables in Markdown."""

import textwrap

from goals import Goal

COLUMNS = [
    # row, value, heading, divided by, digits
    ("h1", "cpu", "HTTP/1.1, µs", 1, 1),
    ("h2", "cpu", "HTTP/2, µs", 1, 1),
    ("401", "cpu", "401, µs", 1, 1),
    ("handshakes", "per_cpu_second", "handshakes per CPU s", 1, 0),
    ("idle", "bytes", "idle connection, kB", 1000, 1),
    ("download", "mib_per_cpu_second", "1 MiB answers, MiB per CPU s", 1, 0),
    ("upload", "mib_per_cpu_second", "uploads, MiB per CPU s", 1, 0),
    ("latency", "added_p50", "latency added, p50, µs", 1, 0),
    ("latency", "added_p99", "p99, µs", 1, 0),
    ("window", "worst_minute", "worst minute of a limit of 100", 1, 0),
]


def number(value):
    """Three figures or more, never an exponent."""
    for digits, below in ((3, 2), (2, 100), (1, 1000)):
        if abs(value) < below and value != int(value):
            return f"{value:.{digits}f}"
    return f"{value:,.0f}"


def with_spread(value):
    if isinstance(value, dict):
        return f"{number(value['median'])} ({number(value['least'])}–{number(value['most'])})"
    return "" if value is None else number(value)


def table(lines):
    """The first line is the head; its first column is text, the others are figures."""
    rule = ["---"] + ["--:"] * (len(lines[0]) - 1)
    return "".join("| " + " | ".join(line) + " |\n" for line in [lines[0], rule, *lines[1:]])


def peers(results):
    """A line for each peer, a column for each measured row; request loads with their ratio to nginx."""
    rows = results["rows"]
    columns = [column for column in COLUMNS if column[0] in rows]
    names = [name for name in results["versions"] if any(name in rows[row]["peers"] for row, *_ in columns)]
    lines = [["", *(heading for _, _, heading, _, _ in columns)]]
    for name in names:
        title = f"**{name}**" if name in results["builds"] else name
        line = [title + (" ¹" if name in results["does_less"] else "")]
        for row, key, _, divided, digits in columns:
            peer = rows[row]["peers"].get(name)
            value = peer[key] if peer else None
            middle = value["median"] if isinstance(value, dict) else value
            cell = "–" if middle is None else f"{middle / divided:,.{digits}f}"
            if peer and row in ("h1", "h2", "401") and "ratio" in peer:
                cell += f" ({peer['ratio']['median']:.2f} ×)"
            line.append(cell)
        lines.append(line)
    return table(lines)


def goals(results):
    made = [Goal(**{key: value for key, value in goal.items() if key != "state"}) for goal in results["goals"]]
    lines = [["Keygate", "figure", "must", "aim", ""]]
    lines += [[goal.what, goal.shown(goal.figure), goal.bound(goal.must), goal.bound(goal.aim), goal.state()] for goal in made]
    return table(lines)


def readme(results):
    machine, less = results["machine"], {}
    for name, what in results["does_less"].items():
        less.setdefault(what, []).append(name)
    left_out = " · ".join(f"{', '.join(names)}: {what}" for what, names in less.items())
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    notes = [
        f"¹ does less than Keygate. {left_out}.",
        f"Measured on {results['date']} by `{results['command']}`: {machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB, "
        f"{machine['system']}, Linux {machine['kernel']}. {versions}. What each row of Keygate's has to reach: "
        "[goals](benches/compare/results/goals.md).",
    ]
    text = "\n\n".join(textwrap.fill(note, 138, break_long_words=False, break_on_hyphens=False) for note in notes)
    return f"![CPU time and memory of Keygate and other proxies](benches/compare/results/comparison.svg)\n\n{peers(results)}\n{text}\n"
