"""A page with plots that needs nothing beside itself: `python -m lab.page < result.json > result.html`, where matplotlib is."""

import io
import sys
from collections.abc import Sequence

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt  # after `use`
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from . import table
from .cases import Load, loads
from .goals import MET, WITHIN, Standing, standings
from .measure import Results
from .report import Report, parse
from .sheet import figure, section, sheet
from .stats import number, spread

COLOURS = {
    "direct": "#9aa0a6",
    "floor": "#5f6368",
    "sidestream": "#1a73e8",
    "sidestream-epoll": "#8ab4f8",
    "nginx": "#188038",
    "haproxy": "#e8710a",
    "envoy": "#a142f4",
}
OTHER = "#b06000"
VERDICTS = {MET: "#188038", WITHIN: "#e8a300"}
MISSED_COLOUR = "#c5221f"
FAR_APART = 30  # times; beyond it a linear scale shows one bar


def main() -> None:
    report = parse(sys.stdin.read())
    sys.stdout.write(page(report))


def page(report: Report) -> str:
    results, reached = report.results, standings(report.results)
    sections = [
        *section("Where to arrive", [goals_plot(reached)] if reached else [], table.goal_table(reached)),
        *section("CPU of the proxy", cpu_plots(results), table.load_tables(results, loads())),
        *section("Latency that is added", latency_plots(results), []),
        *section("Memory, start, system calls", memory_plots(results), table.other_tables(results)),
        *section("What is not here", [], [*table.left_out_text(results), *report.missing]),
    ]
    return sheet("sidestream: bench", "What sidestream costs beside others", report.head, sections)


# ── Plots ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def plot(drawn: Figure, caption: str) -> str:
    out = io.StringIO()
    drawn.savefig(out, format="svg", bbox_inches="tight")
    plt.close(drawn)
    return figure(out.getvalue()[out.getvalue().index("<svg") :], caption)


def colour(arm: str) -> str:
    return COLOURS.get(arm, OTHER)


def bars(axes: Axes, series: dict[str, Sequence[float]], title: str) -> None:
    """A bar for each arm: the median, with the range of the rounds."""
    found = {arm: spread(values) for arm, values in series.items() if values}
    names, medians = list(found), [one.median for one in found.values()]
    errors = [[one.median - one.low for one in found.values()], [one.high - one.median for one in found.values()]]
    axes.barh(names, medians, xerr=errors, color=[colour(name) for name in names], height=0.7, error_kw={"elinewidth": 1, "capsize": 2, "ecolor": "#3c4043"})
    positive = [value for value in medians if value > 0]
    if len(positive) == len(medians) and max(medians) > FAR_APART * min(medians):
        axes.set_xscale("log")
    elif len(positive) == len(medians):
        axes.set_xlim(left=0)
    for at, one in enumerate(found.values()):
        axes.annotate(number(one.median), (max(one.high, one.median), at), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8)
    axes.margins(x=0.18)
    axes.invert_yaxis()
    axes.set_title(title, fontsize=9, loc="left")
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def grid(panels: dict[str, dict[str, Sequence[float]]], caption: str, columns: int = 2) -> list[str]:
    """Panels of bars beside each other; none where nothing was measured."""
    panels = {title: series for title, series in panels.items() if any(series.values())}
    if not panels:
        return []
    rows = -(-len(panels) // columns)
    tallest = max(sum(bool(values) for values in series.values()) for series in panels.values())
    drawn, all_axes = plt.subplots(rows, columns, figsize=(6.4 * columns, rows * (0.7 + 0.3 * tallest)), squeeze=False, layout="constrained")
    for axes in all_axes.flat[len(panels) :]:
        axes.set_axis_off()
    for axes, (title, series) in zip(all_axes.flat, panels.items(), strict=False):
        bars(axes, series, title)
    return [plot(drawn, caption)]


def cpu_plots(results: Results) -> list[str]:
    found = []
    for placement, where in (("own", "each proxy alone on its core"), ("one", "proxy, mock and load on one core")):
        panels = {}
        for case in loads():
            name, unit = ("cpu_chunk_us", "chunk") if case.stream else ("cpu_us", "request")
            series = {arm: list(results.series(placement, case.name, arm, name).values()) for arm in results.arms(placement, case.name)}
            panels[f"{case.name}: CPU-µs per {unit}"] = series
        found += grid(panels, f"CPU time of the proxy, {where}: medians, with the range of the rounds. Less is better.")
    return found


def latency_plots(results: Results) -> list[str]:
    panels = {}
    for case in (case for case in loads() if case.connections == 1 or case.rate):
        for name, key in (("p50", "latency_p50_us"), ("p99", "latency_p99_us"), ("p99.9", "latency_p999_us")):
            panels[f"{case.name}: {name}, µs more than direct"] = added(results, case, key)
    return grid(panels, "Latency beside a direct request in the same round: medians, with the range of the rounds. Less is better.", columns=3)


def added(results: Results, case: Load, key: str) -> dict[str, Sequence[float]]:
    direct = results.series("own", case.name, "direct", key)
    arms = [arm for arm in results.arms("own", case.name) if arm != "direct"]
    return {arm: [value - direct[n] for n, value in results.series("own", case.name, arm, key).items() if n in direct] for arm in arms}


def memory_plots(results: Results) -> list[str]:
    found = []
    for title, columns in table.OTHERS.items():
        panels = {
            head: {arm: [value * scale for value in results.series("own", case, arm, name).values()] for arm in results.kinds}
            for head, (case, name, scale) in columns.items()
        }
        found += grid(panels, f"{title}: medians, with the range of the rounds. Less is better.", columns=3)
    return found


def goals_plot(reached: Sequence[Standing]) -> str:
    """Each figure as a share of its goal, with its interval; a line at the goal, a tick at the limit."""
    shown = [standing for standing in reached if standing.goal.goal > 0]
    drawn, axes = plt.subplots(figsize=(11, 0.9 + 0.26 * len(shown)), layout="constrained")
    for at, standing in enumerate(shown):
        goal, measured, dye = standing.goal, standing.measured, VERDICTS.get(standing.verdict, MISSED_COLOUR)
        low, value, high = (max(figure / goal.goal, 0.01) for figure in (measured.low, measured.value, measured.high))
        axes.plot([low, high], [at, at], color=dye, linewidth=2, solid_capstyle="butt")
        axes.plot([value], [at], "o", color=dye, markersize=5)
        if goal.limit is not None:
            axes.plot([goal.limit / goal.goal], [at], "|", color="#5f6368", markersize=10)
    axes.axvline(1, color="#202124", linewidth=1)
    axes.set_yticks(range(len(shown)), [f"{s.goal.what}, {s.goal.unit}" for s in shown], fontsize=8)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_xlabel("measured, as a multiple of the goal", fontsize=8)
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.grid(axis="x", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    return plot(drawn, "Left of the line a goal is met. The small upright is the limit up to which the matter is not open; bars are intervals of 95 %.")


if __name__ == "__main__":
    matplotlib.rcParams["svg.fonttype"] = "none"
    matplotlib.rcParams["svg.hashsalt"] = "lab"
    main()
