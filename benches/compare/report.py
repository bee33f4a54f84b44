"""The table, docs/performance.md, and the curves as SVG."""

import math

from figures import Row
from growth import CURVES, size_name

NGINX, HAPROXY, JWT, ENVOY, OURS = "nginx", "HAProxy", "HAProxy jwt_verify", "Envoy, token cache", "metagate"
UNBUFFERED = "nginx, unbuffered"


def rows():
    """Every row of the table, in order."""
    yield Row("user instructions of a request, warm RS256 token", "instructions", OURS, NGINX, "")
    yield from (Row("CPU of a request, warm RS256 token", "warm", OURS, it, "µs") for it in (NGINX, HAPROXY, ENVOY))
    yield Row("CPU of a request, fresh RS256 token each", "fresh", OURS, JWT, "µs")
    yield Row("CPU of a request, bad signature (401)", "bad", OURS, JWT, "µs")
    yield Row("CPU of a request, no token (401)", "missing", OURS, JWT, "µs")
    yield Row("CPU of a request over HTTP/2, warm token", "http2", OURS, NGINX, "µs")
    yield Row("CPU of a request over TLS, kept alive, warm token", "tls", OURS, NGINX, "µs")
    for rate in (3_000, 6_000):
        latency = f"latency at {rate:,} requests/s"
        yield from (Row(f"{latency}, p{it}", f"p{it} at {rate}", OURS, NGINX, "µs") for it in (50, 99))
    for direction in ("download", "upload"):
        yield from (Row(f"CPU of a MiB, {direction}", direction, OURS, it, "µs") for it in (HAPROXY, UNBUFFERED))
    yield from (Row("memory of an idle connection", "idle", OURS, it, "KiB") for it in (NGINX, HAPROXY))
    yield from (Row("memory of a response that is not read", "unread", OURS, it, "KiB") for it in (NGINX, HAPROXY))
    yield Row("memory left after the idle connections are closed", "after", OURS, NGINX, "MiB", has_ratio=False)
    for curve in CURVES:
        ends = most, _ = size_name(curve, curve.sizes[-1]), size_name(curve, curve.sizes[0])
        yield Row(f"CPU of a request with {most}", f"{curve.name} cpu", *ends, "µs")
        yield Row(f"memory with {most}", f"{curve.name} memory", *ends, "MiB")
        if curve.is_idle_measured:
            yield Row(f"CPU without requests with {most}", f"{curve.name} idle", *ends, "ms/s", has_ratio=False)
    yield Row("requests/s with 2 workers", "requests of workers", "2 workers", "1 worker", "")
    yield Row("CPU of a request with 2 workers", "cpu of workers", "2 workers", "1 worker", "µs")


def number(value):
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 1 else f"{value:.2f}"


def amount(value, unit):
    return f"{number(value)} {unit}".strip()


def lines(figures, chosen):
    """The cells of each row whose figure was asked for, and whether it failed."""
    for row in rows():
        if row.figure not in chosen:
            continue
        if why := figures.why_not(row):
            yield (row.title, f"{ABSENT}{why[0]}", row.theirs, ""), why[1]
            continue
        cell = figures.cell(row)
        ratio = ""
        if cell.ratio is not None:
            ratio = f"{cell.ratio:.2f}"
            ratio += f" ({cell.lowest:.2f} to {cell.highest:.2f})" if cell.lowest != cell.highest else ""
        theirs = f"{row.theirs}: {amount(cell.theirs, row.unit)}"
        yield (row.title, amount(cell.ours, row.unit), theirs, ratio), False


ABSENT = "not measured: "
HEADINGS = ("figure", "metagate", "compared with", "ratio (range of the rounds)")


def table(cells):
    """For a terminal."""
    cells = [HEADINGS, *cells]
    widths = [max(len(row[column]) for row in cells if not row[1].startswith(ABSENT)) for column in range(3)]
    widths[0] = max(len(row[0]) for row in cells)
    return "\n".join(
        f"{row[0]:{widths[0]}}  {row[1]}" if row[1].startswith(ABSENT)
        else "  ".join(f"{cell:{width}}" for cell, width in zip(row, [*widths, 0])).rstrip()
        for row in cells
    )


def markdown_table(cells):
    rule = ("---", "---:", "---:", "---")
    return "\n".join(f"| {' | '.join(row)} |" for row in (HEADINGS, rule, *cells))


# For both a light and a dark page.
LINE, TEXT, GRID = "#2f7ed8", "#808080", "#8080804d"
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640, 300, 56, 24, 40, 48


def curve_points(figures, curve):
    """The CPU of a request at each size, as a multiple of that at the first size."""
    figure = f"{curve.name} cpu"
    first = size_name(curve, curve.sizes[0])
    points = []
    for size in curve.sizes:
        row = Row("", figure, size_name(curve, size), first, "")
        if not figures.why_not(row):
            points.append((size, figures.cell(row).ratio))
    return points


def svg(title, points):
    """One curve; its first axis is logarithmic."""
    highest = max(2, math.ceil(max(ratio for _, ratio in points)))
    decades = max(1, math.log10(points[-1][0] / points[0][0]))
    x = lambda size: LEFT + (WIDTH - LEFT - RIGHT) * math.log10(size / points[0][0]) / decades
    y = lambda ratio: HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * ratio / highest
    text = lambda at, to, words, anchor="middle": (
        f'<text x="{at:.0f}" y="{to:.0f}" text-anchor="{anchor}" fill="{TEXT}">{words}</text>'
    )
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"',
        '  font-family="sans-serif" font-size="13">',
        f"<title>{title}</title>", text(LEFT, TOP - 20, title, "start"),
    ]
    step = max(1, highest // 4)
    for level in range(0, highest + 1, step):
        parts.append(f'<path d="M{LEFT} {y(level):.1f}H{WIDTH - RIGHT}" stroke="{GRID}"/>')
        parts.append(text(LEFT - 8, y(level) + 4, f"×{level}", "end"))
    parts += [text(x(size), HEIGHT - BOTTOM + 22, f"{size:,}") for size, _ in points]
    path = "L".join(f"{x(size):.1f} {y(ratio):.1f}" for size, ratio in points)
    parts.append(f'<path d="M{path}" fill="none" stroke="{LINE}" stroke-width="2"/>')
    for size, ratio in points:
        parts.append(f'<circle cx="{x(size):.1f}" cy="{y(ratio):.1f}" r="4" fill="{LINE}"/>')
        parts.append(text(x(size), y(ratio) - 10, f"{ratio:.2f}"))
    return "\n".join([*parts, "</svg>", ""])
