"""Which contact a lead is reached by, and on which channel."""

from datetime import timedelta

import pytest

from support.deciding import NATAL, NOBODY, TUESDAY, decided, expected, lead, outcome

SP = "+5511987654321"


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("+5584997084444", NATAL),
        ("(84)99708-4444", NATAL),
        ("(84) 99708-4444", NATAL),
        ("84 99708-4444", NATAL),
        ("84997084444", NATAL),
        ("5584997084444", NATAL),
        ("+55 84 99708-4444", NATAL),
        ("+55 (84) 9 9708-4444", NATAL),
        ("+55 (0)84 99708-4444", NATAL),
        ("84.99708.4444", NATAL),
        ("84-99708-4444", NATAL),
        ("84 99708\u20134444", NATAL),
        ("84\u00a099708-4444", NATAL),
        ("  84997084444\n", NATAL),
        ("084997084444", NATAL),
        ("0 84 99708-4444", NATAL),
        ("0xx84 99708-4444", NATAL),
        ("0 15 84 99708-4444", NATAL),
        ("9090 84997084444", None),
        ("9084997084444", NATAL),
        ("00 15 55 84 99708-4444", NATAL),
        ("(84)3206-1234", "+558432061234"),
        ("(84) 9708-4444", None),
        ("(55) 99708-4444", "+5555997084444"),
        ("55 99708-4444", "+5555997084444"),
        ("5599708444", None),
        ("555599708444", None),
        ("99708-4444", None),
        ("+55 99708-4444", None),
        ("9970-8444", None),
        ("190", None),
        ("0800 123 4567", None),
        ("4003-1234", None),
        ("(20) 99708-4444", None),
        ("(10) 3206-1234", None),
        ("+1 415 555 2671", None),
        ("+351 912 345 678", None),
        ("84 99708-44445", None),
        ("84 997084444 ramal 12", NATAL),
        ("84 3206-1234 x12", "+558432061234"),
        ("84997084444;ext=3", NATAL),
        ("(84)99708-4444 / (84)98888-7777", NATAL),
        ("84 99708-4444 (recado)", NATAL),
        ("http://x.com/5584997084444", None),
        ("https://wa.me/5584997084444", NATAL),
        ("84997084444\x00", None),
        ("84\x0099708-4444", None),
        ("84\x1b99708-4444", None),
        ("8" * 10_000, None),
        ("(" * 10_000, None),
        ("84 99708-4444 " * 800, NATAL),
        ("٨٤٩٩٧٠٨٤٤٤٤", None),
        ("ana@exemplo.com.br", None),
        ("n/a", None),
        ("-", None),
        ("", None),
    ],
)
def test_a_phone(written: str, stored: str | None) -> None:
    """Every notation of a phone with area code is the same phone; what is none costs the lead its channel."""
    decision = decided(lead(telefones=(written,)))
    assert decision.telefone == stored
    assert outcome(decision) == (expected("whatsapp", None) if stored else expected("none", NOBODY))


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("ana@exemplo.com.br", "ana@exemplo.com.br"),
        (" ana@exemplo.com.br ", "ana@exemplo.com.br"),
        ("Ana.Lima@Exemplo.COM.BR", "Ana.Lima@exemplo.com.br"),
        ("ana+cobranca@exemplo.com.br", "ana+cobranca@exemplo.com.br"),
        ("josé@exemplo.com.br", "josé@exemplo.com.br"),
        ("ana@ação.com.br", "ana@ação.com.br"),
        ("Postmaster@exemplo.com.br", "postmaster@exemplo.com.br"),
        (f"{'a' * 64}@exemplo.com.br", f"{'a' * 64}@exemplo.com.br"),
        (f"{'a' * 65}@exemplo.com.br", None),
        (f"ana@{'a' * 63}.com.br", f"ana@{'a' * 63}.com.br"),
        (f"ana@{'a' * 64}.com.br", None),
        (f"{'a' * 10_000}@exemplo.com.br", None),
        ("ana", None),
        ("@exemplo.com.br", None),
        ("ana@", None),
        ("ana@localhost", None),
        ("ana@empresa.invalid", None),
        ("ana@10.0.0.1", None),
        ("ana@[10.0.0.1]", None),
        ("ana..lima@exemplo.com.br", None),
        ("ana@exemplo..com", None),
        ("ana@-exemplo.com", None),
        ("ana@bob@exemplo.com.br", None),
        ("ana lima@exemplo.com.br", None),
        ("Ana Lima <ana@exemplo.com.br>", "ana@exemplo.com.br"),
        ("mailto:ana@exemplo.com.br", "ana@exemplo.com.br"),
        ("ana@exemplo.com.br,bia@exemplo.com.br", "ana@exemplo.com.br"),
        ("https://exemplo.com.br/ana", None),
        ("ana\x00@exemplo.com.br", None),
        ("ana@exemplo\x07.com.br", None),
        ("\ud800@exemplo.com.br", None),
        ("", None),
    ],
)
def test_an_email(written: str, stored: str | None) -> None:
    """An address is taken as the standard has it, its domain in lower case, without a question to the network."""
    decision = decided(lead(emails=(written,)))
    assert decision.email == stored
    assert outcome(decision) == (expected("email", None) if stored else expected("none", NOBODY))


TOMORROW = TUESDAY + timedelta(days=1)


@pytest.mark.parametrize(
    ("given", "canal", "telefone", "email", "counted"),
    [
        ({"telefones": (NATAL, SP)}, "whatsapp", NATAL, None, "2 telefones válidos e 0 e-mails válidos"),
        ({"telefones": (SP, NATAL)}, "whatsapp", SP, None, "2 telefones válidos e 0 e-mails válidos"),
        ({"telefones": ("x", NATAL)}, "whatsapp", NATAL, None, "1 telefone válido e 0 e-mails válidos"),
        ({"telefones": (NATAL, "(84)99708-4444")}, "whatsapp", NATAL, None, "1 telefone válido e 0"),
        ({"telefones": (NATAL, "8497084444")}, "whatsapp", NATAL, None, "1 telefone válido e 0"),
        ({"telefones": (NATAL,), "emails": ("a@b.com.br",)}, "whatsapp", NATAL, "a@b.com.br", "1 telefone válido e 1"),
        ({"telefones": (NATAL,), "telefone_raw": SP}, "whatsapp", NATAL, None, "1 telefone válido"),
        ({"telefones": ("x",), "telefone_raw": SP}, "whatsapp", SP, None, "1 telefone válido"),
        ({"telefone_raw": "x| (11) 98765-4321 |84997084444"}, "whatsapp", SP, None, "2 telefones válidos"),
        ({"telefone_raw": "||x||"}, "none", None, None, "0 telefones válidos e 0 e-mails válidos"),
        ({"telefone_raw": "|" * 10_000}, "none", None, None, "0 telefones válidos"),
        ({"telefone_raw": "x|" * 99 + NATAL}, "whatsapp", NATAL, None, "1 telefone válido"),
        ({"telefone_raw": "x|" * 100 + NATAL}, "whatsapp", NATAL, None, "1 telefone válido"),
        ({"telefone_raw": "(11) 98765-4321; 84997084444"}, "whatsapp", SP, None, "2 telefones válidos"),
        ({"telefone_raw": NATAL, "emails": ("a@b.com.br",)}, "whatsapp", NATAL, "a@b.com.br", "1 e-mail válido"),
        ({"telefone_raw": NATAL, "recusados": ("(84)99708-4444",)}, "none", None, None, "0 telefones válidos"),
        ({"telefone_raw": f"{NATAL}|{SP}", "recusados": (NATAL,)}, "whatsapp", SP, None, "1 telefone válido"),
        ({"telefones": (NATAL,), "recusados": (SP,)}, "whatsapp", NATAL, None, "1 telefone válido"),
        ({"emails": ("a@b.com.br", "c@d.com.br")}, "email", None, "a@b.com.br", "0 telefones válidos e 2 e-mails"),
        ({"emails": ("a@b.com.br", "A@B.com.br")}, "email", None, "a@b.com.br", "1 e-mail válido"),
        ({"emails": ("a@b.com.br",), "email_raw": "c@d.com.br"}, "email", None, "a@b.com.br", "1 e-mail válido"),
        ({"emails": ("x",), "email_raw": "y|c@d.com.br"}, "email", None, "c@d.com.br", "1 e-mail válido"),
        ({"email_raw": "a@b.com.br", "recusados": ("A@b.com.br",)}, "none", None, None, "0 e-mails válidos"),
        ({"telefones": ("ana@b.com.br",), "emails": (NATAL,)}, "none", None, None, "0 e-mails válidos"),
        ({"agendamento": TOMORROW}, "calendar", None, None, "0 telefones válidos e 0 e-mails válidos"),
        ({"agendamento": TOMORROW, "telefones": (NATAL,)}, "calendar", NATAL, None, "1 telefone válido"),
        ({"agendamento": TOMORROW, "emails": ("a@b.com.br",)}, "calendar", None, "a@b.com.br", "1 e-mail válido"),
        ({"agendamento": TUESDAY + timedelta(seconds=1)}, "calendar", None, None, "0 telefones válidos"),
        ({"agendamento": TUESDAY, "telefones": (NATAL,)}, "whatsapp", NATAL, None, "1 telefone válido"),
        ({"agendamento": TUESDAY - timedelta(days=1), "telefones": (NATAL,)}, "whatsapp", NATAL, None, "1 telefone"),
        ({}, "none", None, None, "0 telefones válidos e 0 e-mails válidos"),
    ],
)
def test_the_channel(given: dict[str, object], canal: str, telefone: str, email: str, counted: str) -> None:
    """An appointment comes before a phone, a phone before an e-mail, what is structured before what is raw."""
    decision = decided(lead(**given))
    assert outcome(decision) == expected(canal, NOBODY if canal == "none" else None)
    assert (decision.telefone, decision.email) == (telefone, email)
    assert counted in decision.motivo


@pytest.mark.parametrize(
    ("given", "template", "motivo"),
    [
        (
            {"agendamento": TOMORROW, "telefones": (NATAL,)},
            "lembrete_agendamento_v1",
            "Lembrete pelo calendário, pois há um agendamento futuro, com 1 telefone válido e 0 e-mails válidos.",
        ),
        (
            {"telefones": (NATAL, SP), "emails": ("a@b.com.br",)},
            "cobranca_padrao_whatsapp_v1",
            "WhatsApp para o primeiro telefone, com 2 telefones válidos e 1 e-mail válido.",
        ),
        (
            {"emails": ("a@b.com.br",)},
            "cobranca_padrao_email_v1",
            "E-mail para o primeiro endereço, com 0 telefones válidos e 1 e-mail válido.",
        ),
        ({}, None, "Nenhum canal, com 0 telefones válidos e 0 e-mails válidos."),
    ],
)
def test_the_template_and_the_sentence(given: dict[str, object], template: str | None, motivo: str) -> None:
    decision = decided(lead(**given))
    assert (decision.template, decision.motivo) == (template, motivo)
