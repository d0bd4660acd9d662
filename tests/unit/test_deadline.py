"""Pauses grow, are jittered, and end before the deadline does."""

from dataclasses import dataclass

import pytest

from runner.deadline import Deadline


@dataclass
class Clock:
    """A clock that goes on while somebody sleeps by it, and at no other time."""

    now: float = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_pauses_end_before_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr("runner.deadline.time", clock)
    slept = list(Deadline.after(0.5).pauses(first_s=0.01, longest_s=0.05))
    assert clock.now == pytest.approx(sum(slept))
    assert clock.now <= 0.5
    assert len(slept) >= 8
    assert max(slept) <= 0.05
    assert slept[0] <= 0.01
    assert len(set(slept)) == len(slept)


def test_a_deadline_that_has_passed_pauses_never() -> None:
    past = Deadline.after(-1)
    assert past.remaining_s == 0
    assert list(past.pauses(first_s=0.01, longest_s=1)) == []


def test_the_earlier_of_two() -> None:
    assert Deadline.after(100).earlier(1).remaining_s <= 1
    assert Deadline.after(1).earlier(100).remaining_s <= 1
