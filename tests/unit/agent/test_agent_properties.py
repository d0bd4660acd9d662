"""What holds for any lead, whatever its fields hold."""

import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import pytest
from email_validator import EmailNotValidError, validate_email
from hypothesis import example, given, settings
from hypothesis import strategies as st
from phonenumbers import PhoneNumberType, is_valid_number, number_type, parse

from dispatch_agent.contacts import emails, keys, of_lead, phones
from dispatch_agent.lead import Lead
from dispatch_agent.reading import LONGEST_RAW
from dispatch_agent.rules.decision import TEMPLATES, Decision
from dispatch_agent.rules.limits import Limits, Usage
from models import DryRunLog
from support.deciding import NATAL, TUESDAY, decided, lead

COLUMNS = {"nome": "lead_nome", "telefone": "lead_telefone", "email": "lead_email", "documento": "lead_documento"}
COLUMNS |= {"canal": "canal_decidido", "template": "template_selecionado"}

ANYTHING = st.text(st.characters(exclude_categories=()), max_size=600)
TEXTS = st.one_of(
    ANYTHING,
    st.sampled_from(
        [NATAL, "(11)98765-4321", "+558136191234", "ana@exemplo.com.br", "Ana@Exemplo.com.br", "8" * 10_000]
    ),
    st.from_regex(r"\A\+?(55)?[ (]*[0-9]{2}[ )-]*[0-9]{4,5}[ -]?[0-9]{4}\Z"),
    st.emails(),
)
SOME = st.lists(TEXTS, max_size=3).map(tuple)
RAW = st.none() | st.lists(TEXTS, max_size=3).map("|".join)
MOMENTS = st.datetimes(timezones=st.just(UTC)) | st.just(TUESDAY + timedelta(days=1))
NOW = st.datetimes(datetime(2000, 1, 1), datetime(2099, 1, 1), timezones=st.just(UTC)) | st.just(TUESDAY)
COUNTS = st.integers(0, 600)

LEADS = st.builds(
    Lead,
    lead_id=st.uuids(),
    nome=st.none() | TEXTS,
    documento=st.none() | TEXTS,
    status=st.sampled_from(["novo", "descartado", "concluido"]) | ANYTHING,
    interesse=st.none() | st.integers(),
    data_ingestao=MOMENTS,
    telefones=SOME,
    emails=SOME,
    telefone_raw=RAW,
    email_raw=RAW,
    agendamento=st.none() | MOMENTS,
    bloqueado=st.booleans(),
    recusados=SOME,
)
LIMITS = st.builds(Limits, COUNTS, COUNTS, COUNTS, COUNTS, COUNTS)
USAGES = st.builds(Usage, COUNTS, COUNTS, COUNTS, COUNTS, COUNTS)


@settings(max_examples=150, deadline=None)
@given(LEADS, NOW, SOME, LIMITS, USAGES)
@example(lead(telefones=(NATAL,)), TUESDAY, (), Limits(), Usage())
def test_any_lead_is_decided(
    known: Lead, now: datetime, blocklist: tuple[str, ...], allowed: Limits, used: Usage
) -> None:
    found = decided(known, now, blocklist=blocklist, limits=allowed, usage=used)
    blocked_lead_is_never_sent_to(known, found)
    the_channel_has_a_destination(known, now, found)
    the_texts_fit(found)
    a_full_limit_lets_nothing_through(found, allowed, used)
    assert decided(known, now, blocklist=blocklist, limits=allowed, usage=used) == found


def blocked_lead_is_never_sent_to(known: Lead, found: Decision) -> None:
    assert found.seria_executado is (found.razao_bloqueio is None)
    if known.bloqueado or known.status in ("descartado", "concluido") or found.canal == "none":
        assert not found.seria_executado


def the_channel_has_a_destination(known: Lead, now: datetime, found: Decision) -> None:
    assert found.template == TEMPLATES[found.canal]
    if found.canal == "whatsapp":
        assert found.telefone
        assert phones.sendable(found.telefone) == (found.telefone,)
    if found.canal == "email":
        assert found.email
        assert not found.telefone
        assert emails.sendable(found.email) == (found.email,)
    if found.canal == "calendar":
        assert known.agendamento
        assert known.agendamento > now
    if found.canal == "none":
        assert not found.telefone
        assert not found.email


def the_texts_fit(found: Decision) -> None:
    for field, column in COLUMNS.items():
        text = getattr(found, field)
        assert text is None or 0 < len(text) <= DryRunLog.__table__.c[column].type.length
    for field in (*COLUMNS, "motivo", "razao_bloqueio"):
        text = getattr(found, field) or ""
        assert not any(character < " " or "\x7f" <= character <= "\x9f" for character in text)
        text.encode()


def a_full_limit_lets_nothing_through(found: Decision, allowed: Limits, used: Usage) -> None:
    left = (allowed.per_minute - used.minute, allowed.per_hour - used.hour, allowed.per_day - used.day)
    if min(left) <= 0:
        assert not found.seria_executado


@settings(deadline=None)
@given(LEADS, SOME)
def test_a_contact_on_the_blocklist_blocks(known: Lead, others: tuple[str, ...]) -> None:
    """Whichever valid contact of the lead it is."""
    found = of_lead.find(known)
    for contact in found.phones + found.emails:
        assert not decided(known, blocklist=(*others, contact)).seria_executado


@settings(max_examples=1000, deadline=None)
@given(st.from_regex(phones.USUAL, fullmatch=True))
@example("55 5999-1234")
@example("5555999991234")
@example("(55)99999-1234")
def test_the_usual_notations_are_read_as_phonenumbers_would(text: str) -> None:
    """The quick way for them is no rule of its own. The plan has old mobile phones no more, phonenumbers has some."""
    known = parse(text, "BR")
    subscriber = str(known.national_number)[2:]
    is_assigned = is_valid_number(known) and known.country_code == 55 and len(subscriber) + (subscriber[0] == "9") != 9
    is_sendable = is_assigned and subscriber[0] in "23459" and len(set(subscriber)) > 1
    assert phones.sendable(text) == ((f"+55{known.national_number}",) if is_sendable else ())


@settings(max_examples=400, deadline=None)
@given(st.from_regex(phones.USUAL, fullmatch=True), st.sampled_from(["x", "(recado)", "\u200b", "; "]))
def test_the_quick_way_and_the_slow_way_agree(text: str, beside: str) -> None:
    slow = f"{text} {beside}"
    assert phones.sendable(text) == phones.sendable(slow)
    # the slow way may see a second, shorter number in it
    assert keys.keys(text) <= keys.keys(slow)
    assert set(keys.lookups(text)) <= set(keys.lookups(slow))


@settings(max_examples=400, deadline=None)
@given(TEXTS | st.text("0123456789 ()-.+/xe,;|\n", max_size=60))
def test_what_is_sent_to_is_valid_by_phonenumbers_too(text: str) -> None:
    for found in phones.sendable(text):
        known = parse(found)
        assert is_valid_number(known)
        assert number_type(known) in (PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE)


@settings(max_examples=500, deadline=None)
@given(st.emails() | st.emails().map(str.lower) | st.text("ab1.+-_@", max_size=20).map(lambda text: f"{text}@a.com.br"))
def test_the_usual_addresses_are_read_as_email_validator_would(text: str) -> None:
    try:
        known = validate_email(text.strip(), check_deliverability=False, strict=True).normalized
    except EmailNotValidError:
        known = None
    assert emails.valid(text) == known


@settings(deadline=None)
@given(TEXTS)
def test_what_is_stored_of_a_contact_is_found_by_what_was_written(text: str) -> None:
    for form in phones.sendable(text) + emails.sendable(text):
        assert keys.keys(form) <= keys.keys(text)


@pytest.mark.parametrize(
    "piece",
    ["84/", "5\n", "@\n", "\n", "a-", "84 99708-4444 ", "3206-1234/35 ", "9", "cpf ", "1 cpf ", "cpf|", "1 cpf a "],
)
def test_a_long_text_takes_no_long_time(piece: str) -> None:
    """Of the length that is read; it takes fractions of a second, and with quadratic work a minute."""
    text = (piece * LONGEST_RAW)[:LONGEST_RAW]
    started = time.process_time()
    decided(lead(telefone_raw=text, email_raw=text), blocklist=(NATAL,))
    assert time.process_time() - started < 10


def test_importing_a_decision_is_cheap() -> None:
    """The libraries are loaded by the first lead that needs them."""
    program = "import sys, dispatch_agent.rules.decision; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert "dispatch_agent.rules.decision" in loaded
    assert not {"phonenumbers", "email_validator", "holidays", "dns"} & set(loaded)
