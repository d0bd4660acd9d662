"""Fictitious leads for tests and demonstrations.

Names and documents come from Faker, addresses end in `example.com`, phone numbers are random. The same seed makes
the same leads, ids included, whatever their number; only the moments of appointments and of real sends depend on
the clock, since the agent compares them with it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from unicodedata import normalize
from uuid import UUID, uuid5

from models import Agendamento, Base, Blocklist, Disparo, Lead, LeadEmail, LeadTelefone

NAMESPACE = UUID("5b0c2f0e-3a52-4f5c-9a56-2f2d1c9be017")
OLDEST = datetime(2026, 1, 1, tzinfo=UTC)

# https://www.gov.br/anatel/pt-br/regulado/numeracao/plano-de-numeracao-brasileiro
AREAS = (
    *range(11, 20), 21, 22, 24, 27, 28, *range(31, 36), 37, 38, *range(41, 50), 51, 53, 54, 55, *range(61, 70),
    71, 73, 74, 75, 77, 79, *range(81, 90), *range(91, 100),
)  # fmt: skip
NORONHA = "813619"
"""The prefix of the landlines of Fernando de Noronha, which has its own time zone."""

NOTATIONS = (
    "({area}){front}-{back}",
    "({area}) {front}-{back}",
    "+55 {area} {front}-{back}",
    "+55{area}{front}{back}",
    "0{area}{front}{back}",
    "{area} {front} {back}",
    "55 ({area}) {front}.{back}",
)
BROKEN_PHONES = ("não tem", "9970", "(84)", "http://wa.me/", "00000", "falar com a recepção | ???", " | | ")
BROKEN_EMAILS = ("não informado", "ana@", "@example.com", "ana example.com", "www.example.com | n/a", ";")


@dataclass(frozen=True)
class Profile:
    """The properties of one kind of lead; a contact is `(principal, valid)`."""

    phones: tuple[tuple[bool, bool], ...] = ()
    emails: tuple[tuple[bool, bool], ...] = ()
    raw_phones: int = 0
    """The number of values in the raw string; -1 makes a string without a readable value."""
    raw_emails: int = 0
    status: str = "novo"
    appointment: tuple[int, str] | None = None
    """Days from now, and its status."""
    blocked: str | None = None


# Their number has no common factor with that of the areas and Noronha, 68, so that every combination occurs.
PROFILES: Mapping[str, Profile] = {
    "phone and e-mail": Profile(phones=((True, True),), emails=((True, True),), raw_phones=1, raw_emails=1),
    "raw only": Profile(raw_phones=3, raw_emails=2),
    "second phone is the principal": Profile(phones=((False, True), (True, True)), raw_phones=2),
    "e-mail only": Profile(emails=((False, True), (True, True))),
    "raw phone": Profile(raw_phones=1),
    "no contact": Profile(),
    "future appointment": Profile(phones=((True, True),), status="agendado", appointment=(3, "confirmado")),
    "invalid phone, valid e-mail": Profile(phones=((True, False),), emails=((True, True),)),
    "several raw phones": Profile(raw_phones=4, status="em_disparo"),
    "broken raw strings": Profile(raw_phones=-1, raw_emails=-1),
    "blocked by lead": Profile(phones=((True, True),), emails=((True, True),), blocked="lead"),
    "closed": Profile(phones=((True, True),), emails=((False, True),), status="concluido"),
    "past appointment": Profile(phones=((True, True),), appointment=(-20, "concluido"), status="contato_efetuado"),
    "blocked by phone": Profile(phones=((True, True),), raw_phones=1, blocked="phone"),
    "broken raw phone, raw e-mail": Profile(raw_phones=-1, raw_emails=1),
    "discarded": Profile(raw_phones=2, raw_emails=1, status="descartado"),
    "cancelled appointment": Profile(emails=((True, True),), appointment=(5, "cancelado"), status="sem_sucesso"),
    "blocked by e-mail": Profile(emails=((True, True),), blocked="email"),
    "proposed appointment": Profile(raw_emails=2, appointment=(1, "proposto"), status="em_disparo"),
    "all contacts invalid": Profile(phones=((True, False),), emails=((True, False),)),
    "both, second e-mail valid": Profile(
        phones=((True, True), (False, False)), emails=((True, False), (False, True)), raw_emails=1
    ),
}

Rows = dict[type[Base], list[dict[str, Any]]]
TABLES: tuple[type[Base], ...] = (Lead, LeadTelefone, LeadEmail, Blocklist, Agendamento, Disparo)


def lead_id(slug: str, seed: int, number: int) -> UUID:
    """Return the fixed id of the lead with this number."""
    return uuid5(NAMESPACE, f"{slug}/{seed}/{number}")


def draw(tenant_id: UUID, slug: str, seed: int, numbers: list[int], now: datetime) -> Rows:
    """Make the leads with these numbers, as rows of the tables in an order in which they can be inserted."""
    from faker import Faker

    fake = Faker("pt_BR")
    rows: Rows = {table: [] for table in TABLES}
    profiles = list(PROFILES.values())
    for number in numbers:
        # each lead has its own seed, so that a larger sample begins with the same leads as a smaller one
        fake.seed_instance(f"{slug}/{seed}/{number}")
        one = _Lead(fake, tenant_id, lead_id(slug, seed, number), number, profiles[number % len(profiles)], now)
        for table, more in one.rows(f"amostra-{seed}.csv:{number + 1}").items():
            rows[table] += more
    return rows


@dataclass(frozen=True)
class _Lead:
    """The generator of one lead's rows; `number` counts from 0."""

    fake: Any
    tenant_id: UUID
    id: UUID
    number: int
    profile: Profile
    now: datetime

    def rows(self, origin: str) -> Rows:
        """Return the rows; the order of the draws is fixed, since the seed's results depend on it."""
        name, person, document = self._names()
        lead = {
            "lead_id": self.id,
            "tenant_id": self.tenant_id,
            "lead_id_externo": origin,
            "nome": name,
            "contato_nome": person,
            "documento": document,
            "status": self.profile.status,
            "interesse": self.fake.random_int(0, 100) if self.number % 9 else None,
            "tags": [self.fake.random_element(("clínica", "loja", "feira", "indicação", "site"))],
            "data_ingestao": OLDEST + timedelta(minutes=self.fake.random_int(0, 300_000)),
        }
        phones = [self._phone() for _ in range(max(self.profile.raw_phones, len(self.profile.phones), 1))]
        emails = [self._email(person, place) for place in range(max(self.profile.raw_emails, 2))]
        lead["telefone_raw"] = self._raw(self.profile.raw_phones, [self._noted(one) for one in phones], BROKEN_PHONES)
        lead["email_raw"] = self._raw(self.profile.raw_emails, emails, BROKEN_EMAILS)
        return {
            Lead: [lead],
            LeadTelefone: self._phones(phones),
            LeadEmail: self._emails(emails),
            Blocklist: self._block(phones[0], emails[0]),
            Agendamento: self._appointment(),
            Disparo: self._sent(),
        }

    def _names(self) -> tuple[str, str, str]:
        person = f"{self.fake.first_name()} {self.fake.last_name()}"
        if self.number % 3:
            return person, person, self.fake.cpf()
        return self.fake.company(), person, self.fake.cnpj()

    def _phone(self) -> str:
        """Return digits with their area code, 10 of a landline or 11 of a mobile phone."""
        place = self.number % (len(AREAS) + 1)
        if place == len(AREAS):
            return f"{NORONHA}{self.fake.numerify('####')}"
        pattern = self.fake.random_element(("97#######", "99#######", "3%######"))
        return f"{AREAS[place]}{self.fake.numerify(pattern)}"

    def _email(self, person: str, place: int) -> str:
        plain = normalize("NFKD", person).encode("ascii", "ignore").decode().lower().replace(" ", ".")
        return f"{plain}{self.number}@{('', 'trabalho.')[place % 2]}example.com"

    def _noted(self, phone: str) -> str:
        notation = self.fake.random_element(NOTATIONS)
        return str(notation.format(area=phone[:2], front=phone[2:-4], back=phone[-4:]))

    def _raw(self, wanted: int, values: list[str], broken: tuple[str, ...]) -> str | None:
        if wanted == -1:
            return str(self.fake.random_element(broken))
        return self.fake.random_element((" | ", "|")).join(values[:wanted]) or None

    def _phones(self, phones: list[str]) -> list[dict[str, Any]]:
        return [
            {
                "telefone_id": uuid5(self.id, f"telefone/{place}"),
                "lead_id": self.id,
                "telefone": f"+55{phones[place]}",
                "telefone_principal": principal,
                "tipo_origem": "movel" if len(phones[place]) == 11 else "fixo",
                "valido_para_disparo": valid,
            }
            for place, (principal, valid) in enumerate(self.profile.phones)
        ]

    def _emails(self, emails: list[str]) -> list[dict[str, Any]]:
        return [
            {
                "email_id": uuid5(self.id, f"email/{place}"),
                "lead_id": self.id,
                "email": emails[place],
                "email_principal": principal,
                "valido_para_disparo": valid,
            }
            for place, (principal, valid) in enumerate(self.profile.emails)
        ]

    def _block(self, phone: str, email: str) -> list[dict[str, Any]]:
        """Return the blocklist's row: by the lead's id, or only by a contact in a different notation."""
        by = self.profile.blocked
        if by is None:
            return []
        row = {
            "id": uuid5(self.id, "blocklist"),
            "tenant_id": self.tenant_id,
            "lead_id": self.id if by == "lead" else None,
            "telefone": f"({phone[:2]}) {phone[2:-4]} {phone[-4:]}" if by == "phone" else None,
            "email": email.upper() if by == "email" else None,
            "reason": "Pediu para não receber mensagens",
        }
        return [row | ({"email": f"remover{self.number}@example.com"} if by == "lead" else {})]

    def _appointment(self) -> list[dict[str, Any]]:
        if self.profile.appointment is None:
            return []
        days, status = self.profile.appointment
        day = (self.now + timedelta(days=days)).replace(minute=0, second=0, microsecond=0)
        return [
            {
                "id": uuid5(self.id, "agendamento"),
                "tenant_id": self.tenant_id,
                "lead_id": self.id,
                "data_hora": day,
                "duracao": self.fake.random_element((30, 60, 90)),
                "status": status,
            }
        ]

    def _sent(self) -> list[dict[str, Any]]:
        """Return sends of the last minute, hour and day to some leads: too few to reach the limits."""
        window = self._window()
        if window is None:
            return []
        canal = self.fake.random_element(("whatsapp", "whatsapp", "email"))
        status = "sent" if self.number % 7 else "failed"
        at = self.now - timedelta(seconds=self.fake.random_int(*window))
        return [
            {
                "id": uuid5(self.id, "disparo"),
                "tenant_id": self.tenant_id,
                "lead_id": self.id,
                "canal": canal,
                "template": f"cobranca_padrao_{canal}_v1",
                "status": status,
                "attempts": 1,
                "last_error": None if status == "sent" else "timeout",
                "scheduled_at": at,
                "sent_at": at if status == "sent" else None,
                "created_at": at,
            }
        ]

    def _window(self) -> tuple[int, int] | None:
        """Return the least and the greatest age of a message in seconds, None where there is no message."""
        if self.number < 400 and self.number % 100 == 1:
            return 1, 30
        if self.number < 1200 and self.number % 40 == 2:
            return 120, 3_000
        return (4_000, 80_000) if self.number < 3000 and self.number % 10 == 3 else None
