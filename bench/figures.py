"""Arithmetic on samples and their spelling in tables. Measures nothing, knows no contestant.

Samples are seconds unless a name says otherwise; what a table prints is milliseconds or microseconds.
"""

import statistics

NOTHING = "–"


def percentile(values, share):
    """The value below which `share` (0 to 1) of the samples lie; of few samples the next higher one."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def spread(values, scale=1e3, digits=1):
    """Minimum, median and 90th percentile, spelled."""
    if not values:
        return (NOTHING,) * 3
    figures = (min(values), statistics.median(values), percentile(values, 0.9))
    return tuple(f"{figure * scale:.{digits}f}" for figure in figures)


def median(values):
    """The median, or nothing of nothing."""
    return statistics.median(values) if values else None


def median_ratio(pairs):
    """The median of ours / theirs over interleaved pairs, or nothing of nothing."""
    ratios = [ours / theirs for ours, theirs in pairs if theirs]
    return statistics.median(ratios) if ratios else None


def spell(value, digits=2, scale=1.0):
    """A figure, or a dash where there is none."""
    return NOTHING if value is None else f"{value * scale:.{digits}f}"


def table(header, rows):
    """A Markdown table."""
    lines = [f"| {' | '.join(header)} |", f"|{'---|' * len(header)}"]
    lines += [f"| {' | '.join(str(cell) for cell in row)} |" for row in rows]
    return "\n".join(lines) + "\n"
