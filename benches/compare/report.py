"""Figures as a table of plain text."""


def text(rows):
    """One block a row: a line for each peer, the median with least and most."""
    lines = []
    for row in rows.values():
        columns = list(dict.fromkeys(column for peer in row["peers"].values() for column in peer))
        lines += ["", row["title"], " " * 24 + "".join(f"{column:>28}" for column in columns)]
        for name, peer in row["peers"].items():
            lines.append(f"  {name:22}" + "".join(f"{shown(peer.get(column)):>28}" for column in columns))
    return "\n".join(lines)


def shown(value):
    if isinstance(value, dict):
        return f"{number(value['median'])} ({number(value['least'])}–{number(value['most'])})"
    return "" if value is None else number(value)


def number(value):
    """Three figures or more, never an exponent."""
    for digits, below in ((3, 2), (2, 100), (1, 1000)):
        if abs(value) < below and value != int(value):
            return f"{value:.{digits}f}"
    return f"{value:,.0f}"
