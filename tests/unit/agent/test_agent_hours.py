"""When a lead may be contacted: four zones, weekends, holidays of the nation and of the state."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phonenumbers import PhoneMetadata, geocoder, parse

from dispatch_agent import zones
from dispatch_agent.rules import hours
from support.deciding import decided, expected, lead, outcome

# Where, a phone there, and the hour of UTC at which a working day begins there.
PLACES = [
    ("America/Rio_Branco", "+5568999991234", 13),
    ("America/Manaus", "+5592999991234", 12),
    ("America/Manaus", "+5597999991234", 12),
    ("America/Porto_Velho", "+5569999991234", 12),
    ("America/Boa_Vista", "+5595999991234", 12),
    ("America/Cuiaba", "+5565999991234", 12),
    ("America/Campo_Grande", "+5567999991234", 12),
    ("America/Sao_Paulo", "+5511999991234", 11),
    ("America/Belem", "+5591999991234", 11),
    ("America/Santarem", "+5593999991234", 11),
    ("America/Recife", "+5581999991234", 11),
    ("America/Recife", "+558136181234", 11),
    ("America/Recife", "+5581936191234", 11),
    ("America/Recife", "+558136181234", 11),
    ("America/Noronha", "+558136191234", 10),
]


def on(day: int, hour: int) -> datetime:
    return datetime(2026, 11, day, hour, tzinfo=UTC)


@pytest.mark.parametrize(("zone", "phone", "opens"), PLACES)
@pytest.mark.parametrize(
    ("hour", "second", "reason"),
    [
        (0, -1, "fora do horário comercial: antes das 08:00; próxima janela: terça-feira, 24/11/2026, às 08:00"),
        (0, 0, None),
        (10, -1, None),
        (10, 0, "fora do horário comercial: a partir das 18:00; próxima janela: quarta-feira, 25/11/2026, às 08:00"),
    ],
    ids=["07:59:59", "08:00:00", "17:59:59", "18:00:00"],
)
def test_the_day_begins_and_ends_where_the_lead_is(
    zone: str, phone: str, opens: int, hour: int, second: int, reason: str | None
) -> None:
    moment = on(24, opens) + timedelta(hours=hour, seconds=second)
    found = decided(lead(telefones=(phone,)), moment)
    assert outcome(found) == expected("whatsapp", reason and f"{reason} ({zone})")


@pytest.mark.parametrize(
    ("zone", "moment", "reason"),
    [
        ("America/Sao_Paulo", on(24, 11), None),
        ("America/Manaus", on(24, 11), "antes das 08:00; próxima janela: terça-feira, 24/11/2026, às 08:00"),
        ("America/Manaus", on(24, 12), None),
        ("Europe/Lisbon", on(24, 8), None),
        ("Europe/Lisbon", on(24, 18), "a partir das 18:00; próxima janela: quarta-feira, 25/11/2026, às 08:00"),
    ],
)
def test_without_a_phone_the_tenant_s_zone_counts(zone: str, moment: datetime, reason: str | None) -> None:
    found = decided(lead(emails=("ana@exemplo.com.br",)), moment, zone=zone)
    assert outcome(found) == expected("email", reason and f"fora do horário comercial: {reason} ({zone})")


SP, RJ, PE, NORONHA, AC = "11 SP", "21 RJ", "81 PE", "81 Noronha", "68 AC"
PHONES = {NORONHA: "+558136191234"}


@pytest.mark.parametrize(
    ("where", "day", "why", "then"),
    [
        (SP, "2026-11-21", "sábado", "segunda-feira, 23/11/2026"),
        (SP, "2026-11-22", "domingo", "segunda-feira, 23/11/2026"),
        (AC, "2026-11-21", "sábado", "segunda-feira, 23/11/2026"),
        (SP, "2026-10-31", "sábado", "terça-feira, 03/11/2026"),
        (SP, "2026-01-01", "feriado (Confraternização Universal)", "sexta-feira, 02/01/2026"),
        (SP, "2026-04-03", "feriado (Sexta-feira Santa)", "segunda-feira, 06/04/2026"),
        (SP, "2026-04-21", "feriado (Tiradentes)", "quarta-feira, 22/04/2026"),
        (SP, "2026-05-01", "feriado (Dia do Trabalhador)", "segunda-feira, 04/05/2026"),
        (SP, "2026-09-07", "feriado (Independência do Brasil)", "terça-feira, 08/09/2026"),
        (SP, "2026-10-12", "feriado (Nossa Senhora Aparecida)", "terça-feira, 13/10/2026"),
        (SP, "2026-11-02", "feriado (Finados)", "terça-feira, 03/11/2026"),
        (SP, "2026-11-20", "feriado (Dia Nacional de Zumbi e da Consciência Negra)", "segunda-feira, 23/11/2026"),
        (AC, "2026-11-19", "feriado (Assinatura do Tratado de Petrópolis)", "segunda-feira, 23/11/2026"),
        (AC, "2026-11-17", None, None),
        (RJ, "2026-12-25", "feriado (Natal)", "segunda-feira, 28/12/2026"),
        (SP, "2027-01-01", "feriado (Confraternização Universal)", "segunda-feira, 04/01/2027"),
        ("69 RO", "2027-01-01", "feriado (Confraternização Universal)", "terça-feira, 05/01/2027"),
        ("69 RO", "2027-01-04", "feriado (Criação do Estado)", "terça-feira, 05/01/2027"),
        (SP, "2027-01-04", None, None),
        (SP, "2026-07-09", "feriado (Revolução Constitucionalista)", "sexta-feira, 10/07/2026"),
        ("19 SP", "2026-07-09", "feriado (Revolução Constitucionalista)", "sexta-feira, 10/07/2026"),
        (RJ, "2026-07-09", None, None),
        ("31 MG", "2026-07-09", None, None),
        (SP, "2026-02-16", None, None),
        (SP, "2026-02-17", None, None),
        (RJ, "2026-02-16", None, None),
        (RJ, "2026-02-17", "feriado (Carnaval)", "quarta-feira, 18/02/2026"),
        (SP, "2026-06-04", None, None),
        (SP, "2026-10-28", None, None),
        (SP, "2026-12-24", None, None),
        (SP, "2027-01-25", None, None),
        (RJ, "2026-04-23", "feriado (São Jorge)", "sexta-feira, 24/04/2026"),
        (PE, "2026-03-06", "feriado (Revolução Pernambucana de 1817)", "segunda-feira, 09/03/2026"),
        (NORONHA, "2026-03-06", "feriado (Revolução Pernambucana de 1817)", "segunda-feira, 09/03/2026"),
        ("71 BA", "2026-07-02", "feriado (Independência da Bahia)", "sexta-feira, 03/07/2026"),
        ("79 SE", "2026-07-08", "feriado (Emancipação política de Sergipe)", "quinta-feira, 09/07/2026"),
        ("82 AL", "2026-06-24", "feriado (São João)", "quinta-feira, 25/06/2026"),
        ("83 PB", "2026-08-05", "feriado (Fundação do Estado)", "quinta-feira, 06/08/2026"),
        ("84 RN", "2026-08-07", None, None),
        ("92 AM", "2026-12-08", "feriado (Nossa Senhora da Conceição)", "quarta-feira, 09/12/2026"),
        ("97 AM", "2026-12-08", "feriado (Nossa Senhora da Conceição)", "quarta-feira, 09/12/2026"),
        ("98 MA", "2026-12-08", None, None),
        ("61 DF", "2026-04-21", "feriado (Fundação de Brasília; Tiradentes)", "quarta-feira, 22/04/2026"),
        ("61 DF", "2026-06-04", "feriado (Corpus Christi)", "sexta-feira, 05/06/2026"),
        ("69 RO", "2026-06-18", None, None),
        ("85 CE", "2026-03-19", None, None),
        ("85 CE", "2025-08-15", None, None),
        ("86 PI", "2026-03-13", None, None),
        ("96 AP", "2028-07-25", None, None),
        ("96 AP", "2026-05-15", "feriado (Dia de Cabralzinho)", "segunda-feira, 18/05/2026"),
        ("64 GO", "2027-07-26", "feriado (Fundação da cidade de Goiás)", "terça-feira, 27/07/2027"),
        ("82 AL", "2027-11-29", "feriado (Dia do Evangélico)", "terça-feira, 30/11/2027"),
        ("88 CE", "2026-03-25", "feriado (Abolição da escravidão no Ceará)", "quinta-feira, 26/03/2026"),
        ("86 PI", "2026-10-19", "feriado (Dia do Piauí)", "terça-feira, 20/10/2026"),
        ("98 MA", "2026-07-28", "feriado (Adesão do Maranhão à independência do Brasil)", "quarta-feira, 29/07/2026"),
        ("96 AP", "2026-03-19", "feriado (São José)", "sexta-feira, 20/03/2026"),
        ("95 RR", "2026-10-05", "feriado (Criação do Estado)", "terça-feira, 06/10/2026"),
        ("61 DF", "2026-11-30", "feriado (Dia do Evangélico)", "terça-feira, 01/12/2026"),
        ("62 GO", "2026-11-30", None, None),
        ("27 ES", "2026-04-13", "feriado (Nossa Senhora da Penha)", "terça-feira, 14/04/2026"),
        ("63 TO", "2026-03-18", None, None),
        ("63 TO", "2025-08-15", "feriado (Senhor do Bonfim)", "segunda-feira, 18/08/2025"),
        (AC, "2026-06-15", "feriado (Aniversário do Acre)", "terça-feira, 16/06/2026"),
        (AC, "2026-01-23", "feriado (Dia do Evangélico)", "segunda-feira, 26/01/2026"),
    ],
)
def test_days_off(where: str, day: str, why: str | None, then: str | None) -> None:
    """No send at noon of a weekend or of a public holiday; optional and municipal days off are working days."""
    phone = PHONES.get(where, f"+55{where[:2]}999991234")
    found = decided(lead(telefones=(phone,)), datetime.fromisoformat(f"{day}T15:00Z"))
    assert outcome(found)[:2] == ("whatsapp", why is None)
    if why is None:
        assert found.razao_bloqueio is None
    else:
        start, _, end = str(found.razao_bloqueio).partition("; próxima janela: ")
        assert start.startswith(f"fora do horário comercial: {why}")
        assert end.startswith(str(then))


def test_the_day_of_the_lead_counts_not_that_of_utc() -> None:
    """Late on 8 July in São Paulo it is the 9th in UTC, and the next day is a holiday."""
    found = decided(lead(telefones=("+5511999991234",)), datetime(2026, 7, 9, 2, 30, tzinfo=UTC))
    assert found.razao_bloqueio == (
        "fora do horário comercial: a partir das 18:00; "
        "próxima janela: sexta-feira, 10/07/2026, às 08:00 (America/Sao_Paulo)"
    )


def test_without_a_state_only_the_nation_s_holidays_count() -> None:
    by_email = lead(emails=("ana@exemplo.com.br",))
    assert decided(by_email, datetime(2026, 7, 9, 15, tzinfo=UTC)).seria_executado
    assert not decided(by_email, datetime(2026, 9, 7, 15, tzinfo=UTC)).seria_executado


MOMENTS = st.datetimes(datetime(2000, 1, 2), datetime(2090, 1, 1), timezones=st.just(UTC))
EVERYWHERE = st.sampled_from([*zones.AREAS.values(), zones.NORONHA, zones.Place("Europe/Lisbon", None)])


@settings(deadline=None)
@given(MOMENTS, EVERYWHERE)
def test_the_next_window_is_the_first_one(moment: datetime, place: zones.Place) -> None:
    """It lies ahead, is open, the second before it is not, and nothing in between is."""
    opening = hours.next_opening(moment, place)
    assert opening > moment
    assert hours.closed(opening, place) is None
    assert hours.closed(opening - timedelta(seconds=1), place)
    if hours.closed(moment, place):
        step = (opening - moment) / 20
        assert all(hours.closed(moment + step * part, place) for part in range(20))


def test_all_area_codes_are_there() -> None:
    """phonenumbers has them in the pattern of a landline."""
    pattern = PhoneMetadata.metadata_for_region("BR").fixed_line.national_number_pattern
    in_use = {f"{area}" for area in range(10, 100) if re.fullmatch(pattern, f"{area}32061234")}
    assert in_use == set(zones.AREAS)
    assert len(in_use) == 67


STATES = {
    "BA": "Bahia",
    "CE": "Ceará",
    "ES": "Espirito Santo",
    "MA": "Maranhão",
    "MG": "Minas Gerais",
    "MT": "Mato Grosso",
    "AM": "Amazonas",
    "PA": "Pará",
    "PE": "Pernambuco",
    "PI": "Piauí",
    "PR": "Paraná",
    "RJ": "Rio de Janeiro",
    "RO": "Rondônia",
    "RR": "Roraima",
    "RS": "Rio Grande do Sul",
    "SC": "Santa Catarina",
    "SE": "Sergipe",
    "SP": "São Paulo",
}


@pytest.mark.parametrize(("area", "place"), zones.AREAS.items())
def test_an_area_code_s_state_is_that_of_its_landlines(area: str, place: zones.Place) -> None:
    town = geocoder.description_for_number(parse(f"+55{area}32345678"), "pt")
    assert town == STATES.get(str(place.state)) or town.endswith(f" - {place.state}")
