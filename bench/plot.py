"""The plot of docs/performance.md: where the seconds of each start go, as an SVG of our own.

Bars and labels need no library; what the project would have to install for them is larger than itself.
"""

from __future__ import annotations

from html import escape

from base.errors import UsageError
from bench.model import Profile, Report

WIDTH, LEFT, RIGHT = 960, 170, 70
BAR, GAP, TOP, LEGEND = 16, 6, 56, 20
COLUMNS = 3
# Okabe and Ito's colours, which the colour-blind tell apart, and then lighter ones of them.
COLOURS = (
    *("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#000000"),
    *("#7fb8d8", "#f2cf7f", "#7fceb9", "#e5bcd3", "#999999", "#eaae7f"),
)
STYLE = "text{font:12px sans-serif;fill:#222}.title{font-size:15px;font-weight:bold}.small{fill:#555}"


def draw(report: Report) -> str:
    """Return the SVG of a report's profiles. Raises UsageError when it has none."""
    if not report.profiles:
        raise UsageError("the report has no profile of a start", hint="`./testbed bench warm-dom0` makes some")
    profiles = sorted(report.profiles, key=lambda p: (p.platform, p.domain, p.start))
    names = list(dict.fromkeys(phase.what for profile in profiles for phase in profile.phases))
    colours = {name: COLOURS[number % len(COLOURS)] for number, name in enumerate(names)}
    scale = (WIDTH - LEFT - RIGHT) / max(_total(profile) for profile in profiles)
    bars, y = [], TOP
    for number, profile in enumerate(profiles):
        y += GAP * (3 if number and _pair(profile) != _pair(profiles[number - 1]) else 1)
        bars += _bar(profile, y, scale, colours)
        y += BAR
    rows = -(-len(names) // COLUMNS)
    height = y + 30 + rows * LEGEND
    about = report.environment
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        f"<title>Where the seconds of a start go</title><style>{STYLE}</style>",
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        _text(12, 24, "Where the seconds of a start go (medians)", "title"),
        _text(12, 44, f"{report.started:%Y-%m-%d}, {about.commit}, {about.cpu}, QEMU {about.qemu}", "small"),
        *bars,
        *_legend(colours, y + 26),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _bar(profile: Profile, y: float, scale: float, colours: dict[str, str]) -> list[str]:
    parts = [_text(12, y + 12, f"{profile.platform} {profile.domain} {profile.start}")]
    x = float(LEFT)
    for phase in profile.phases:
        width = phase.seconds * scale
        parts.append(
            f'<rect x="{x:.1f}" y="{y}" width="{width:.2f}" height="{BAR}" fill="{colours[phase.what]}">'
            f"<title>{escape(phase.what)}: {phase.seconds:.2f} s</title></rect>"
        )
        x += width
    return [*parts, _text(x + 6, y + 12, f"{_total(profile):.2f} s")]


def _legend(colours: dict[str, str], y: float) -> list[str]:
    parts = []
    for number, (name, colour) in enumerate(colours.items()):
        at = 12 + number % COLUMNS * (WIDTH / COLUMNS)
        row = y + number // COLUMNS * LEGEND
        parts += [f'<rect x="{at:.0f}" y="{row - 10:.0f}" width="12" height="12" fill="{colour}"/>']
        parts += [_text(at + 18, row, name)]
    return parts


def _text(x: float, y: float, text: str, style: str = "") -> str:
    named = f' class="{style}"' if style else ""
    return f'<text x="{x:.0f}" y="{y:.0f}"{named}>{escape(text)}</text>'


def _pair(profile: Profile) -> tuple[str, str]:
    return profile.platform, profile.domain


def _total(profile: Profile) -> float:
    return sum(phase.seconds for phase in profile.phases)
