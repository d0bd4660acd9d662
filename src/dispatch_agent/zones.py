"""Time zone and state of a phone, by area code."""

from dataclasses import dataclass
from zoneinfo import ZoneInfo


@dataclass(frozen=True, slots=True)
class Place:
    """A time zone of IANA's, and the state whose holidays apply; None where the state is unknown."""

    zone: str
    state: str | None


# A code that crosses a border counts for the state that holds most of it: towns of Goiás around the Federal District
# have 61. phonenumbers' own time zones are not used: they give Noronha for all of 81.
_STATES = {
    Place("America/Sao_Paulo", "SP"): "11 12 13 14 15 16 17 18 19",
    Place("America/Sao_Paulo", "RJ"): "21 22 24",
    Place("America/Sao_Paulo", "ES"): "27 28",
    Place("America/Sao_Paulo", "MG"): "31 32 33 34 35 37 38",
    Place("America/Sao_Paulo", "PR"): "41 42 43 44 45 46",
    Place("America/Sao_Paulo", "SC"): "47 48 49",
    Place("America/Sao_Paulo", "RS"): "51 53 54 55",
    Place("America/Sao_Paulo", "DF"): "61",
    Place("America/Sao_Paulo", "GO"): "62 64",
    Place("America/Araguaina", "TO"): "63",
    Place("America/Cuiaba", "MT"): "65 66",
    Place("America/Campo_Grande", "MS"): "67",
    Place("America/Rio_Branco", "AC"): "68",
    Place("America/Porto_Velho", "RO"): "69",
    Place("America/Bahia", "BA"): "71 73 74 75 77",
    Place("America/Maceio", "SE"): "79",
    Place("America/Recife", "PE"): "81 87",
    Place("America/Maceio", "AL"): "82",
    Place("America/Fortaleza", "PB"): "83",
    Place("America/Fortaleza", "RN"): "84",
    Place("America/Fortaleza", "CE"): "85 88",
    Place("America/Fortaleza", "PI"): "86 89",
    Place("America/Belem", "PA"): "91 94",
    Place("America/Santarem", "PA"): "93",
    Place("America/Manaus", "AM"): "92 97",
    Place("America/Boa_Vista", "RR"): "95",
    Place("America/Belem", "AP"): "96",
    Place("America/Fortaleza", "MA"): "98 99",
}

AREAS = {area: place for place, areas in _STATES.items() for area in areas.split()}
"""Brazil's 67 area codes."""

NORONHA = Place("America/Noronha", "PE")


def place(phone: str) -> Place:
    """Return the place of `phone`, an E.164 number from `phones.sendable`.

    Fernando de Noronha has the area code of Recife and one landline exchange of its own, 3619; nothing distinguishes
    its mobile phones from those of Recife, nor the west of Amazonas from the rest (97, one hour behind Manaus).
    """
    if phone.startswith("+55813619") and len(phone) == len("+558136190000"):
        return NORONHA
    return AREAS[phone[3:5]]


def zone(name: str) -> ZoneInfo:
    """Return the zone called `name`. Raises `ValueError` when there is none."""
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError) as error:
        raise ValueError(f"{name!r} is not a time zone.") from error
