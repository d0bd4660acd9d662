"""A day of sends to all leads, as time passes: how many the limits and the business hours let through in each hour.

A run decides on all its leads at one moment, so that a limit per minute blocks nearly all of them. Here each lead waits
until it is within business hours and no limit is reached, the most interested first.
"""

from array import array
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time, timedelta
from typing import Any

from dispatch_agent import zones
from dispatch_agent.lead import Lead
from dispatch_agent.rules import hours, limits
from dispatch_agent.rules.decision import OUTSIDE, Circumstances, decide
from dispatch_agent.rules.limits import Limits, Usage
from dispatch_agent.zones import Place

CHANNELS = ("whatsapp", "email", "calendar")
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
UNLIMITED = Limits(*[1 << 62] * 5)


@dataclass(frozen=True, slots=True)
class Day:
    """What remains of a working day of the tenant, until its midnight; in the tenant's zone."""

    begin: datetime
    end: datetime

    @classmethod
    def of(cls, now: datetime, zone: str) -> "Day":
        """Return the day of `now` if the tenant's business hours are not over, else the next working day."""
        place, local = Place(zone, None), zones.zone(zone)
        opening = hours.next_opening(now, place) if hours.closed(now, place) else now.astimezone(local)
        midnight = datetime.combine(opening.date(), time(), local)
        return cls(max(now.astimezone(local), midnight), midnight + DAY)

    def minutes(self) -> Iterator[datetime]:
        """Yield the moments at which sends begin."""
        # in UTC, since adding to a local time ignores a change to daylight saving time
        moment, end = self.begin.astimezone(UTC), self.end.astimezone(UTC)
        while moment < end:
            yield moment
            moment += MINUTE


@dataclass(frozen=True, slots=True)
class Sends:
    """Sends by one channel at one moment, made or coming."""

    moment: datetime
    channel: str
    number: int


@dataclass(slots=True)
class Result:
    """What a day of sends would come to."""

    day: Day
    leads: int = 0
    hourly: dict[datetime, Counter[str]] = field(default_factory=dict)
    """The sends of each hour in which anyone could be reached, by channel; the key is its beginning."""
    counts: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By channel, as in the answer of a run: what would be sent, and what not by the rule that blocks it."""

    def count(self, channel: str) -> dict[str, Any]:
        """Return the counts of a channel."""
        return self.counts.setdefault(channel, {"executaria": 0, "bloqueios": Counter()})

    @property
    def sent(self) -> int:
        """Return the number of leads that would be sent to."""
        return sum(counted["executaria"] for counted in self.counts.values())


@dataclass(slots=True)
class _Queue:
    """Leads of one place and channel, by their rank among all leads."""

    channel: str
    begin: datetime
    end: datetime
    ranks: "array[int]" = field(default_factory=lambda: array("L"))
    gone: int = 0
    rule: str = OUTSIDE
    """What kept the first one waiting, last."""

    @property
    def waiting(self) -> int:
        return len(self.ranks) - self.gone


class _Rolling:
    """The sends of the last minute, hour and day."""

    def __init__(self, sends: Iterable[Sends]) -> None:
        self.coming = deque(sorted(sends, key=lambda one: one.moment))
        self.windows = {length: (deque[Sends](), Counter[str]()) for length in (MINUTE, HOUR, DAY)}

    def add(self, sends: Sends) -> None:
        for kept, counted in self.windows.values():
            kept.append(sends)
            counted[sends.channel] += sends.number

    def usage(self, moment: datetime) -> Usage:
        """Return the usage at a moment that is not before that of the previous call."""
        while self.coming and self.coming[0].moment <= moment:
            self.add(self.coming.popleft())
        for length, (kept, counted) in self.windows.items():
            while kept and moment - kept[0].moment >= length:
                old = kept.popleft()
                counted[old.channel] -= old.number
        minute, hour, day = (counted for _, counted in self.windows.values())
        return Usage(minute.total(), hour.total(), day.total(), hour["whatsapp"], hour["email"])


def simulate(leads: Iterable[Lead], circumstances: Circumstances, sends: Iterable[Sends], day: Day) -> Result:
    """Return how a day of sends to `leads` would go, which come in their order; `sends` are those that count already.

    A lead is decided on at the beginning of the day, and sent to in the first minute in which its place is open and the
    limits of `circumstances` allow it.
    """
    result = Result(day)
    queues = list(_queues(leads, replace(circumstances, agora=day.begin, limits=UNLIMITED), result))
    rolling = _Rolling(sends)
    for moment in day.minutes():
        if opened := [one for one in queues if one.begin <= moment < one.end]:
            hour = moment.astimezone(day.begin.tzinfo).replace(minute=0, second=0, microsecond=0)
            counted = result.hourly.setdefault(hour, Counter())
            for channel, number in _fill(opened, circumstances.limits, rolling.usage(moment)).items():
                rolling.add(Sends(moment, channel, number))
                counted[channel] += number
    for one in queues:
        counts = result.count(one.channel)
        counts["executaria"] += one.gone
        if one.waiting:
            counts["bloqueios"][one.rule] += one.waiting
    return result


def _queues(leads: Iterable[Lead], circumstances: Circumstances, result: Result) -> Iterable[_Queue]:
    """Return the leads that only have to wait; count the others."""
    queues: dict[tuple[Place, str], _Queue | None] = {}
    for rank, lead in enumerate(leads):
        result.leads += 1
        one = decide(lead, circumstances, Usage())
        rule = (one.razao_bloqueio or OUTSIDE).partition(":")[0]
        if rule == OUTSIDE:
            key = one.place, one.canal
            if key not in queues:
                window = hours.window(result.day.begin, result.day.end, one.place)
                queues[key] = window and _Queue(one.canal, *window)
            if queue := queues[key]:
                queue.ranks.append(rank)
                continue
        result.count(one.canal)["bloqueios"][rule] += 1
    return filter(None, queues.values())


def _fill(opened: list[_Queue], bounds: Limits, usage: Usage) -> Counter[str]:
    """Send at one moment what the limits allow, by rank, and return the number by channel."""
    gone: Counter[str] = Counter()
    while True:
        full = {one: rule.partition(":")[0] for one in CHANNELS if (rule := limits.reached(bounds, usage, one))}
        free = [one for one in opened if one.waiting and one.channel not in full]
        if not free:
            break
        first = min(free, key=lambda one: one.ranks[one.gone])
        first.gone += 1
        gone[first.channel] += 1
        usage = usage.after(first.channel)
    for one in opened:
        if one.waiting:
            one.rule = full[one.channel]
    return gone
