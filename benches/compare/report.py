"""From rounds to figures, and figures to a table."""

from statistics import median

from loads import LABELS


def spread(values):
    """Median, least and most."""
    return {"median": median(values), "least": min(values), "most": max(values)}


def ratio(rounds, name, against):
    """The median of the ratios within each round, which the machine's mood does not touch as it does the figures."""
    pairs = [(one[name]["cpu"], one[against]["cpu"]) for one in rounds if name in one and against in one]
    return spread([own / other for own, other in pairs]) if pairs else None


def summarise(rounds, names, against):
    """`rounds` is a list of {peer: measurement}."""
    figures = {}
    for name in names:
        made = [one[name] for one in rounds if name in one]
        if not made:
            continue
        figures[name] = {key: spread([one[key] for one in made]) for key in ("cpu", "rate", "p50", "p99") if key in made[0]}
        figures[name]["ratio"] = ratio(rounds, name, against)
    return figures


def text_table(load, figures, against):
    lines = [LABELS[load], f"  {'':24}{'CPU us/request':>15} {'(least-most)':>15} {'x ' + against:>9} {'(least-most)':>13} {'req/s':>8} {'p50 us':>8} {'p99 us':>8}"]
    for name, figure in figures.items():
        cpu, against_it = figure["cpu"], figure["ratio"]
        line = f"  {name:24}{cpu['median']:15.2f} {cpu['least']:8.2f}-{cpu['most']:<6.2f}"
        line += f" {against_it['median']:9.3f} {against_it['least']:6.2f}-{against_it['most']:<6.2f}" if against_it else " " * 24
        line += f" {figure['rate']['median']:8.0f}"
        for latency in ("p50", "p99"):
            line += f" {figure[latency]['median']:8.0f}" if latency in figure else " " * 9
        lines.append(line)
    return "\n".join(lines)
