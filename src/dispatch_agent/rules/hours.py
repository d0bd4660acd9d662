"""Business hours: when a lead may be contacted, and when next."""

from datetime import date, datetime, time, timedelta
from functools import cache, lru_cache
from zoneinfo import ZoneInfo

from dispatch_agent.rules import state_holidays
from dispatch_agent.zones import Place

OPENS = time(8)
CLOSES = time(18)
"""No longer open at this time."""
GOOD_FRIDAY = "Sexta-feira Santa"

_WEEKDAYS = ("segunda-feira", "terça-feira", "quarta-feira", "quinta-feira", "sexta-feira", "sábado", "domingo")


@lru_cache(maxsize=1024)  # a run needs one moment and some thirty places
def closed(moment: datetime, place: Place) -> str | None:
    """Say in Portuguese why `place` is outside business hours at `moment`, which is aware, and when they begin next.

    Return None within business hours: Monday to Friday, 08:00 until before 18:00, local time, except on holidays.
    """
    local = moment.astimezone(ZoneInfo(place.zone))
    why = _day_off(local.date(), place.state) or _too_early_or_late(local.time())
    return why and f"{why}; próxima janela: {said(next_opening(moment, place))}"


def next_opening(moment: datetime, place: Place) -> datetime:
    """Return the first moment after `moment` at which business hours begin, in local time."""
    zone = ZoneInfo(place.zone)
    local = moment.astimezone(zone)
    day = local.date() if local.time() < OPENS else local.date() + timedelta(days=1)
    while _day_off(day, place.state):
        day += timedelta(days=1)
    return datetime.combine(day, OPENS, zone)


def window(begin: datetime, end: datetime, place: Place) -> tuple[datetime, datetime] | None:
    """Return the first business hours of `place` between two moments, or what is left of them; None without any."""
    opening = next_opening(begin, place) if closed(begin, place) else begin
    local = opening.astimezone(ZoneInfo(place.zone))
    return (opening, datetime.combine(local.date(), CLOSES, local.tzinfo)) if opening < end else None


def said(moment: datetime) -> str:
    """Say `moment`, whose zone has a name, as `segunda-feira, 23/11/2026, às 08:00 (America/Sao_Paulo)`."""
    return f"{_WEEKDAYS[moment.weekday()]}, {moment:%d/%m/%Y, às %H:%M} ({moment.tzinfo})"


def _too_early_or_late(local: time) -> str | None:
    if local < OPENS:
        return f"antes das {OPENS:%H:%M}"
    return f"a partir das {CLOSES:%H:%M}" if local >= CLOSES else None


def _day_off(day: date, state: str | None) -> str | None:
    if day.weekday() >= 5:
        return _WEEKDAYS[day.weekday()]
    holiday = _holidays(state, day.year).get(day)
    return holiday and f"feriado ({holiday})"


@cache  # one for each year of the 27 states, and of none
def _holidays(state: str | None, year: int) -> dict[date, str]:
    """Return the name of each holiday; where a state's and the nation's are on one day, both."""
    named = _national(year)
    if state is None:
        return named
    good_friday = next(day for day, name in named.items() if GOOD_FRIDAY in name)
    for day, name in state_holidays.of(state, good_friday + timedelta(days=2), named):
        named = named | {day: f"{name}; {named[day]}" if day in named else name}
    return named


@cache
def _national(year: int) -> dict[date, str]:
    from holidays import PUBLIC, country_holidays

    return dict(country_holidays("BR", years=year, categories=PUBLIC, language="pt_BR"))
