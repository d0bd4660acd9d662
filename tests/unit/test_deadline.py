"""Pauses grow, are jittered, and end before the deadline does."""

import time

from runner.deadline import Deadline


def test_pauses_end_before_the_deadline() -> None:
    started = time.monotonic()
    slept = list(Deadline.after(0.5).pauses(first_s=0.01, longest_s=0.05))
    assert time.monotonic() - started <= 0.5
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
