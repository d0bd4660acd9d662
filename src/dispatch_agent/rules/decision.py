"""The decision: on which channel a lead would be contacted, and what blocks it."""

import re
from dataclasses import dataclass
from datetime import datetime
from functools import cache

from sqlalchemy import String

from dispatch_agent import zones
from dispatch_agent.contacts import of_lead
from dispatch_agent.contacts.of_lead import Contacts
from dispatch_agent.lead import Lead
from dispatch_agent.rules import hours, limits
from dispatch_agent.rules.limits import Limits, Usage
from dispatch_agent.zones import Place
from models import DryRunLog

TEMPLATES = {
    "calendar": "lembrete_agendamento_v1",
    "whatsapp": "cobranca_padrao_whatsapp_v1",
    "email": "cobranca_padrao_email_v1",
    "none": None,
}
"""The channels, and the template that each of them sends."""

CLOSED = frozenset({"descartado", "concluido"})
OUTSIDE = "fora do horário comercial"

# Control characters except white space, characters that change the direction of writing, lone surrogates.
_UNWANTED = re.compile("[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]+")


@dataclass(frozen=True, slots=True)
class Circumstances:
    """The conditions that all leads of a tenant share. Raises `ValueError` for a naive clock or an unknown zone."""

    agora: datetime
    """Aware."""
    zone: str
    """The tenant's, for leads without a phone."""
    limits: Limits

    def __post_init__(self) -> None:
        if self.agora.tzinfo is None:
            raise ValueError("The moment of a decision needs a time zone.")
        zones.zone(self.zone)


@dataclass(frozen=True, slots=True)
class Decision:
    """The decision on one lead, as it is recorded; each text fits its column of `dry_run_log`."""

    lead_id: str
    nome: str | None
    canal: str
    motivo: str
    template: str | None
    telefone: str | None
    """The first valid one, E.164."""
    email: str | None
    """Same."""
    documento: str | None
    seria_executado: bool
    razao_bloqueio: str | None
    """The part before the colon names the rule."""
    place: Place
    """Where business hours count; not recorded."""
    ilegiveis: int = 0
    """The number of the lead's contacts that were read and have nothing to send to."""


def decide(lead: Lead, circumstances: Circumstances, usage: Usage) -> Decision:
    """Decide on which channel `lead` would be contacted now, and whether anything blocks that.

    `usage` counts the tenant's sends so far; where the send is not blocked, the next lead gets `usage.after(canal)`.
    """
    found = of_lead.find(lead)
    phone = found.phones[0] if found.phones else None
    email = found.emails[0] if found.emails else None
    canal = _channel(lead, circumstances.agora, phone, email)
    place = zones.place(phone) if phone else Place(circumstances.zone, None)
    razao = _block(lead, canal, place, circumstances, usage)
    return Decision(
        lead_id=lead.lead_id,
        nome=fitting("lead_nome", lead.nome),
        canal=canal,
        motivo=_reason(canal, found),
        template=TEMPLATES[canal],
        telefone=fitting("lead_telefone", phone),
        email=fitting("lead_email", email),
        documento=fitting("lead_documento", lead.documento),
        seria_executado=razao is None,
        razao_bloqueio=razao,
        place=place,
        ilegiveis=found.unreadable,
    )


def _channel(lead: Lead, now: datetime, phone: str | None, email: str | None) -> str:
    if lead.agendamento is not None and lead.agendamento > now:
        return "calendar"
    if phone:
        return "whatsapp"
    return "email" if email else "none"


def _block(lead: Lead, canal: str, place: Place, circumstances: Circumstances, usage: Usage) -> str | None:
    if canal == "none":
        return "nenhum canal disponível: nenhum telefone nem e-mail válido"
    if by := _blocklisted(lead):
        return f"bloqueado a pedido da pessoa (LGPD): {by} na lista de bloqueio"
    if lead.status in CLOSED:
        return f"lead encerrado: status {lead.status}"
    if outside := hours.closed(circumstances.agora, place):
        return f"{OUTSIDE}: {outside}"
    return limits.reached(circumstances.limits, usage, canal)


def _blocklisted(lead: Lead) -> str | None:
    if lead.bloqueado:
        return "lead"
    if not lead.contatos_bloqueados:
        return None
    return "e-mail" if any("@" in key for key in lead.contatos_bloqueados) else "telefone"


def _reason(canal: str, found: Contacts) -> str:
    counted = f"{_counted(len(found.phones), 'telefone')} e {_counted(len(found.emails), 'e-mail')}"
    if found.unreadable:
        counted += f"; {found.unreadable} {'contato ilegível' if found.unreadable == 1 else 'contatos ilegíveis'}"
    match canal:
        case "calendar":
            return f"Lembrete pelo calendário, pois há um agendamento futuro, com {counted}."
        case "whatsapp":
            return f"WhatsApp para o primeiro telefone, com {counted}."
        case "email":
            return f"E-mail para o primeiro endereço, com {counted}."
        case _:
            return f"Nenhum canal, com {counted}."


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun} válido" if count == 1 else f"{count} {noun}s válidos"


def fitting(column: str, text: str | None) -> str | None:
    """Return `text` without control characters, cut with a final `…` to the length of its column of `dry_run_log`.

    Return None where no text remains.
    """
    if not text:
        return None
    shown = text if text.isprintable() else " ".join(_UNWANTED.sub("", text).split())
    longest = _length(column)
    return (shown if len(shown) <= longest else f"{shown[: longest - 1]}…") or None


@cache  # one for each column
def _length(column: str) -> int:
    kind = DryRunLog.__table__.c[column].type
    if not isinstance(kind, String) or kind.length is None:
        raise TypeError(f"`{column}` has no length.")
    return kind.length
