"""A timeline of traced events, and how their time divides, as one SVG."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from html import escape

from base.files import sha256_bytes
from harness.tracing.events import Row, Span, table

WIDTH, LEFT, RIGHT = 1200, 150, 10
LANE, BAR, TICK = 26, 18, 20
# No bar is thinner than that, in pixels; what would lie on the same pixels as the one before is left out.
THIN = 0.6


def picture(title: str, traced: Sequence[Span], frequency: int) -> str:
    """Return the picture: a lane of time for each name, then a bar for each kind whose parts are its names' time."""
    if not traced:
        return _svg(40, [_text(LEFT, 24, f"{title}: nothing was traced")])
    first = traced[0].begin
    last = max(span.end or span.begin for span in traced)
    scale = (WIDTH - LEFT - RIGHT) / max(1, last - first)
    rows = table(traced, frequency)
    parts = [_text(10, 20, title)]
    top = 34
    for row in rows:
        parts += _lane(
            row, [span for span in traced if (span.kind, span.name) == (row.kind, row.name)], top, first, scale
        )
        top += LANE
    parts += _axis(top, (last - first) / frequency)
    top += TICK + 30
    parts.append(_text(10, top - 8, "time in each kind of event, by name"))
    for kind in dict.fromkeys(row.kind for row in rows):
        parts += _flame(kind, [row for row in rows if row.kind == kind], top)
        top += LANE
    return _svg(top + 10, parts)


def _lane(row: Row, spans: Sequence[Span], top: int, first: int, scale: float) -> list[str]:
    told = f"{row.kind} {row.name}: {row.count}, {row.total * 1e3:.2f} ms"
    parts = [_text(10, top + 13, f"{row.kind} {row.name}", size=11)]
    right = -1.0
    for span in spans:
        begin = LEFT + (span.begin - first) * scale
        end = max(LEFT + ((span.end or span.begin) - first) * scale, begin + THIN)
        if end <= right + THIN / 2:
            continue
        right = end
        parts.append(_bar(begin, top, end - begin, _colour(row.name), told))
    return parts


def _flame(kind: str, rows: Sequence[Row], top: int) -> list[str]:
    total = sum(row.total for row in rows) or 1.0
    parts, left = [_text(10, top + 13, f"{kind} {total * 1e3:.1f} ms", size=11)], float(LEFT)
    for row in rows:
        width = row.total / total * (WIDTH - LEFT - RIGHT)
        told = f"{row.name}: {row.count}, {row.total * 1e3:.2f} ms, {row.total / total:.0%}"
        parts.append(_bar(left, top, max(width - 1, THIN), _colour(row.name), told))
        if width > 8 * len(row.name):
            parts.append(_text(left + 3, top + 13, row.name, size=11))
        left += width
    return parts


def _axis(top: int, seconds: float) -> list[str]:
    parts = []
    for tenth in range(0, 11, 2):
        x = LEFT + (WIDTH - LEFT - RIGHT) * tenth / 10
        parts.append(f'<line x1="{x:.1f}" y1="34" x2="{x:.1f}" y2="{top}" stroke="#ddd"/>')
        parts.append(_text(x - 20, top + 14, f"{seconds * tenth / 10 * 1e3:.1f} ms", size=10))
    return parts


def _bar(x: float, top: int, width: float, colour: str, told: str) -> str:
    title = f"<title>{escape(told)}</title>"
    return f'<rect x="{x:.2f}" y="{top}" width="{width:.2f}" height="{BAR}" fill="{colour}">{title}</rect>'


def _colour(name: str) -> str:
    """Return a colour that is the name's own in every picture."""
    hue = int(sha256_bytes(name.encode())[:4], 16) / 0xFFFF
    return "#" + "".join(f"{int(part * 255):02x}" for part in colorsys.hls_to_rgb(hue, 0.6, 0.6))


def _text(x: float, y: float, text: str, size: int = 13) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}">{escape(text)}</text>'


def _svg(height: int, parts: Sequence[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif">'
    return "\n".join([head, f'<rect width="{WIDTH}" height="{height}" fill="white"/>', *parts, "</svg>\n"])
