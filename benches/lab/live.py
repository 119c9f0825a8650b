"""What sidestream adds to real answers: `scripts/bench --live PROVIDER MODEL`, for people with a key.

    OPENAI_API_KEY=… scripts/bench --live openai gpt-5-mini
    scripts/bench --live groq llama-3.1-8b-instant --live anthropic claude-haiku-4-5 --pairs 20 --max-requests 300
    scripts/bench --live groq llama-3.1-8b-instant --price groq 0.05 0.08 --max-usd 0.10

Each prompt is sent directly and through a sidestream that is started for it, one after the other, in a shuffled order, over
connections that are open already. Differences are made within such a pair. Every prompt begins with a number of its own, so
that no answer comes from a cache. The key is read from {PROVIDER}_API_KEY, the address and a private certificate authority from
sidestream's own variables ({PROVIDER}_ENDPOINT_URL, {PROVIDER}_OPENAI_URL, {PROVIDER}_ANTHROPIC_URL, {PROVIDER}_CA_FILE).

This costs money. It ends before --max-requests, --max-tokens or --max-usd is exceeded, whichever comes first.
"""

import argparse
import json
import os
import random
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from . import programs
from .live_talk import Line, Refused, Talk, Usage, lines
from .process import Failed, Processes
from .progress import Progress
from .stats import estimate, quantile
from .table import table

ARMS = ("direct", "sidestream")
ANSWER_TOKENS_MAX = 256
REFUSALS_MAX = 3  # of one provider, until it is given up
BYTES_PER_TOKEN = 2  # fewer than any text has: what a request may cost at most is known before it is sent
PASSED_ON = ("API_KEY", "ENDPOINT_URL", "OPENAI_URL", "ANTHROPIC_URL", "CA_FILE")
NOTES = "".join(f"Entry {n}: the pump of station {n % 7} ran for {n * 37 % 60} minutes and was then switched off by hand.\n" for n in range(120))
PROMPTS = {
    "short": "Say hello in one short sentence.",
    "answer": "Explain in about 150 words why the sky is blue.",
    "context": f"{NOTES}\nWhich station is named most often in these entries? One sentence.",
}


@dataclass
class Purse:
    """What may be spent, and what was. Nothing is sent whose worst case does not fit."""

    requests_max: int
    tokens_max: int
    usd_max: float | None
    prices: dict[str, tuple[float, float]]  # provider → USD for a million tokens, in and out
    requests: int = 0
    usage: dict[str, Usage] = field(default_factory=dict)

    def usd(self, usage: dict[str, Usage]) -> float:
        price = {name: self.prices.get(name, (0.0, 0.0)) for name in usage}
        return sum(used.tokens_in * price[name][0] + used.tokens_out * price[name][1] for name, used in usage.items()) / 1e6

    def tokens(self, usage: dict[str, Usage]) -> int:
        return sum(used.tokens_in + used.tokens_out for used in usage.values())

    def with_worst(self, asked: list[tuple[str, str]]) -> dict[str, Usage]:
        """What will be used at most when these prompts were sent to these providers."""
        after = dict(self.usage)
        for provider, prompt in asked:
            after[provider] = after.get(provider, Usage()) + Usage(len(prompt) // BYTES_PER_TOKEN, ANSWER_TOKENS_MAX)
        return after

    def refuses(self, asked: list[tuple[str, str]]) -> str | None:
        """Which limit these would exceed."""
        after = self.with_worst(asked)
        if self.requests + len(asked) > self.requests_max:
            return f"--max-requests {self.requests_max}"
        if self.tokens(after) > self.tokens_max:
            return f"--max-tokens {self.tokens_max}"
        if self.usd_max is not None and self.usd(after) > self.usd_max:
            return f"--max-usd {self.usd_max:g}"
        return None

    def pay(self, provider: str, usage: Usage) -> None:
        self.requests += 1
        self.usage[provider] = self.usage.get(provider, Usage()) + usage


@dataclass(frozen=True)
class Sample:
    provider: str
    model: str
    prompt: str
    pair: int
    arm: str
    talk: Talk


@dataclass
class Bench:
    purse: Purse
    subjects: dict[tuple[str, str], dict[str, Line]]  # (provider, model) → arm → line
    samples: list[Sample] = field(default_factory=list)
    refusals: dict[tuple[str, str, str], list[str]] = field(default_factory=dict)

    def gone(self, subject: tuple[str, str]) -> bool:
        return sum(len(found) for key, found in self.refusals.items() if key[:2] == subject) >= REFUSALS_MAX

    def run(self, prompts: list[str], pairs: int) -> str | None:
        """The pairs, until there are enough; else which limit ended them. Pair 0 opens connections, and is not kept."""
        plan = list(schedule(prompts, pairs, list(self.subjects)))
        progress = Progress("live", len(plan))
        for pair, prompt, subject in plan:
            if self.gone(subject):
                continue
            texts = [f"[{random.getrandbits(40):010x}] {PROMPTS[prompt]}" for _ in ARMS]
            if limit := self.purse.refuses([(subject[0], text) for text in texts]):
                progress.done()
                return limit
            progress.step(f"{subject[0]}, {prompt}")
            for arm, text in zip(random.sample(ARMS, len(ARMS)), texts, strict=True):
                self.one(subject, pair, prompt, arm, text)
        progress.done()
        return None

    def one(self, subject: tuple[str, str], pair: int, prompt: str, arm: str, text: str) -> None:
        spent = Usage(len(text) // BYTES_PER_TOKEN, ANSWER_TOKENS_MAX)  # if it fails nobody says what was used
        try:
            talk = self.subjects[subject][arm].ask(text, ANSWER_TOKENS_MAX)
            spent = talk.usage
            if pair:
                self.samples.append(Sample(*subject, prompt, pair, arm, talk))
        except (Refused, OSError) as error:
            self.subjects[subject][arm].close()
            what = str(error) if isinstance(error, Refused) else type(error).__name__
            self.refusals.setdefault((*subject, arm), []).append(what)
        self.purse.pay(subject[0], spent)


def schedule(prompts: list[str], pairs: int, subjects: list[tuple[str, str]]) -> Iterator[tuple[int, str, tuple[str, str]]]:
    for subject in subjects:
        yield 0, prompts[0], subject
    for pair in range(1, pairs + 1):
        for prompt in prompts:
            for subject in random.sample(subjects, len(subjects)):
                yield pair, prompt, subject


# ── The parties ─────────────────────────────────────────────────────────────────────────────────────────────────────


def key_of(provider: str) -> str:
    name = f"{variable(provider)}_API_KEY"
    key = os.environ.get(name, "").strip()
    if not key:
        raise Failed(f"{name} is not set: --live asks {provider} directly and through sidestream, with your key")
    return key


def variable(provider: str) -> str:
    return provider.upper().replace("-", "_")


def environment(provider: str) -> dict[str, str]:
    """Of a sidestream before this provider alone. No proxy of the environment: `direct` would not use it."""
    names = [f"{variable(provider)}_{name}" for name in PASSED_ON]
    return {"SIDESTREAM_PROVIDERS": provider} | {name: os.environ[name] for name in names if name in os.environ}


def addresses(binary: str, provider: str) -> dict[str, str]:
    """Where sidestream itself would go: dialect → base URL."""
    done = subprocess.run([binary, "check"], env=environment(provider), capture_output=True, text=True, timeout=10)
    if done.returncode:
        raise Failed(f"{provider}: {(done.stderr or done.stdout).strip().splitlines()[-1]}")
    found = {}
    for dialect, face in (("chat", "OPENAI"), ("messages", "ANTHROPIC")):
        if line := re.search(rf"^{variable(provider)}_{face}_URL\s+(https?://\S+)", done.stdout, re.M):
            found[dialect] = line[1].rstrip("/")
    return found


def open_lines(processes: Processes, subjects: list[tuple[str, str]]) -> dict[tuple[str, str], dict[str, Line]]:
    binary, found, proxies = programs.sidestream(), {}, {}
    for provider, model in subjects:
        key, known = key_of(provider), addresses(binary, provider)
        if provider not in proxies:
            env = environment(provider) | {"SIDESTREAM_LISTEN": "127.0.0.1:0", "SIDESTREAM_ADMIN": "off"}
            process = processes.start(f"sidestream-{provider}", [binary], None, env)
            proxies[provider] = f"http://127.0.0.1:{process.wait_line(r'msg=started.*?listen=[^ ]*?:([0-9]+)')[1]}"
        ca = os.environ.get(f"{variable(provider)}_CA_FILE")
        found[provider, model] = lines(provider, known, key, model, proxies[provider], ca)
    return found


# ── Output ──────────────────────────────────────────────────────────────────────────────────────────────────────────

FIGURES = {"first token ms": lambda talk: talk.first * 1000, "total ms": lambda talk: talk.total * 1000, "tokens/s": lambda talk: talk.per_second}


def mean(values) -> float:
    return sum(values) / len(values)


def summary(bench: Bench) -> list[dict]:
    """For each provider, model and prompt: both arms, and the difference of the pairs. Reopened connections are left out."""
    rows = []
    groups = dict.fromkeys((s.provider, s.model, s.prompt) for s in bench.samples)
    for group in groups:
        mine = [s for s in bench.samples if (s.provider, s.model, s.prompt) == group]
        talks = {arm: {s.pair: s.talk for s in mine if s.arm == arm and not s.talk.reopened} for arm in ARMS}
        pairs = sorted(set(talks["direct"]) & set(talks["sidestream"]))
        row = {"provider": group[0], "model": group[1], "prompt": group[2], "pairs": len(pairs)}
        row["reopened"] = {arm: sum(s.talk.reopened for s in mine if s.arm == arm) for arm in ARMS}
        for name, figure in FIGURES.items() if pairs else ():
            values = {arm: [figure(talks[arm][pair]) for pair in pairs] for arm in ARMS}
            differences = [ours - theirs for ours, theirs in zip(values["sidestream"], values["direct"], strict=True)]
            row[name] = {arm: {"mean": mean(of), "p50": quantile(of, 0.5), "p95": quantile(of, 0.95)} for arm, of in values.items()} | {
                "difference of the means": asdict(estimate(differences, mean)),
                "difference, median": asdict(estimate(differences)),
            }
        rows.append(row)
    return rows


def text(bench: Bench, limit: str | None) -> str:
    head = ["", "pairs", *(f"{name} {what}" for name in FIGURES for what in ("mean", "p50", "p95"))]
    cells = []
    for row in summary(bench):
        if not row["pairs"]:
            continue
        for arm in ARMS:
            values = [f"{row[name][arm][what]:.1f}" for name in FIGURES for what in ("mean", "p50", "p95")]
            cells.append([f"{row['provider']} {row['model']}, {row['prompt']}: {arm}", str(row["pairs"]), *values])
        for what, title in (("difference of the means", "sidestream adds to the mean"), ("difference, median", "to the median")):
            found = [row[name][what] for name in FIGURES]
            shown = [f"{one['value']:+.1f} [{one['low']:+.1f}..{one['high']:+.1f}]" for one in found]
            cells.append([f"    {title}", "", *(cell for one in shown for cell in (one, "", ""))])
    parts = [table(head, cells)] if cells else ["no pair was completed"]
    parts += [f"{key[0]} {key[1]}, {key[2]}: {len(found)} failed: {'; '.join(dict.fromkeys(found))}" for key, found in bench.refusals.items()]
    reopened = sum(s.talk.reopened for s in bench.samples)
    parts += [f"{reopened} answers are left out, because the connection that was kept for them had been closed"] if reopened else []
    return "\n".join([*parts, spent(bench.purse), f"ended early, by {limit}" if limit else "all pairs were sent"])


def spent(purse: Purse) -> str:
    usage = sum(purse.usage.values(), Usage())
    usd = f", {purse.usd(purse.usage):.4f} USD by the prices given" if purse.prices else ""
    return f"{purse.requests} requests, {usage.tokens_in} tokens in, {usage.tokens_out} out{usd}"


def arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("scripts/bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--live", nargs=2, action="append", required=True, metavar=("PROVIDER", "MODEL"), help="whom to ask; may be repeated")
    add("--pairs", type=int, default=10, help="pairs of requests for each prompt (default %(default)s)")
    add("--prompt", action="append", choices=list(PROMPTS), help="only this one; may be repeated: %(choices)s")
    add("--max-requests", type=int, default=100, metavar="N", help="of all together (default %(default)s)")
    add("--max-tokens", type=int, default=200_000, metavar="N", help="in and out, of all together (default %(default)s)")
    add("--max-usd", type=float, metavar="USD", help="of all together; needs --price for each provider")
    add("--price", nargs=3, action="append", default=[], metavar=("PROVIDER", "IN", "OUT"), help="list price, USD for a million tokens; may be repeated")
    add("--json", metavar="FILE", type=Path, help="write every single answer's figures there")
    options = parser.parse_args(argv)
    try:
        options.prices = {name: (float(cost_in), float(cost_out)) for name, cost_in, cost_out in options.price}
    except ValueError:
        parser.error("--price: PROVIDER and two numbers, USD for a million tokens in and out")
    if unpriced := [name for name, _ in options.live if name not in options.prices and options.max_usd is not None]:
        parser.error(f"--max-usd needs the list price: --price {unpriced[0]} IN OUT")
    return options


def main(argv: list[str]) -> None:
    options = arguments(argv)
    purse = Purse(options.max_requests, options.max_tokens, options.max_usd, options.prices)
    with tempfile.TemporaryDirectory(prefix="sidestream-live-") as folder:
        processes = Processes(Path(folder))
        try:
            bench = Bench(purse, open_lines(processes, [tuple(one) for one in options.live]))
            limit = bench.run(options.prompt or list(PROMPTS), options.pairs)
        finally:
            processes.end_all()
    print(text(bench, limit), flush=True)
    if options.json:
        samples = [asdict(sample) for sample in bench.samples]
        document = {"summary": summary(bench), "samples": samples, "requests": purse.requests, "ended_by": limit}
        options.json.write_text(json.dumps(document, indent=1) + "\n")
    if not bench.samples:
        sys.exit(1)
