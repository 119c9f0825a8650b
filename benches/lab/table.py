"""The results on a terminal."""

from collections.abc import Callable, Sequence

from .arms import DIRECT, SIDESTREAM
from .cases import Load
from .goals import Standing
from .measure import Results
from .stats import number, ratio, spread

EMPTY = "–"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The first column to the left, the others to the right."""
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    lines = [[cell.ljust(width) if i == 0 else cell.rjust(width) for i, (cell, width) in enumerate(zip(row, widths, strict=True))] for row in [head, *rows]]
    return "\n".join("  " + "  ".join(line).rstrip() for line in lines)


def facts(head: dict[str, str], missing: Sequence[str]) -> list[str]:
    return [*(f"{name + ':':17}{value}" for name, value in head.items()), *missing]


def spread_text(values: Sequence[float]) -> str:
    return spread(values).text() if values else EMPTY


# ── Loads ───────────────────────────────────────────────────────────────────────────────────────────────────────────


class View:
    """One case at one placement."""

    def __init__(self, results: Results, case: Load, placement: str):
        self.results, self.case, self.placement = results, case, placement
        self.arms = results.arms(placement, case.name)

    def series(self, arm: str, figure: str) -> dict[int, float]:
        return self.results.series(self.placement, self.case.name, arm, figure)

    def spread(self, arm: str, figure: str) -> str:
        return spread_text(list(self.series(arm, figure).values()))

    def cpu(self, arm: str) -> str:
        return self.spread(arm, "cpu_chunk_us" if self.case.stream else "cpu_us")

    def shares(self, arm: str) -> str:
        """User and system time: the scheduler's clock, divided as the ticks of all rounds are."""
        user, system = (sum(self.series(arm, name).values()) for name in ("user_ticks", "system_ticks"))
        cpu = list(self.series(arm, "cpu_chunk_us" if self.case.stream else "cpu_us").values())
        if not cpu or not user + system:
            return EMPTY
        whole = spread(cpu).median
        return f"{number(whole * user / (user + system))}+{number(whole * system / (user + system))}"

    def busy(self, arm: str) -> str:
        share = list(self.series(arm, "busy").values())
        return f"{spread(share).median:.0%}" if share else EMPTY

    def beside_direct(self, figure: str) -> Callable[[str], str]:
        """Of `direct` the figure itself, of others what they add to it in the same round; the figure if there is no `direct`."""

        def cell(arm: str) -> str:
            ours, direct = self.series(arm, figure), self.series(DIRECT, figure)
            if arm == DIRECT or not direct:
                return spread_text(list(ours.values()))
            added = spread([value - direct[n] for n, value in ours.items() if n in direct] or [0.0])
            return f"{added.median:+.0f} ({added.low:+.0f}..{added.high:+.0f})"

        return cell

    def sidestream_is(self, arm: str) -> str:
        if arm in (SIDESTREAM, DIRECT) or SIDESTREAM not in self.arms:
            return ""
        found = ratio(self.series(SIDESTREAM, "cpu_us"), self.series(arm, "cpu_us"))
        return f"{found.text()} ×" if found else EMPTY

    def columns(self) -> dict[str, Callable[[str], str]]:
        latency = "ttft" if self.case.stream else "latency"
        found = {
            f"CPU-µs per {'chunk' if self.case.stream else 'request'}": self.cpu,
            "user+system": self.shares,
            "busy": self.busy,
            "requests/s": lambda arm: self.spread(arm, "per_second"),
        }
        found |= {f"{'first ' if self.case.stream else ''}{name} µs": self.beside_direct(f"{latency}_{key}_us") for name, key in PERCENTILES.items()}
        found |= {"worst gap µs": self.beside_direct("gap_max_us")} if self.case.stream else {}
        return found | {"sidestream's CPU is": self.sidestream_is}

    def text(self) -> str:
        columns = self.columns()
        rows = [[arm, *(cell(arm) for cell in columns.values())] for arm in self.arms]
        core = "each proxy alone on its core" if self.placement == "own" else "proxy, mock and load on one core"
        return f"{self.case.name}: {self.case.what} ({core})\n{table(['', *columns], rows)}"


PERCENTILES = {"p50": "p50", "p99": "p99", "p99.9": "p999"}


def load_tables(results: Results, cases: Sequence[Load]) -> list[str]:
    views = [View(results, case, placement) for case in cases for placement in ("own", "one")]
    return [view.text() for view in views if view.arms]


# ── Everything else ─────────────────────────────────────────────────────────────────────────────────────────────────


# A table's title, and its columns: head → (case, figure, scale).
OTHERS = {
    "start to the first answer, ms, with fork and exec": {"ms": ("start", "first_answer_ms", 1)},
    "memory, resident, MiB": {
        "at rest": ("idle", "resident_kib", 1 / 1024),
        "most under load": ("memory", "peak_kib", 1 / 1024),
        "8 s after it": ("memory", "after_kib", 1 / 1024),
    },
    "ten seconds at rest": {"wake-ups": ("idle", "wakeups", 1), "CPU-µs": ("idle", "cpu_us", 1)},
    "memory of what only waits, resident, KiB each": {
        "10,000 connections": ("idle-connections", "each_kib", 1),
        "1,000 streams": ("streams-1000", "each_kib", 1),
        "10,000 streams": ("streams-10000", "each_kib", 1),
        "1,000 streams, TLS": ("streams-tls-1000", "each_kib", 1),
        "10,000 streams, TLS": ("streams-tls-10000", "each_kib", 1),
    },
    "16 streams with an event each 5 ms: worst gap, µs, and what 4 requests a second of 1 MB add to it": {
        "alone": ("head-of-line", "alone_gap_max_us", 1),
        "added": ("head-of-line", "added_gap_us", 1),
        "added at p99": ("head-of-line", "added_gap_p99_us", 1),
        "alone, again": ("head-of-line-translated", "alone_gap_max_us", 1),
        "added, translated": ("head-of-line-translated", "added_gap_us", 1),
        "added at p99, translated": ("head-of-line-translated", "added_gap_p99_us", 1),
    },
    "system calls for each request (JSON 1 KB; a stream of 50 chunks)": {
        "1 connection": ("calls-json-1", "calls", 1),
        "32 connections": ("calls-json-32", "calls", 1),
        "a stream, 32 connections": ("calls-sse", "calls", 1),
    },
}


def other_tables(results: Results) -> list[str]:
    return [text for title, columns in OTHERS.items() if (text := figure_table(results, title, columns))]


def figure_table(results: Results, title: str, columns: dict[str, tuple[str, str, float]]) -> str | None:
    """None where nothing was measured; columns of which nothing was measured are left out."""
    columns = {head: column for head, column in columns.items() if results.arms("own", column[0])}
    arms = [arm for arm in results.kinds if any(arm in results.arms("own", case) for case, _, _ in columns.values())]
    if not arms:
        return None

    def cell(arm: str, case: str, figure: str, scale: float) -> str:
        return spread_text([value * scale for value in results.series("own", case, arm, figure).values()])

    return f"{title}\n{table(['', *columns], [[arm, *(cell(arm, *column) for column in columns.values())] for arm in arms])}"


def left_out_text(results: Results) -> list[str]:
    """Who is not in which table, and why: one line for each reason."""
    cases: dict[tuple[str, str], list[str]] = {}
    for (case, arm), reason in results.left_out.items():
        cases.setdefault((arm, reason), []).append(case)
    lines = [f"  {arm}: {reason} ({', '.join(names)})" for (arm, reason), names in cases.items()]
    return ["\n".join(["not measured", *lines])] if lines else []


def goal_table(standings: Sequence[Standing]) -> list[str]:
    """Each goal that has a figure, with the figure, its interval of 95 %, and the verdict on the figure."""
    if not standings:
        return []
    rows = []
    for standing in standings:
        goal, measured = standing.goal, standing.measured
        bounds = [f"≤ {bound:.3g}" if bound is not None else "" for bound in (goal.goal, goal.limit)]
        rows.append([goal.what, f"{measured.text()} {goal.unit}", *bounds, standing.verdict])
    return [f"Where to arrive\n{table(['', 'measured', 'goal', 'open until', ''], rows)}"]
