"""How much a TCP sender may have under way: slow start, as arithmetic. Time comes in as an argument.

Every byte is acknowledged one round trip after it was sent, and each acknowledged byte widens the window by one, so that a sender
with much to send doubles it in every round trip. As on Linux, a window does not grow that was never half used
(`tcp_is_cwnd_limited`), and is halved for every RTO without a byte, down to the first one (`tcp_slow_start_after_idle`, on by default).
Not modelled: loss, and so the end of slow start; a bandwidth; the receiver's window; delayed acknowledgements.
"""

from dataclasses import dataclass

SEGMENT_BYTES = 1460
SEGMENTS_FIRST = 10  # RFC 6928
WINDOW_FIRST = SEGMENTS_FIRST * SEGMENT_BYTES
RTO_MIN = 0.2  # seconds that Linux adds to a steady round trip


@dataclass
class Window:
    round_trip: float  # seconds
    size: int = WINDOW_FIRST
    in_flight: int = 0
    most: int = 0  # in flight since nothing was
    sent: float | None = None  # when the last byte was

    def send(self, now: float, waiting: int) -> int:
        """How many of the bytes that wait may be sent now. They count as sent."""
        if self.in_flight == 0:
            self._rest(now)
            self.most = 0
        count = min(waiting, self.size - self.in_flight)
        if count > 0:
            self.in_flight += count
            self.most = max(self.most, self.in_flight)
            self.sent = now
        return max(count, 0)

    def acknowledge(self, count: int) -> None:
        """One round trip after `send` gave them."""
        self.in_flight -= count
        if self.size < 2 * self.most:
            self.size += count

    def _rest(self, now: float) -> None:
        timeout = self.round_trip + RTO_MIN
        idle = now - self.sent if self.sent is not None else 0.0
        while idle > timeout and self.size > WINDOW_FIRST:
            idle -= timeout
            self.size = max(self.size // 2, WINDOW_FIRST)


def round_trips(count: int, window: int = WINDOW_FIRST) -> int:
    """In how many rounds so many bytes are sent, with nothing under way before."""
    rounds = 0
    while count > 0:
        count, window, rounds = count - window, 2 * window, rounds + 1
    return rounds
