"""The holidays of the states: against two libraries, in the documentation, and where a law moves them."""

from collections.abc import Iterator
from datetime import date

import pytest
from holidays import country_holidays
from workalendar.registry import registry

from dispatch_agent import zones
from dispatch_agent.rules import hours, state_holidays
from dispatch_agent.rules.state_holidays import STATE_HOLIDAYS, WITHOUT, StateHoliday
from support.project import ROOT

STATES = sorted({str(place.state) for place in zones.AREAS.values()})
YEAR = 2027
"""A year in which laws of Acre and of Alagoas move a day, and no day of a state is one of the nation's."""

# Where a library differs from our table: the state, the day of 2027, which library is right, and why.
DISAGREEMENTS = [
    ("AC", "01-22", "neither", "Lei 3.137/2016: 20 January, on this Friday by Lei 2.126/2009"),
    ("AC", "03-08", "holidays", "Lei 1.411/2001"),
    ("AC", "08-06", "holidays", "a ponto facultativo in the calendars of 2025 and 2026 (Decretos 11.610, 11.809)"),
    ("AC", "11-17", "holidays", "Lei 2.126/2009 moves it to the Friday"),
    ("AC", "11-19", "holidays", "Lei 2.126/2009: the Friday after the 17th"),
    ("AL", "11-29", "neither", "Lei 7.530/2013: the Monday before a Tuesday"),
    ("AL", "11-30", "workalendar", "right about 2027 only, since it lacks the holiday in every year"),
    ("AM", "12-08", "workalendar", "decreed for the state each year, last on 2 December 2025"),
    ("AP", "05-15", "neither", "Lei 2.213/2017"),
    ("AP", "07-25", "neither", "Lei 1.696/2012 is unconstitutional: STF, ADI 4820, 2018"),
    ("AP", "10-05", "holidays", "no law: the Data Magna is 13 September (Constituição do Estado, art. 355)"),
    ("CE", "03-19", "neither", "a holiday of Fortaleza (Lei Municipal 8.796/2003) and of other towns"),
    ("CE", "03-23", "holidays", "no law: the Data Magna is 25 March (Emenda Constitucional 73/2011)"),
    ("CE", "08-15", "workalendar", "a holiday of Fortaleza (Lei Municipal 8.796/2003)"),
    ("DF", "05-27", "neither", "Lei 72/1989, art. 1º: Corpus Christi is a holiday here"),
    ("ES", "04-05", "holidays", "Lei 11.010/2019: the Monday eight days after Easter"),
    ("ES", "10-28", "holidays", "a ponto facultativo"),
    ("GO", "07-26", "holidays", "Lei 20.756/2020, art. 269, II, a"),
    ("GO", "10-24", "holidays", "Lei 20.756/2020, art. 269, II, b"),
    ("GO", "10-28", "workalendar", "Lei 20.756/2020, art. 269, II, c"),
    ("MA", "12-08", "holidays", "a holiday of São Luís (Lei Municipal 3.432/1996)"),
    ("MT", "11-29", "holidays", "Lei 7.879/2002 named 20 November, now a national holiday"),
    ("PA", "12-08", "holidays", "a ponto facultativo (Decreto 3.640/2024)"),
    ("PB", "07-26", "holidays", "Lei 10.601/2015 repealed it"),
    ("PE", "03-06", "holidays", "Lei 16.241/2017, art. 49"),
    ("PE", "06-03", "holidays", "day and month interchanged"),
    ("PE", "06-24", "holidays", "a holiday of Recife and of other towns"),
    ("PI", "03-13", "holidays", "no law: the Data Magna is 19 October (Lei 176/1937)"),
    ("PR", "12-19", "holidays", "Lei 18.384/2014: not a holiday"),
    ("RJ", "03-01", "holidays", "the anniversary of the city of Rio"),
    ("RJ", "10-18", "holidays", "the day off of those employed in commerce"),
    ("RJ", "10-28", "holidays", "a ponto facultativo"),
    ("RJ", "12-08", "holidays", "a holiday of some towns"),
    ("RN", "06-29", "holidays", "no law of the state was found"),
    ("RN", "08-07", "workalendar", "Lei 7.831/2000 makes the day, and no holiday"),
    ("RO", "06-18", "neither", "Lei 1.026/2001 is unconstitutional: STF, ADI 3940, 2020"),
    ("SC", "08-11", "holidays", "Lei 18.531/2022 moves it to a Sunday"),
    ("SC", "08-15", "workalendar", "a Sunday, which needs no holiday"),
    ("SC", "11-25", "holidays", "Lei 18.531/2022 moves it to a Sunday"),
    ("SC", "11-28", "workalendar", "a Sunday, which needs no holiday"),
    ("TO", "03-18", "neither", "Lei 2.013/2009 repealed it"),
    ("TO", "08-15", "neither", "Lei 4.509/2024"),
]  # fmt: skip


def test_where_the_libraries_disagree_with_the_laws() -> None:
    """A new version of either that has other days makes this list grow or shrink, and the law decides."""
    found = [(state, day, right) for state in STATES for day, right in compared(state)]
    assert found == [(state, day, right) for state, day, right, _ in DISAGREEMENTS]


def compared(state: str) -> Iterator[tuple[str, str]]:
    """Yield each day on which a library differs from our table, with the library that agrees."""
    ours = named(hours._holidays(state, YEAR))
    theirs = {
        "holidays": named(country_holidays("BR", subdiv=state, years=YEAR)),
        "workalendar": named(dict(registry.get(f"BR-{state}")().holidays(YEAR))),
    }
    for day in sorted(set().union(ours, *theirs.values())):
        right = [library for library, days in theirs.items() if (day in days) == (day in ours)]
        if len(right) < len(theirs):
            yield day, right[0] if right else "neither"


def named(days: dict[date, str]) -> set[str]:
    """Return the days without those of the nation, as either library knows them."""
    national = {*hours._national(YEAR), *dict(registry.get("BR")().holidays(YEAR))}
    return {f"{day:%m-%d}" for day in days if day not in national}


def test_every_state_is_decided_on() -> None:
    assert sorted({*WITHOUT, *(one.state for one in STATE_HOLIDAYS)}) == STATES
    assert len(STATES) == 27


@pytest.mark.parametrize(
    ("state", "year", "name", "day"),
    [
        ("AC", 2020, "Assinatura do Tratado de Petrópolis", "2020-11-20"),
        ("AC", 2021, "Dia Internacional da Mulher", "2021-03-08"),
        ("AC", 2022, "Dia do Católico", "2022-01-21"),
        ("AC", 2023, "Dia Internacional da Mulher", "2023-03-10"),
        ("AC", 2023, "Dia da Amazônia", "2023-09-08"),
        ("AC", 2023, "Aniversário do Acre", "2023-06-15"),
        ("AC", 2024, "Dia do Evangélico", "2024-01-26"),
        ("AC", 2025, "Dia do Católico", "2025-01-20"),
        ("AC", 2026, "Dia do Católico", "2026-01-22"),
        ("AC", 2026, "Dia do Evangélico", "2026-01-23"),
        ("AC", 2012, "Dia da Amazônia", "2012-09-06"),
        ("AL", 2020, "Dia do Evangélico", "2020-11-30"),
        ("AL", 2021, "Dia do Evangélico", "2021-11-29"),
        ("AL", 2023, "Dia do Evangélico", "2023-12-01"),
    ],
)
def test_a_moved_day_is_where_it_was(state: str, year: int, name: str, day: str) -> None:
    """As the state's government announced it in that year."""
    assert name in hours._holidays(state, year)[date.fromisoformat(day)]
    assert sum(name in found for found in hours._holidays(state, year).values()) == 1


MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
          "December")  # fmt: skip
EASTER = {-47: "Tuesday before Ash Wednesday", 8: "Monday eight days after Easter", 60: "Thursday 60 days after Easter"}
MOVED = {
    state_holidays.stays: "",
    state_holidays.to_friday: "; from Tuesday to Thursday on the Friday after",
    state_holidays.to_the_weekend: "; of a Tuesday the Monday, of a Thursday the Friday",
}


def row(one: StateHoliday) -> str:
    day = EASTER[one.when] if isinstance(one.when, int) else f"{one.when[1]} {MONTHS[one.when[0] - 1]}"
    return f"| {one.state} | {day}{MOVED[one.moved]} | {one.name} | {one.law} |"


def test_the_documentation_has_the_same_table() -> None:
    written = [line for line in (ROOT / "docs" / "agent.md").read_text().splitlines() if line[4:7] == " | "]
    without = [f"| {state} | none | {why} | |" for state, why in WITHOUT.items()]
    assert written == sorted([*map(row, STATE_HOLIDAYS), *without], key=lambda line: line[2:4])
