"""The deadline of a call, and the pauses between its tries."""

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Deadline:
    """A moment on the monotonic clock, which a correction of the system's time does not move."""

    ends_at: float
    """Seconds, as `time.monotonic` counts them."""

    @classmethod
    def after(cls, seconds: float) -> "Deadline":
        """Return the deadline `seconds` from now."""
        return cls(time.monotonic() + seconds)

    @property
    def remaining_s(self) -> float:
        """Return the seconds left, never less than 0."""
        return max(0.0, self.ends_at - time.monotonic())

    @property
    def remaining_ms(self) -> int:
        """Return the whole milliseconds left, never less than 1: to PostgreSQL, a time-out of 0 is no time-out.

        https://www.postgresql.org/docs/current/runtime-config-client.html#GUC-STATEMENT-TIMEOUT
        """
        return max(1, int(self.remaining_s * 1000))

    @property
    def passed_s(self) -> float:
        """Return the seconds since the deadline passed, 0 before it."""
        return max(0.0, time.monotonic() - self.ends_at)

    def earlier(self, seconds: float) -> "Deadline":
        """Return the earlier of this deadline and `seconds` from now."""
        return Deadline(min(self.ends_at, time.monotonic() + seconds))

    def pauses(self, first_s: float, longest_s: float) -> Iterator[float]:
        """Sleep, yield the seconds slept, and repeat with pauses that double up to `longest_s`.

        Ends before a pause that would pass the deadline. Each pause has jitter, so that runners that collided once do
        not collide again: https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/
        """
        pause = first_s
        while True:
            # at least half of the pause, so that tries never follow one another at once
            jittered = pause * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, keeps no secret
            # a pause up to the deadline would leave no time for the try after it
            if jittered >= self.remaining_s:
                return
            time.sleep(jittered)
            yield jittered
            pause = min(pause * 2, longest_s)
