"""What blocks a send, which reason comes first, and what bad data costs."""

from datetime import timedelta

import pytest

from dispatch_agent.rules import limits
from dispatch_agent.rules.decision import Circumstances
from dispatch_agent.rules.limits import Limits, Usage
from support.deciding import NATAL, NOBODY, TUESDAY, decided, expected, lead, outcome

BY_LEAD = "bloqueado a pedido da pessoa (LGPD): lead na lista de bloqueio"
BY_PHONE = "bloqueado a pedido da pessoa (LGPD): telefone na lista de bloqueio"
BY_EMAIL = "bloqueado a pedido da pessoa (LGPD): e-mail na lista de bloqueio"
ANA = "ana@exemplo.com.br"
ABROAD = "+1 415 555 2671"


@pytest.mark.parametrize(
    ("given", "blocklist", "canal", "reason"),
    [
        ({"telefones": (NATAL,)}, (), "whatsapp", None),
        ({"telefones": (NATAL,)}, ("+5584997084445", "bia@exemplo.com.br"), "whatsapp", None),
        ({"telefones": (NATAL,), "bloqueado": True}, (), "whatsapp", BY_LEAD),
        ({"telefones": (NATAL,), "bloqueado": True}, (NATAL,), "whatsapp", BY_LEAD),
        ({"emails": (ANA,), "bloqueado": True}, (), "email", BY_LEAD),
        ({"telefones": (NATAL,)}, (NATAL,), "whatsapp", BY_PHONE),
        ({"telefones": (NATAL,)}, ("(84)99708-4444",), "whatsapp", BY_PHONE),
        ({"telefones": (NATAL,)}, ("084 99708-4444",), "whatsapp", BY_PHONE),
        ({"telefones": (NATAL,)}, ("84 9708-4444",), "whatsapp", BY_PHONE),
        ({"telefones": ("84 9708-4444", "+5511987654321")}, (NATAL,), "whatsapp", BY_PHONE),
        ({"telefones": ("(84)3206-1234",)}, ("84 93206-1234",), "whatsapp", None),
        ({"telefone_raw": "x|(84) 99708-4444"}, (NATAL,), "whatsapp", BY_PHONE),
        ({"telefones": ("+5511987654321", NATAL)}, (NATAL,), "whatsapp", BY_PHONE),
        ({"telefones": ("+5511987654321",), "telefone_raw": NATAL}, (NATAL,), "whatsapp", BY_PHONE),
        ({"telefones": ("+5511987654321",), "recusados": (NATAL,)}, (NATAL,), "whatsapp", BY_PHONE),
        ({"telefones": (NATAL, ABROAD)}, ("+1 (415) 555-2671",), "whatsapp", BY_PHONE),
        ({"telefones": (NATAL,), "telefone_raw": "n/a"}, ("n/a", "-", "", "0"), "whatsapp", None),
        ({"telefones": (NATAL,), "email_raw": "@"}, ("@",), "whatsapp", None),
        ({"emails": (ANA,)}, (ANA,), "email", BY_EMAIL),
        ({"emails": (ANA,)}, ("ANA@Exemplo.com.BR",), "email", BY_EMAIL),
        ({"emails": ("Ana@EXEMPLO.com.br",)}, (ANA,), "email", BY_EMAIL),
        ({"emails": (ANA,)}, (" ana@exemplo.com.br ",), "email", BY_EMAIL),
        ({"emails": (ANA,)}, ("ana@exemplo.com",), "email", None),
        ({"emails": ("ana@xn--ao-siap.com.br",)}, ("ana@ação.com.br",), "email", BY_EMAIL),
        ({"telefones": (NATAL,), "emails": (ANA,)}, (ANA,), "whatsapp", BY_EMAIL),
        ({"telefones": (NATAL,), "email_raw": f"x|{ANA}"}, (ANA,), "whatsapp", BY_EMAIL),
        ({"telefones": (NATAL,), "emails": ("ana@empresa",)}, ("Ana@empresa",), "whatsapp", BY_EMAIL),
        ({"agendamento": TUESDAY + timedelta(1), "emails": (ANA,)}, (ANA,), "calendar", BY_EMAIL),
        ({"agendamento": TUESDAY + timedelta(1), "bloqueado": True}, (), "calendar", BY_LEAD),
    ],
)
def test_the_blocklist(given: dict[str, object], blocklist: tuple[str, ...], canal: str, reason: str | None) -> None:
    """Who asked to be left alone is, however the contact is written, and whichever of the lead's contacts it is."""
    assert outcome(decided(lead(**given), blocklist=blocklist)) == expected(canal, reason)


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ("novo", None),
        ("em_disparo", None),
        ("agendado", None),
        ("contato_efetuado", None),
        ("sem_sucesso", None),
        ("descartado", "lead encerrado: status descartado"),
        ("concluido", "lead encerrado: status concluido"),
    ],
)
def test_a_closed_lead(status: str, reason: str | None) -> None:
    assert outcome(decided(lead(telefones=(NATAL,), status=status))) == expected("whatsapp", reason)


BY_CHANNEL = {"whatsapp": {"telefones": (NATAL,)}, "email": {"emails": (ANA,)}}
BY_CHANNEL["calendar"] = {"agendamento": TUESDAY + timedelta(days=1)}
WIDE = Limits(10**6, 10**6, 10**6)


@pytest.mark.parametrize(
    ("canal", "allowed", "usage", "reason"),
    [
        ("whatsapp", Limits(), Usage(minute=9), None),
        ("whatsapp", Limits(), Usage(minute=10), "limite por minuto atingido: 10 de 10"),
        ("whatsapp", Limits(), Usage(minute=12), "limite por minuto atingido: 12 de 10"),
        ("email", Limits(), Usage(minute=10), "limite por minuto atingido: 10 de 10"),
        ("calendar", Limits(), Usage(minute=9), None),
        ("calendar", Limits(), Usage(minute=10), "limite por minuto atingido: 10 de 10"),
        ("whatsapp", Limits(), Usage(hour=99), None),
        ("whatsapp", Limits(), Usage(hour=100), "limite por hora atingido: 100 de 100"),
        ("calendar", Limits(), Usage(hour=100), "limite por hora atingido: 100 de 100"),
        ("whatsapp", Limits(), Usage(day=499), None),
        ("whatsapp", Limits(), Usage(day=500), "limite por dia atingido: 500 de 500"),
        ("calendar", Limits(), Usage(day=500), "limite por dia atingido: 500 de 500"),
        ("whatsapp", Limits(), Usage(10, 100, 500, 100, 500), "limite por minuto atingido: 10 de 10"),
        ("whatsapp", Limits(), Usage(9, 100, 500, 100, 500), "limite por hora atingido: 100 de 100"),
        ("whatsapp", Limits(), Usage(9, 99, 500, 100, 500), "limite por dia atingido: 500 de 500"),
        ("whatsapp", Limits(), Usage(9, 99, 499, 100, 500), "limite de WhatsApp por hora atingido: 100 de 100"),
        ("whatsapp", WIDE, Usage(whatsapp=99), None),
        ("whatsapp", WIDE, Usage(whatsapp=100), "limite de WhatsApp por hora atingido: 100 de 100"),
        ("email", WIDE, Usage(whatsapp=100), None),
        ("email", WIDE, Usage(email=499), None),
        ("email", WIDE, Usage(email=500), "limite de e-mail por hora atingido: 500 de 500"),
        ("whatsapp", WIDE, Usage(email=500), None),
        ("calendar", WIDE, Usage(whatsapp=100, email=500), None),
        ("whatsapp", Limits(per_minute=0), Usage(), "limite por minuto atingido: 0 de 0"),
        ("email", limits.read({}, "prod"), Usage(email=4999), None),
        ("email", limits.read({}, "prod"), Usage(email=5000), "limite de e-mail por hora atingido: 5000 de 5000"),
        ("whatsapp", limits.read({}, "prod"), Usage(whatsapp=999), None),
        ("whatsapp", limits.read({}, "prod"), Usage(minute=10), "limite por minuto atingido: 10 de 10"),
    ],
)
def test_limits_at_their_edges(canal: str, allowed: Limits, usage: Usage, reason: str | None) -> None:
    """The send that fills a limit goes, the next does not; the tenant's limits come before the channel's."""
    assert outcome(decided(lead(**BY_CHANNEL[canal]), limits=allowed, usage=usage)) == expected(canal, reason)


NIGHT = TUESDAY + timedelta(hours=12)
LATE = (
    "fora do horário comercial: a partir das 18:00; "
    "próxima janela: quarta-feira, 25/11/2026, às 08:00 (America/Fortaleza)"
)
CLOSED = "lead encerrado: status concluido"
FULL = "limite por minuto atingido: 10 de 10"
NO_CONTACT = {"telefones": (), "telefone_raw": "x"}


@pytest.mark.parametrize(
    ("given", "blocklist", "status", "at", "used", "reason"),
    [
        (NO_CONTACT, (NATAL,), "concluido", NIGHT, 10, NOBODY),
        (NO_CONTACT | {"bloqueado": True}, (), "concluido", NIGHT, 10, NOBODY),
        ({"bloqueado": True}, (), "concluido", NIGHT, 10, BY_LEAD),
        ({}, (NATAL,), "concluido", NIGHT, 10, BY_PHONE),
        ({}, (NATAL,), "concluido", TUESDAY, 0, BY_PHONE),
        ({}, (NATAL,), "novo", NIGHT, 0, BY_PHONE),
        ({}, (NATAL,), "novo", TUESDAY, 10, BY_PHONE),
        ({}, (), "concluido", NIGHT, 10, CLOSED),
        ({}, (), "concluido", NIGHT, 0, CLOSED),
        ({}, (), "concluido", TUESDAY, 10, CLOSED),
        ({}, (), "novo", NIGHT, 10, LATE),
        ({}, (), "novo", NIGHT, 0, LATE),
        ({}, (), "novo", TUESDAY, 10, FULL),
        ({}, (), "novo", TUESDAY, 9, None),
    ],
)
def test_the_first_reason_counts(
    given: dict[str, object], blocklist: tuple[str, ...], status: str, at: object, used: int, reason: str | None
) -> None:
    """No channel, then the blocklist, then closed, then business hours, then the limits."""
    known = lead(**{"telefones": (NATAL,), "status": status} | given)
    found = decided(known, at, blocklist=blocklist, usage=Usage(minute=used))
    assert outcome(found) == expected("none" if reason == NOBODY else "whatsapp", reason)


@pytest.mark.parametrize(
    ("given", "field", "stored"),
    [
        ({"nome": "A" * 500}, "nome", "A" * 500),
        ({"nome": "A" * 501}, "nome", "A" * 499 + "…"),
        ({"nome": "Ana " * 2_500}, "nome", ("Ana " * 125)[:499] + "…"),
        ({"nome": "An\x00a\x07 Lima"}, "nome", "Ana Lima"),
        ({"nome": "Ana\r\nLima\t\u2028"}, "nome", "Ana Lima"),
        ({"nome": "\x1b[31mAna"}, "nome", "[31mAna"),
        ({"nome": "Ana \u202elima"}, "nome", "Ana lima"),
        ({"nome": "Ana \ud800Lima"}, "nome", "Ana Lima"),
        ({"nome": "Ana 👩\u200d🔧"}, "nome", "Ana 👩\u200d🔧"),
        ({"nome": "\x00" * 10_000}, "nome", None),
        ({"nome": ""}, "nome", None),
        ({"nome": None}, "nome", None),
        ({"documento": "1" * 20}, "documento", "1" * 20),
        ({"documento": "1" * 21}, "documento", "1" * 19 + "…"),
        ({"documento": "123\x00456"}, "documento", "123456"),
        ({"status": "?" * 10_000}, "documento", "123.456.789-09"),
        ({"interesse": None}, "nome", "Ana Lima"),
        ({"interesse": -1}, "nome", "Ana Lima"),
    ],
)
def test_bad_data_costs_a_marked_value_not_the_send(given: dict[str, object], field: str, stored: str | None) -> None:
    found = decided(lead(**{"telefones": (NATAL,)} | given))
    assert getattr(found, field) == stored
    assert outcome(found) == expected("whatsapp", None)


@pytest.mark.parametrize("zone", ["", "Mars/Olympus", "America", "/etc/passwd", "../UTC", "America/Sao_Paulo\x00"])
def test_a_tenant_s_zone_that_is_none_is_named(zone: str) -> None:
    with pytest.raises(ValueError, match="is not a time zone"):
        Circumstances(TUESDAY, zone, Limits())


def test_a_clock_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a time zone"):
        Circumstances(TUESDAY.replace(tzinfo=None), "America/Sao_Paulo", Limits())


@pytest.mark.parametrize(
    ("environ", "environment", "known"),
    [
        ({}, "dev", Limits(10, 100, 500, 100, 500)),
        ({}, "staging", Limits(10, 100, 500, 100, 500)),
        ({}, "prod", Limits(10, 100, 500, 1000, 5000)),
        ({"LIMIT_PER_MINUTE": ""}, "dev", Limits()),
        ({"LIMIT_PER_MINUTE": "0"}, "dev", Limits(per_minute=0)),
        ({"LIMIT_PER_MINUTE": "1", "LIMIT_PER_HOUR": "2", "LIMIT_PER_DAY": "3"}, "dev", Limits(1, 2, 3)),
        ({"LIMIT_WHATSAPP_PER_HOUR": "7", "LIMIT_EMAIL_PER_HOUR": "8"}, "prod", Limits(10, 100, 500, 7, 8)),
    ],
)
def test_limits_are_read_from_the_environment(environ: dict[str, str], environment: str, known: Limits) -> None:
    assert limits.read(environ, environment) == known


@pytest.mark.parametrize("value", ["-1", "ten", "1.5", "1e3", " 5", "\u0661\u0660", "1_000", "9" * 10, "9" * 5000])
@pytest.mark.parametrize("name", ["LIMIT_PER_MINUTE", "LIMIT_PER_HOUR", "LIMIT_PER_DAY", "LIMIT_EMAIL_PER_HOUR"])
def test_a_limit_that_is_no_number_is_named(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"`{name}` is not a number of sends"):
        limits.read({name: value}, "dev")


@pytest.mark.parametrize(
    ("channel", "used"),
    [("whatsapp", Usage(2, 3, 4, 5, 5)), ("email", Usage(2, 3, 4, 4, 6)), ("calendar", Usage(2, 3, 4, 4, 5))],
)
def test_a_send_uses_up_the_tenant_s_limits_and_its_channel_s(channel: str, used: Usage) -> None:
    assert Usage(1, 2, 3, 4, 5).after(channel) == used
