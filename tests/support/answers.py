"""The parts of an answer that are equal in every run."""

import re
from typing import Any

VOLATILE = {
    "request_id",
    "duration_ms",
    "held_ms",
    "lock_wait_ms",
    "started_at",
    "finished_at",
    "succeeded_at",
    "function_version",
}


def steady(answer: Any) -> Any:
    """Return an answer, or a part of one, without the values that differ between runs: ids, times and durations."""
    if isinstance(answer, dict):
        return {key: "…" if key in VOLATILE else steady(value) for key, value in answer.items()}
    if isinstance(answer, list):
        return [steady(one) for one in answer]
    return steady_text(answer) if isinstance(answer, str) else answer


def steady_text(text: str) -> str:
    """Return printed text without durations, moments and ids of plans."""
    text = re.sub(r"\d+ ms", "N ms", text)
    # a plan's id depends on the database, and the test has two
    text = re.sub(r"[0-9a-f]{16}-[A-Za-z0-9_-]{20,}", "ID", text)
    return re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "WHEN", text)
