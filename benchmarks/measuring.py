"""Measurements in turn, so that other load affects all subjects alike; every single figure is kept."""

import os
import platform
import statistics
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

OURS = "ours"
ITSELF = ""
"""The key in `Figure.at_most` for a limit of the figure itself, not of a ratio."""


@dataclass(frozen=True)
class Bench:
    """The extent of a run: all of it, or a quick one of three minutes."""

    quick: bool
    folder: Path
    """A temporary folder."""

    @property
    def rounds(self) -> int:
        return 2 if self.quick else 7


@dataclass(frozen=True)
class Figure:
    """One quantity that was measured in turn: a value for each round, by subject, ours first."""

    name: str
    unit: str
    values: dict[str, list[float]]
    at_most: dict[str, float | None] = field(default_factory=dict)
    """The goals of the first subject: its ratio to another, or the value itself; None only shows the ratio."""

    def as_json(self) -> dict[str, Any]:
        """Return the figure with its medians and the subject's ratios to the others."""
        subject, *others = self.values
        compared = [] if ITSELF in self.at_most else others
        return {
            **asdict(self),
            "values": {who: [round(value, 4) for value in values] for who, values in self.values.items()},
            "medians": {who: _short(statistics.median(values)) for who, values in self.values.items()},
            "ratios": {who: _ratio(self.values[subject], self.values[who]) for who in compared},
        }


@dataclass(frozen=True)
class Table:
    """Results that are not compared figures: rows of text."""

    header: list[str]
    rows: list[list[str]]


@dataclass(frozen=True)
class Chapter:
    """The results of a case, with its text."""

    title: str
    text: str
    figures: list[Figure]
    tables: list[Table] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return {
            "title": self.title,
            "text": self.text,
            "figures": [figure.as_json() for figure in self.figures],
            "tables": [asdict(table) for table in self.tables],
        }


def in_turn(
    rounds: int, works: Mapping[str, Callable[[], T]], once: frozenset[str] = frozenset()
) -> dict[str, list[T]]:
    """Call each work once a round, every other round in the opposite order, and return what they returned.

    A round before the first warms up caches and writes bytecode; it is not counted. The subjects in `once` run in that
    round and in the first only.
    """
    found: dict[str, list[T]] = {who: [] for who in works}
    for number in range(rounds + 1):
        for who in list(works)[:: -1 if number % 2 else 1]:
            if number > 1 and who in once:
                continue
            value = works[who]()
            if number:
                found[who].append(value)
    return found


def machine() -> dict[str, Any]:
    """Return the properties of the machine, and its load before the run."""
    model = next((line for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "unknown").split(":")[-1]
    memory_kib = next((int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), 0)
    return {
        "processor": model.strip(),
        "cores": os.cpu_count(),
        "memory": f"{memory_kib / 2**20:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 2),
    }


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if sys.platform == "linux" else []


def _ratio(ours: list[float], theirs: list[float]) -> dict[str, float]:
    found = [mine / other for mine, other in zip(ours, theirs, strict=False)]
    values = {"median": statistics.median(found), "low": min(found), "high": max(found)}
    return {"rounds": len(found), **{name: round(value, 4) for name, value in values.items()}}


def _short(value: float) -> float:
    return round(value, 3 if value < 1 else 2 if value < 100 else 0)
