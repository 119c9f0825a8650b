"""The results on a terminal."""

from collections import Counter
from collections.abc import Sequence

from .clients import ARMS
from .oracle import RULES, Violation
from .plan import CASTS, Cast
from .records import Heard, Try

SHOWN_MAX = 3  # violations of each rule that are printed with their lines


def rows(head: Sequence[str], body: Sequence[Sequence[object]]) -> str:
    """The first column to the left, the others to the right."""
    cells = [[str(cell) for cell in row] for row in (head, *body)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    return "\n".join("  " + "  ".join(cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))).rstrip() for row in cells)


def page(head: dict, heard: Sequence[Heard], tries: Sequence[Try], found: Sequence[Violation]) -> str:
    title = f"chaos: {head['requests']} requests in each arm to the {head['cast']} providers, seed {head['seed']}, in {head['took']:.0f} s; {head['program']} on {head['driver']}"
    return "\n\n".join([title, arms(heard), visits(CASTS[head["cast"]], tries), faults(tries), violations(found)])


def kind(heard: Heard) -> str:
    """How one request failed, as its client would say."""
    if heard.end == "error":
        return f"status {heard.status}"
    return {"no end": "stream without its end", "cut": "cut inside the answer", "closed": "no answer", "late": "nothing in time", "invalid": "no HTTP, or no JSON"}.get(heard.end, heard.end)


def arms(heard: Sequence[Heard]) -> str:
    """Requests that another try could help; those which every provider refuses, or which must not be repeated, are apart."""
    of = {arm: [one for one in heard if one.arm == arm] for arm in ARMS}
    asked = {arm: [one for one in of[arm] if one.kind == "ask"] for arm in ARMS}
    failed = {arm: [one for one in asked[arm] if not one.well] for arm in ARMS}
    kinds = {arm: Counter(map(kind, failed[arm])) for arm in ARMS}

    def row(name: str, cell) -> list:
        return [name, *(cell(arm) for arm in ARMS)]

    body = [
        row("requests", lambda arm: len(asked[arm])),
        row("answered", lambda arm: len(asked[arm]) - len(failed[arm])),
        row("failed", lambda arm: len(failed[arm])),
        row("failed, %", lambda arm: f"{100 * len(failed[arm]) / max(1, len(asked[arm])):.2f}"),
        *(row(f"  {name}", lambda arm, name=name: kinds[arm][name]) for name in sorted(set().union(*kinds.values()))),
        row("  of all these: within an answer", lambda arm: sum(one.first_byte > 0 and one.end != "invalid" for one in failed[arm])),
        row("refused by all, as they should be", lambda arm: sum(one.kind == "refused" and one.end == "error" for one in of[arm])),
        row("may be sent only once", lambda arm: sum(one.kind == "once" for one in of[arm])),
        row("  failed", lambda arm: sum(one.kind == "once" and not one.well for one in of[arm])),
    ]
    direct, through = len(failed["direct"]), len(failed["sidestream"])
    ratio = f"{direct / through:.1f} times fewer failures than direct" if through else "no failure"
    return f"{rows(['', *ARMS], body)}\n  through sidestream: {ratio}"


def visits(cast: Cast, tries: Sequence[Try]) -> str:
    """What the upstreams saw of the requests through sidestream."""
    through = [one for one in tries if one.id.startswith("s-")]
    body = []
    for provider in cast.providers:
        here = [one for one in through if one.provider == provider]
        first = sum(one.visit == 0 for one in here)
        failed, stale = sum(one.outcome == "failed" for one in here), sum(one.stale for one in here)
        body.append([provider, len(here), first, len(here) - first, f"{(len(here) - first) / max(1, first):.2f}", failed, stale])
    per_request = Counter(Counter(one.id for one in through).values())
    where = {}
    for one in sorted(through, key=lambda one: one.began):
        where.setdefault(one.id, []).append(one.provider)
    failovers = sum(a != b for way in where.values() for a, b in zip(way, way[1:], strict=False))
    tried = ", ".join(f"{count} of {n}" for n, count in sorted(per_request.items()))
    heads = ["upstream", "visits", "first", "again", "again/first", "failed", "stale"]
    return f"{rows(heads, body)}\n  requests by tries: {tried}; failovers: {failovers}"


def faults(tries: Sequence[Try]) -> str:
    """What was injected, in both arms."""
    count = {prefix: Counter(one.fault for one in tries if one.id.startswith(prefix)) for prefix in ("d-", "s-")}
    names = sorted(set(count["d-"]) | set(count["s-"]), key=lambda name: -count["d-"][name])
    return rows(["visits by what the script did", "direct", "sidestream"], [[name, count["d-"][name], count["s-"][name]] for name in names])


def violations(found: Sequence[Violation]) -> str:
    if not found:
        return "the judge found nothing"
    count = Counter(one.rule for one in found)
    names = [*(name for name in RULES if count[name]), *sorted(set(count) - set(RULES))]
    body = [[name, count[name], len({one.id for one in found if one.rule == name}), first_line(RULES.get(name))] for name in names]
    text = [f"{len(found)} violations", *(f"  {row[0]:24}{row[1]:6}  {row[3]}" for row in body)]
    for name in names:
        text += ["", *(str(one) for one in [one for one in found if one.rule == name][:SHOWN_MAX])]
    return "\n".join(text)


def first_line(rule) -> str:
    return (rule.__doc__ or "").strip().partition("\n")[0] if rule else ""
