"""Draws bars as plain SVG."""

from xml.sax.saxutils import escape

WIDTH, LEFT, BAR, GAP, TOP = 760, 210, 44, 26, 78
COLOURS = ("#1f6f8b", "#b8b8b8")


def bars(title, note, rows):
    """`rows` are (name, value, text under the name, single runs): a bar for the value, a dot for each run."""
    most = max(max(runs) for *_, runs in rows)
    scale = (WIDTH - LEFT - 130) / most
    height = TOP + len(rows) * (BAR + GAP) + 30
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'font-family="DejaVu Sans, Verdana, sans-serif" role="img">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="20" y="32" font-size="18" font-weight="bold" fill="#222222">{escape(title)}</text>',
        f'<text x="20" y="54" font-size="12" fill="#555555">{escape(note)}</text>',
    ]
    for position, (name, value, under, runs) in enumerate(rows):
        y = TOP + position * (BAR + GAP)
        middle = y + BAR / 2
        parts += [
            f'<text x="20" y="{middle - 3}" font-size="14" fill="#222222">{escape(name)}</text>',
            f'<text x="20" y="{middle + 14}" font-size="11" fill="#555555">{escape(under)}</text>',
            f'<rect x="{LEFT}" y="{y}" width="{value * scale:.1f}" height="{BAR}" fill="{COLOURS[position % 2]}"/>',
        ]
        parts += [
            f'<circle cx="{LEFT + run * scale:.1f}" cy="{middle}" r="4" fill="#ffffff" stroke="#222222"/>' for run in runs
        ]
        end = LEFT + max(value, *runs) * scale
        parts.append(f'<text x="{end + 12:.1f}" y="{middle + 6}" font-size="16" fill="#222222">{value:,.0f}/s</text>')
    bottom = TOP + len(rows) * (BAR + GAP) - GAP + 8
    parts += [
        f'<line x1="{LEFT}" y1="{TOP - 8}" x2="{LEFT}" y2="{bottom}" stroke="#222222"/>',
        f'<text x="{LEFT}" y="{bottom + 22}" font-size="11" fill="#555555">bar: median; circles: the single runs</text>',
        "</svg>",
    ]
    return "\n".join(parts) + "\n"
