"""Statistics of the agent's decisions by day, channel and kind of reason."""

import itertools
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Date, case, cast, func, literal, null, select

from models import DryRunLog

CHANNELS = ("whatsapp", "email", "calendar", "none")
SHADES = ("█", "▓", "▒", "░")
"""Distinguish the channels without colour."""
COLOURS = ("green+", "blue+", "orange+", "gray")
PLOT_HEIGHT = 16
# Two columns for the day of the month, one for the gap.
NARROWEST_BAR = 3
WHOLE_LABEL = 6
"""The columns of a bar whose label has the month too, as in `30/11`, and a gap."""
AXIS = 6
"""The columns of the plot's borders and margins, beside the marks of the other axis."""
TALLIED = ("channel", "reason", "decisions")
UNSAID = "(sem motivo)"
Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Tally:
    """The number of decisions of one day, channel and kind of reason; the reason is None where nothing blocked them."""

    day: date
    channel: str
    reason: str | None
    decisions: int


@dataclass(frozen=True)
class Stats:
    """The tallies of the `days` days up to `today`, in the order of day, channel and number."""

    today: date
    days: int
    tallies: list[Tally]

    @property
    def decisions(self) -> int:
        """Return the number of all decisions."""
        return sum(one.decisions for one in self.tallies)

    @property
    def dates(self) -> list[date]:
        """Return each day, the oldest first, including days without decisions."""
        return [self.today - timedelta(days=ago) for ago in reversed(range(self.days))]


def as_data(stats: Stats) -> list[dict[str, object]]:
    """Return the tallies for JSON, `reason` null where nothing blocked them."""
    return [asdict(one) for one in stats.tallies]


def read(connection: Connection, tenant: UUID | None, days: int) -> Stats:
    """Count the decisions of today and the days before it, of one tenant or of all.

    A day begins and ends in the zone of the session, in which `created_at` was written too. The kind of a
    reason is its text before the first colon; numbers and times follow the colon.
    """
    today: date = connection.execute(select(func.current_date())).scalar_one()
    day, channel, reason = cast(DryRunLog.created_at, Date), DryRunLog.canal_decidido, _kind()
    decisions = func.count()
    query = select(day, channel, reason, decisions).where(DryRunLog.created_at >= today - timedelta(days=days - 1))
    if tenant is not None:
        query = query.where(DryRunLog.tenant_id == tenant)
    query = query.group_by(day, channel, reason).order_by(day, channel, decisions.desc(), reason)
    return Stats(today, days, [Tally(*row) for row in connection.execute(query)])


def from_answer(answer: Mapping[str, Any]) -> Stats:
    """Return the statistics in the answer of a function."""
    tallies = [Tally(date.fromisoformat(one["day"]), *(one[key] for key in TALLIED)) for one in answer["tallies"]]
    return Stats(date.fromisoformat(answer["today"]), answer["days"], tallies)


def per_day(stats: Stats) -> list[dict[str, str]]:
    """Return a row for each day that has decisions, with each channel's number."""
    sent = _sums((one.day, one.decisions) for one in stats.tallies if one.reason is None)
    return [
        {"dia": str(day), **row, "seria executado": f"{sent[day]:,}"}
        for day in stats.dates
        if (row := _across([one for one in stats.tallies if one.day == day]))
    ]


def per_reason(stats: Stats) -> list[dict[str, str]]:
    """Return a row for each kind of reason, the commonest first, with each channel's number."""
    kinds = _sums((one.reason, one.decisions) for one in stats.tallies if one.reason is not None)
    return [
        {"motivo do bloqueio": kind, **_across([one for one in stats.tallies if one.reason == kind])}
        for kind, _ in kinds.most_common()
    ]


def plain(stats: Stats) -> list[dict[str, str]]:
    """Return the tallies themselves, for programs."""
    return [
        {"dia": str(one.day), "canal": one.channel, "motivo": one.reason or "", "decisões": str(one.decisions)}
        for one in stats.tallies
    ]


def plot(stats: Stats, width: int, coloured: bool) -> str:
    """Draw the decisions of each day as a stacked bar of the channels; all bars together are `width` columns wide.

    Leave out the oldest days where the width is too small for a bar each, with its label.
    """
    import plotext

    numbers = _sums(((one.day, one.channel), one.decisions) for one in stats.tallies)
    highest = max(_sums((one.day, one.decisions) for one in stats.tallies).values(), default=0)
    days = stats.dates[-max(1, (width - AXIS - len(f"{highest:,}")) // NARROWEST_BAR) :]
    figure, places, base = plotext.figure, list(range(1, len(days) + 1)), [0] * len(days)
    plotext.terminal.limit(False, False)
    figure.clear()
    figure.theme("colorless").legend(False).plot_size(width, PLOT_HEIGHT)
    for channel, shade, colour in zip(CHANNELS, SHADES, COLOURS, strict=True):
        top = [low + numbers[day, channel] for low, day in zip(base, days, strict=True)]
        figure.draw(figure.bar(places, base, top, marker=plotext.marker(shade, plotext.pixel(colour)), width=0.7))
        base = top
    # a day without decisions has no bar, and the plot would omit it at either end
    figure.ruler("x").lim(0.5, len(days) + 0.5)
    # plotext omits what is near to the next label, and the last one; a short one leaves each its mark
    figure.ruler("x").ticks(places, ["." for _ in days])
    figure.ruler("y").ticks(*_marks(max(base)))
    # plotext omits a title that is wider than the terminal
    legend = "   ".join(f"{shade} {channel}" for channel, shade in zip(CHANNELS, SHADES, strict=True))
    drawn = figure.build()
    bars = str(drawn.string(colorless=not coloured)).rstrip().splitlines()[:-1]
    axis = str(drawn.string(colorless=True)).rstrip().splitlines()[-2]
    return "\n".join([legend, *bars, *_labels(days, [place for place, mark in enumerate(axis) if mark == "┬"])])


def _labels(days: list[date], places: list[int]) -> Iterator[str]:
    """Yield the lines under the bars, whose middles are `places`: each bar's day, and its month where that changes."""
    wide = all(after - before >= WHOLE_LABEL for before, after in itertools.pairwise(places))
    yield _spread([f"{day:%d/%m}" if wide else f"{day:%d}" for day in days], places)
    if not wide:
        months = [f"/{day:%m}" if before is None or day.month != before.month else "" for before, day in
                  zip([None, *days], days, strict=False)]  # fmt: skip
        yield _spread(months, places)


def _spread(labels: list[str], places: list[int]) -> str:
    line = ""
    for label, place in zip(labels, places, strict=True):
        line = line.ljust(place - len(label) // 2) + label
    return line.rstrip()


def _kind() -> ColumnElement[Any]:
    words = func.trim(func.split_part(func.coalesce(DryRunLog.razao_bloqueio, ""), ":", 1))
    said = case((words == "", literal(UNSAID)), else_=words)
    return case((func.coalesce(DryRunLog.disparo_seria_executado, False), null()), else_=said)


def _sums(numbered: Iterable[tuple[Key, int]]) -> Counter[Key]:
    sums: Counter[Key] = Counter()
    for key, number in numbered:
        sums[key] += number
    return sums


def _across(tallies: list[Tally]) -> dict[str, str]:
    """Return the number of each channel and their total, an empty row where there are no tallies."""
    sums = _sums((one.channel, one.decisions) for one in tallies)
    if not sums:
        return {}
    return {channel: f"{sums[channel]:,}" for channel in CHANNELS} | {"total": f"{sums.total():,}"}


def _marks(highest: int) -> tuple[list[int], list[str]]:
    """Mark nothing, half and all of the highest bar, in whole decisions."""
    marks = sorted({0, highest // 2, highest})
    return marks, [f"{mark:,}" for mark in marks]
