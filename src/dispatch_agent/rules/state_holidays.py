"""The holidays of each state, by the law that makes them.

`holidays` and `workalendar` disagree about them, and each of them differs from the laws; a test lists where and why.
A day is here where a law of the state, its constitution, or a decree for all of the state calls it a holiday; a day of
optional attendance (ponto facultativo) and a municipal holiday are not.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import date, timedelta

TUESDAY, WEDNESDAY, THURSDAY, FRIDAY = 1, 2, 3, 4
Move = Callable[[date, Collection[date]], date]


def stays(day: date, _: Collection[date]) -> date:
    """Return the day itself."""
    return day


def to_friday(day: date, taken: Collection[date]) -> date:
    """Move a day from Tuesday to Thursday to the Friday of its week (Acre, Lei 2.126/2009).

    Where that Friday is a holiday already, the day before it is free instead: in 2012 that of 5 September was on the
    6th, and the Decreto 11.809/2025 put 20 January 2026 on the 22nd. A governor may decree yet another day.
    """
    if day.weekday() not in (TUESDAY, WEDNESDAY, THURSDAY):
        return day
    while day.weekday() < FRIDAY:
        day += timedelta(days=1)
    while day in taken:
        day -= timedelta(days=1)
    return day


def to_the_weekend(day: date, _: Collection[date]) -> date:
    """Move a Tuesday to Monday, a Thursday to Friday (Alagoas, Lei 7.530/2013)."""
    return day + timedelta(days={TUESDAY: -1, THURSDAY: 1}.get(day.weekday(), 0))


@dataclass(frozen=True, slots=True)
class StateHoliday:
    """A yearly holiday of one state."""

    state: str
    when: tuple[int, int] | int
    """Month and day, or the number of days after Easter."""
    name: str
    law: str
    moved: Move = stays

    def falls_on(self, easter: date) -> date:
        """Return the day in the year of that Easter, before a law moves it."""
        if isinstance(self.when, int):
            return easter + timedelta(days=self.when)
        return date(easter.year, *self.when)


STATE_HOLIDAYS = (
    StateHoliday("AC", (1, 20), "Dia do Católico", "Lei 3.137/2016", to_friday),
    StateHoliday("AC", (1, 23), "Dia do Evangélico", "Lei 1.538/2004", to_friday),
    StateHoliday("AC", (3, 8), "Dia Internacional da Mulher", "Lei 1.411/2001", to_friday),
    StateHoliday("AC", (6, 15), "Aniversário do Acre", "Lei 14/1964"),
    StateHoliday("AC", (9, 5), "Dia da Amazônia", "Lei 243/1968", to_friday),
    StateHoliday("AC", (11, 17), "Assinatura do Tratado de Petrópolis", "Lei 57/1965", to_friday),
    StateHoliday("AL", (6, 24), "São João", "Lei 5.508/1993"),
    StateHoliday("AL", (6, 29), "São Pedro", "Lei 5.509/1993"),
    StateHoliday("AL", (9, 16), "Emancipação Política de Alagoas", "Lei 9.358/2024"),
    StateHoliday("AL", (11, 30), "Dia do Evangélico", "Lei 7.530/2013", to_the_weekend),
    StateHoliday("AM", (9, 5), "Elevação do Amazonas à categoria de província", "Lei 25/1977"),
    # No law of the state was found: Lei 496/1999 is that of Manaus. The governor extends it to the state each year.
    StateHoliday("AM", (12, 8), "Nossa Senhora da Conceição", "Decreto de 2/12/2025"),
    StateHoliday("AP", (3, 19), "São José", "Lei 667/2002"),
    StateHoliday("AP", (5, 15), "Dia de Cabralzinho", "Lei 2.213/2017"),
    StateHoliday("AP", (9, 13), "Criação do Território Federal", "Constituição do Estado, art. 355"),
    StateHoliday("BA", (7, 2), "Independência da Bahia", "Constituição do Estado, art. 6º, § 3º"),
    StateHoliday("CE", (3, 25), "Abolição da escravidão no Ceará", "Emenda Constitucional 73/2011"),
    StateHoliday("DF", (4, 21), "Fundação de Brasília", "Lei 72/1989"),
    StateHoliday("DF", 60, "Corpus Christi", "Lei 72/1989"),
    StateHoliday("DF", (11, 30), "Dia do Evangélico", "Lei 963/1995"),
    StateHoliday("ES", 8, "Nossa Senhora da Penha", "Lei 11.010/2019"),
    StateHoliday("GO", (7, 26), "Fundação da cidade de Goiás", "Lei 20.756/2020, art. 269"),
    StateHoliday("GO", (10, 24), "Pedra fundamental de Goiânia", "Lei 20.756/2020, art. 269"),
    StateHoliday("GO", (10, 28), "Dia do Servidor Público", "Lei 20.756/2020, art. 269"),
    StateHoliday("MA", (7, 28), "Adesão do Maranhão à independência do Brasil", "Lei 2.457/1964"),
    StateHoliday("MG", (4, 21), "Data magna de Minas Gerais", "Constituição do Estado, art. 256"),
    StateHoliday("MS", (10, 11), "Criação do Estado", "Lei 10/1979"),
    StateHoliday("PA", (8, 15), "Adesão do Grão-Pará à independência do Brasil", "Lei 5.999/1996"),
    StateHoliday("PB", (8, 5), "Fundação do Estado", "Lei 10.601/2015"),
    StateHoliday("PE", (3, 6), "Revolução Pernambucana de 1817", "Lei 16.241/2017, art. 49"),
    StateHoliday("PI", (10, 19), "Dia do Piauí", "Lei 176/1937"),
    StateHoliday("RJ", -47, "Carnaval", "Lei 5.243/2008"),
    StateHoliday("RJ", (4, 23), "São Jorge", "Lei 5.198/2008"),
    StateHoliday("RN", (10, 3), "Mártires de Cunhaú e Uruaçu", "Lei 8.913/2006"),
    StateHoliday("RO", (1, 4), "Criação do Estado", "Lei 2.291/2010"),
    StateHoliday("RR", (10, 5), "Criação do Estado", "Constituição do Estado, art. 9º"),
    StateHoliday("RS", (9, 20), "Dia do Gaúcho", "Constituição do Estado, art. 6º"),
    StateHoliday("SE", (7, 8), "Emancipação política de Sergipe", "Constituição do Estado, art. 269"),
    StateHoliday("SP", (7, 9), "Revolução Constitucionalista", "Lei 9.497/1997"),
    StateHoliday("TO", (8, 15), "Senhor do Bonfim", "Lei 4.509/2024"),
    StateHoliday("TO", (9, 8), "Nossa Senhora da Natividade", "Lei 627/1993"),
    StateHoliday("TO", (10, 5), "Criação do Estado", "Lei 98/1989"),
)

WITHOUT = {
    "MT": "20 November, of Lei 7.879/2002, is a national holiday now",
    "PR": "Lei 18.384/2014 says that 19 December is none",
    "SC": "Lei 18.531/2022 moves 11 August and 25 November from working days to the Sunday after",
}
"""The states that have no holiday of their own on a working day, and why."""


def of(state: str, easter: date, national: Collection[date]) -> Iterator[tuple[date, str]]:
    """Yield day and name of each holiday of `state` in the year of `easter`; `national` are those of the nation."""
    falling = [(one, one.falls_on(easter)) for one in STATE_HOLIDAYS if one.state == state]
    for one, day in falling:
        yield one.moved(day, {*national, *(other for _, other in falling if other != day)}), one.name
