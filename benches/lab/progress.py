"""One line on the terminal that says what runs and how long it will take; without a terminal, a line now and then."""

import sys
import time
from dataclasses import dataclass, field

QUIET_SECONDS = 20.0  # between two lines where there is no terminal


@dataclass
class Progress:
    stage: str
    steps: int
    began: float = field(default_factory=time.monotonic)
    at: int = 0
    said: float = 0.0

    def step(self, what: str) -> None:
        """A step begins."""
        now = time.monotonic()
        left = f", {_time((now - self.began) / self.at * (self.steps - self.at))} left" if self.at else ""
        self.at += 1
        line = f"{self.stage} {self.at}/{self.steps}{left}: {what}"
        if sys.stderr.isatty():
            print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)
        elif now - self.said > QUIET_SECONDS:
            self.said = now
            print(line, file=sys.stderr, flush=True)

    def done(self) -> None:
        if sys.stderr.isatty():
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
