"""Plots as SVG text: horizontal bars and lines, both with logarithmic axes where they span decades.

No dependency, no script, no font of its own. Colours are mid-tones that can be read on white and on black;
where the viewer says which it is, text follows. Draws what it is given and decides nothing.
"""

import math
from xml.sax.saxutils import escape

WIDTH = 900
BAR, GAP, TOP, LABELS = 18, 6, 46, 400
OURS, THEIRS = "#d9730d", "#7d8796"
PALETTE = (
    "#d9730d",
    "#2f81f7",
    "#1a9e6c",
    "#a371f7",
    "#c23d8a",
    "#7d8796",
    "#b0891a",
    "#0fa3b1",
    "#e5534b",
    "#57606a",
)
STYLE = """<style>
text { font: 12px system-ui, sans-serif; fill: #57606a }
.title { font-size: 14px; font-weight: 600 }
.grid { stroke: #8b949e; stroke-opacity: .35 }
@media (prefers-color-scheme: dark) { text { fill: #c9d1d9 } }
</style>"""


def bars(title, values, ours=()):
    """Horizontal bars on a log scale. `values` are (label, number) from top to bottom; `ours` are coloured."""
    values = [(label, value) for label, value in values if value and value > 0]
    if not values:
        return _document(60, title, ["<text x='10' y='50'>nothing was measured</text>"])
    low, high = _decades([value for _, value in values])
    height = TOP + len(values) * (BAR + GAP) + 30

    def position(value):
        return LABELS + (WIDTH - LABELS - 70) * _share(value, low, high)

    bottom = height - 26
    parts = [_grid_line(position(tick), TOP - 6, bottom, tick) for tick in _ticks(low, high)]
    for number, (label, value) in enumerate(values):
        y = TOP + number * (BAR + GAP)
        width = max(1.0, position(value) - LABELS)
        colour = OURS if label in ours else THEIRS
        parts.append(
            f"<text x='{LABELS - 8}' y='{y + 13}' text-anchor='end'>{escape(_short(label, 60))}</text>"
        )
        parts.append(
            f"<rect x='{LABELS}' y='{y}' width='{width:.1f}' height='{BAR}' rx='2' fill='{colour}'/>"
        )
        parts.append(f"<text x='{LABELS + width + 6:.1f}' y='{y + 13}'>{_number(value)}</text>")
    return _document(height, title, parts)


def lines(title, series, x_title, y_title):
    """Lines on two log axes. `series` maps a label to points (x, y)."""
    series = {label: [point for point in points if min(point) > 0] for label, points in series.items()}
    series = {label: points for label, points in series.items() if points}
    if not series:
        return _document(60, title, ["<text x='10' y='50'>nothing was measured</text>"])
    everything = [point for points in series.values() for point in points]
    x_low, x_high = _extent([x for x, _ in everything])
    low, high = _decades([y for _, y in everything])
    left, right, bottom = 70, WIDTH - 270, 380

    def place(point):
        x = left + (right - left) * _share(point[0], x_low, x_high)
        return x, bottom - (bottom - TOP) * _share(point[1], low, high)

    parts = []
    for tick in _ticks(low, high):
        y = place((x_low, tick))[1]
        parts.append(f"<line class='grid' x1='{left}' x2='{right}' y1='{y:.1f}' y2='{y:.1f}'/>")
        parts.append(f"<text x='{left - 8}' y='{y + 4:.1f}' text-anchor='end'>{_number(tick)}</text>")
    for x in sorted({x for x, _ in everything}):
        parts.append(
            f"<text x='{place((x, low))[0]:.1f}' y='{bottom + 18}' text-anchor='middle'>{_number(x)}</text>"
        )
    ends = _spread_out([place(max(points))[1] for points in series.values()])
    for number, (label, points) in enumerate(series.items()):
        colour = PALETTE[number % len(PALETTE)]
        placed = [place(point) for point in sorted(points)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
        parts.append(f"<polyline points='{path}' fill='none' stroke='{colour}' stroke-width='2'/>")
        parts += [f"<circle cx='{x:.1f}' cy='{y:.1f}' r='3' fill='{colour}'/>" for x, y in placed]
        parts.append(
            f"<text x='{right + 10}' y='{ends[number] + 4:.1f}' style='fill:{colour}'>{escape(_short(label, 36))}</text>"
        )
    parts.append(
        f"<text x='{(left + right) / 2}' y='{bottom + 38}' text-anchor='middle'>{escape(x_title)}</text>"
    )
    parts.append(f"<text x='10' y='{TOP - 10}'>{escape(y_title)}</text>")
    return _document(bottom + 50, title, parts)


def _document(height, title, parts):
    head = f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {height}' width='{WIDTH}' height='{height}'>"
    name = f"<title>{escape(title)}</title><text class='title' x='10' y='20'>{escape(title)}</text>"
    return "\n".join([head, STYLE, name, *parts, "</svg>"]) + "\n"


def _grid_line(x, top, bottom, tick):
    line = f"<line class='grid' x1='{x:.1f}' x2='{x:.1f}' y1='{top}' y2='{bottom}'/>"
    return f"{line}<text x='{x:.1f}' y='{bottom + 16}' text-anchor='middle'>{_number(tick)}</text>"


def _spread_out(positions, least=15):
    """The same positions, moved down so far that no two labels overlap."""
    placed = [0.0] * len(positions)
    last = -math.inf
    for index in sorted(range(len(positions)), key=lambda index: positions[index]):
        last = placed[index] = max(positions[index], last + least)
    return placed


def _decades(values):
    return 10 ** math.floor(math.log10(min(values))), 10 ** math.ceil(math.log10(max(values)) + 1e-9)


def _extent(values):
    low, high = min(values), max(values)
    return (low, high) if low < high else (low / 2, high * 2)


def _share(value, low, high):
    return math.log(value / low) / math.log(high / low)


def _ticks(low, high):
    return [low * 10**power for power in range(round(math.log10(high / low)) + 1)]


def _number(value):
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _short(text, length):
    return text if len(text) <= length else text[: length - 1] + "…"
