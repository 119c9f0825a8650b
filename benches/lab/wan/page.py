"""A page: the tables, and for each case and distance the distributions of both arms, drawn without a library."""

import html
from collections.abc import Sequence

from .. import table
from ..sheet import figure, section, sheet
from .found import Found, View
from .plan import cases

WIDTH, HEIGHT = 380, 190
LEFT, RIGHT, TOP, BELOW = 34, 10, 12, 34
COLOURS, GRID = ("#9aa0a6", "#1a73e8"), "#e8eaed"
SHOWN_MAX = 0.99  # of the calls: the slowest would press all others to the left
STEPS = 100


def page(found: Found) -> str:
    sections = [
        *section("Where to arrive", [], [*table.goal_table(found.standings()), *found.failures(), *found.notes]),
        *section("How long calls take", plots(found), found.case_tables()),
        *section("A lossy upstream", [], found.lossy_table()),
        *section("The distance", [], [*(truth.text() for truth in found.truths), found.lateness_text()]),
    ]
    return sheet("sidestream: a far provider", "What sidestream is worth where the provider is far away", found.head, sections)


def plots(found: Found) -> list[str]:
    told = "Share of the calls that were answered within so many ms: grey direct, blue through sidestream. Further left is better."
    drawn = []
    for case in cases():
        views = [view for view in found.views() if view.case == case.name]
        if views:
            drawn.append(figure("".join(map(plot, views)), f"{case.name}: {case.what}. {told}"))
    return drawn


def plot(view: View) -> str:
    shares = [SHOWN_MAX * step / STEPS for step in range(STEPS + 1)]
    curves = [[(view.quantile(arm, share), share) for share in shares] for arm in (0, 1)]
    most = max(ms for curve in curves for ms, _ in curve) or 1.0

    def x(ms: float) -> float:
        return LEFT + ms / most * (WIDTH - LEFT - RIGHT)

    def y(share: float) -> float:
        return TOP + (1 - share) * (HEIGHT - TOP - BELOW)

    trips = range(1, int(most / view.rtt_ms) + 1)
    parts = [line([(x(0), y(share)), (x(most), y(share))], GRID, 1) for share in (0, 0.5, 1)]
    parts += [line([(x(trip * view.rtt_ms), y(share)) for share in (0, 1)], GRID, 1) for trip in trips]
    parts += [line([(x(ms), y(share)) for ms, share in curve], colour, 2) for curve, colour in zip(curves, COLOURS, strict=True)]
    parts += [word(LEFT - 4, y(share) + 3, f"{share:.0%}", "end") for share in (0, 0.5, 1)]
    parts += [word(x(trip * view.rtt_ms), HEIGHT - BELOW + 13, str(trip), "middle") for trip in trips]
    parts.append(word((WIDTH + LEFT) / 2, HEIGHT - 4, f"round trips of {view.rtt_ms:g} ms", "middle"))
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" font-size="10" fill="none">{"".join(parts)}</svg>'


def line(points: Sequence[tuple[float, float]], colour: str, width: int) -> str:
    return f'<polyline points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}" stroke="{colour}" stroke-width="{width}"/>'


def word(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="#5f6368">{html.escape(text)}</text>'
