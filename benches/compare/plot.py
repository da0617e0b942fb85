"""The plot, as SVG. Its colours are readable on light and on dark backgrounds alike, and it has no background of its own."""

from html import escape

PANELS = [
    # row, value, title, divided by, digits
    ("h1", "cpu", "HTTP/1.1: µs of CPU per request", 1, 1),
    ("h2", "cpu", "HTTP/2: µs of CPU per request", 1, 1),
    ("401", "cpu", "refused with 401: µs of CPU", 1, 1),
    ("handshakes", "per_cpu_second", "TLS handshakes per CPU second (more is better)", 1, 0),
    ("idle", "bytes", "idle TLS connection: kB of memory", 1000, 1),
    ("latency", "added_p99", "latency added: p99, µs", 1, 0),
]
TEXT, OURS, OTHERS, WHISKER = "#6e7781", "#2f81f7", "#a3acb6", "#6e7781"
WIDTH, LABEL, BAR, STEP, TOP, ACROSS = 400, 108, 12, 20, 40, 2
LONGEST = 190


def svg(results):
    panels = [panel for panel in PANELS if panel[0] in results["rows"]]
    drawn = [draw(results, *panel) for panel in panels]
    heights = [max(height for _, height in drawn[at:at + ACROSS]) for at in range(0, len(drawn), ACROSS)]
    body = "".join(
        f'<g transform="translate({number % ACROSS * WIDTH} {sum(heights[:number // ACROSS])})">{panel}</g>\n'
        for number, (panel, _) in enumerate(drawn)
    )
    wide, high = WIDTH * ACROSS, sum(heights)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" width="{wide}" height="{high}" role="img" '
        f'font-family="system-ui, sans-serif" font-size="12" fill="{TEXT}">\n'
        f"<title>CPU time and memory of Keygate and other proxies, {results['date']}</title>\n{body}</svg>\n"
    )


def draw(results, row, key, title, divided, digits):
    """One panel and its height: a bar for each peer with a whisker from least to most. Bars beyond the scale are cut and say so."""
    shown = {name: peer[key] for name, peer in results["rows"][row]["peers"].items() if name != "keygate-public"}
    figures = {name: {part: value / divided for part, value in figure.items()} for name, figure in shown.items()}
    more_is_better = "per_cpu_second" in key
    middles = sorted(figure["median"] for figure in figures.values())
    # One peer that is far behind must not press all others together.
    full = min(middles[-1], 2.5 * middles[len(middles) // 2]) or 1
    scale = lambda value: max(0.0, min(value / full, 1.0)) * LONGEST
    lines = [f'<text x="8" y="22" font-weight="600">{escape(title)}</text>']
    for number, (name, figure) in enumerate(sorted(figures.items(), key=lambda item: item[1]["median"], reverse=more_is_better)):
        y, ours = TOP + number * STEP, name in results["builds"]
        cut = figure["median"] > full * 1.001
        length = scale(figure["median"])
        weight = ' font-weight="600"' if ours else ""
        lines.append(f'<text x="{LABEL - 6}" y="{y + 10}" text-anchor="end"{weight}>{escape(name)}</text>')
        lines.append(f'<rect x="{LABEL}" y="{y}" width="{length:.1f}" height="{BAR}" rx="2" fill="{OURS if ours else OTHERS}"/>')
        end = length
        if not cut:
            least, end = scale(figure["least"]), max(length, scale(figure["most"]))
            lines.append(f'<path d="M{LABEL + least:.1f} {y + BAR / 2}H{LABEL + end:.1f}" stroke="{WHISKER}" stroke-width="1.5"/>')
        told = f"{figure['median']:,.{digits}f}" + (" »" if cut else "")
        lines.append(f'<text x="{LABEL + end + 6:.1f}" y="{y + 10}"{weight}>{told}</text>')
    return "".join(lines), TOP + len(figures) * STEP + 14
