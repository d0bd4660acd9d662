"""A day of sends as time passes: within the limits at every moment, the most interested first."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatch_agent.lead import Lead
from dispatch_agent.rules import spread
from dispatch_agent.rules.decision import Circumstances
from dispatch_agent.rules.limits import Limits, Usage
from dispatch_agent.rules.spread import Day, Result, Sends
from support.deciding import decided, lead

ZONE = "America/Sao_Paulo"
MONDAY = datetime(2026, 11, 23, 11, tzinfo=UTC)
"""08:00 in São Paulo, 06:00 in Acre."""
PHONES = {"SP": "+5511999991234", "AC": "+5568999991234", "RJ": "+5521999991234"}


def by_phone(place: str = "SP", **different: object) -> Lead:
    return lead(telefones=(PHONES[place],), **different)


def by_email() -> Lead:
    return lead(emails=("ana@example.com",))


def simulated(
    leads: Iterable[Lead], now: datetime = MONDAY, sends: Iterable[Sends] = (), *, limits: Limits | None = None
) -> Result:
    circumstances = Circumstances(now, ZONE, limits or Limits())
    return spread.simulate(leads, circumstances, sends, Day.of(now, ZONE))


def hourly(result: Result) -> dict[str, int]:
    return {f"{hour:%H}": counted.total() for hour, counted in result.hourly.items()}


def test_a_day_with_the_usual_limits() -> None:
    """Ten a minute fill the hour in its first ten minutes; after five hours the day is full."""
    result = simulated([by_phone()] * 2_000)
    assert hourly(result) == {f"{hour:02}": 100 * (hour < 13) for hour in range(8, 18)}
    assert (result.leads, result.sent) == (2_000, 500)
    assert result.counts == {"whatsapp": {"executaria": 500, "bloqueios": {"limite por dia atingido": 1_500}}}


def test_what_the_hours_leave() -> None:
    """With limits for the minute alone, ten hours of sixty minutes."""
    result = simulated([by_phone()] * 9_000, limits=Limits(10, 10_000, 10_000, 10_000, 10_000))
    assert set(hourly(result).values()) == {600}
    assert result.counts["whatsapp"]["bloqueios"] == {"limite por minuto atingido": 3_000}


def test_a_full_channel_does_not_hold_up_the_other() -> None:
    limits = Limits(per_minute=10, per_hour=1_000, per_day=9_000, whatsapp_per_hour=5, email_per_hour=7)
    result = simulated([*[by_phone()] * 500, *[by_email()] * 500], limits=limits)
    assert all(counted == Counter(whatsapp=5, email=7) for counted in result.hourly.values())
    assert result.counts["email"]["bloqueios"] == {"limite de e-mail por hora atingido": 430}


def test_a_lead_waits_until_its_place_opens() -> None:
    """Acre opens at 10:00 of São Paulo and closes at 20:00; a holiday of its own keeps it closed all day."""
    result = simulated([by_phone("AC"), by_phone("SP")])
    assert {hour: number for hour, number in hourly(result).items() if number} == {"08": 1, "10": 1}
    assert list(hourly(result)) == [f"{hour:02}" for hour in range(8, 20)]
    holiday = simulated([by_phone("AC"), by_phone("SP")], datetime(2027, 1, 22, 11, tzinfo=UTC))
    assert holiday.counts["whatsapp"] == {"executaria": 1, "bloqueios": {"fora do horário comercial": 1}}


def test_the_most_interested_go_first() -> None:
    """Of two places that are open, by rank; a lead whose place is closed does not hold up those behind it."""
    few = Limits(per_minute=1, per_hour=3, per_day=3)
    leads = [by_phone("AC"), by_phone("SP"), by_phone("RJ"), by_email(), by_phone("SP")]
    result = simulated(leads, limits=few)
    assert result.counts == {
        "whatsapp": {"executaria": 2, "bloqueios": {"limite por dia atingido": 2}},
        "email": {"executaria": 1, "bloqueios": {}},
    }


def test_what_blocks_for_good_is_counted() -> None:
    leads = [lead(), by_phone(status="descartado"), by_phone(bloqueado=True), by_phone()]
    assert simulated(leads).counts == {
        "none": {"executaria": 0, "bloqueios": {"nenhum canal disponível": 1}},
        "whatsapp": {"executaria": 1, "bloqueios": {
            "lead encerrado": 1, "bloqueado a pedido da pessoa (LGPD)": 1,
        }},
    }  # fmt: skip


def test_sends_that_count_already() -> None:
    """Those of last evening leave the limit of the day as time passes; a coming one counts when it is due."""
    made = Sends(MONDAY - timedelta(hours=22), "whatsapp", 450)
    assert hourly(simulated([by_phone()] * 900, sends=[made])) == {
        "08": 50, "09": 0, "10": 100, "11": 100, "12": 100, "13": 100, "14": 50, "15": 0, "16": 0, "17": 0
    }  # fmt: skip
    coming = Sends(MONDAY + timedelta(hours=1), "email", 100)
    assert hourly(simulated([by_phone()] * 900, sends=[coming]))["09"] == 0


@pytest.mark.parametrize(
    ("now", "begin", "end"),
    [
        ("2026-11-23T07:10", "2026-11-23T07:10", "2026-11-24T00:00"),
        ("2026-11-23T17:59", "2026-11-23T17:59", "2026-11-24T00:00"),
        ("2026-11-23T18:00", "2026-11-24T00:00", "2026-11-25T00:00"),
        ("2026-11-20T09:00", "2026-11-23T00:00", "2026-11-24T00:00"),
        ("2026-11-28T23:59", "2026-11-30T00:00", "2026-12-01T00:00"),
    ],
)
def test_which_day(now: str, begin: str, end: str) -> None:
    """Today until midnight while business hours are ahead, else the next working day, from its first minute."""
    found = Day.of(datetime.fromisoformat(f"{now}-03:00"), ZONE)
    assert (f"{found.begin:%Y-%m-%dT%H:%M}", f"{found.end:%Y-%m-%dT%H:%M}") == (begin, end)


LEADS = st.lists(st.sampled_from([by_phone("SP"), by_phone("AC"), by_email(), lead()]), max_size=60)
BOUNDS = st.builds(Limits, *[st.integers(0, 12)] * 5)


@settings(max_examples=60, deadline=None)
@given(LEADS, BOUNDS, st.integers(0, 12))
def test_no_limit_is_passed(leads: list[Lead], limits: Limits, made: int) -> None:
    """Every lead is counted once, and what a run would send now is what goes out in the first minute."""
    result = simulated(leads, MONDAY + timedelta(hours=3), [Sends(MONDAY, "whatsapp", made)], limits=limits)
    assert sum(counted["executaria"] + sum(counted["bloqueios"].values()) for counted in result.counts.values()) == len(
        leads
    )
    for counted in result.hourly.values():
        assert counted.total() <= limits.per_hour
        assert counted["whatsapp"] <= limits.whatsapp_per_hour
        assert counted["email"] <= limits.email_per_hour
    assert result.sent + made <= max(limits.per_day, made)


@settings(max_examples=60, deadline=None)
@given(LEADS, BOUNDS)
def test_the_first_minute_is_a_run(leads: list[Lead], limits: Limits) -> None:
    now = MONDAY + timedelta(hours=3)
    usage = Usage()
    for one in leads:
        if decided(one, now, limits=limits, usage=usage).seria_executado:
            usage = usage.after(decided(one, now, limits=limits, usage=usage).canal)
    day = Day.of(now, ZONE)
    circumstances = Circumstances(now, ZONE, limits)
    only = spread.simulate(leads, circumstances, [], replace(day, end=day.begin + spread.MINUTE))
    assert only.sent == usage.day
