"""A sample lead on a working day, and the decision on variations of it."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from dispatch_agent.contacts.keys import keys
from dispatch_agent.contacts.of_lead import lookup_keys
from dispatch_agent.lead import Lead
from dispatch_agent.rules.decision import Circumstances, Decision, decide
from dispatch_agent.rules.limits import Limits, Usage

TUESDAY = datetime(2026, 11, 24, 14, tzinfo=UTC)
"""Within business hours in all four zones."""

NATAL = "+5584997084444"
NOBODY = "nenhum canal disponível: nenhum telefone nem e-mail válido"


def lead(**different: Any) -> Lead:
    usual: dict[str, Any] = {
        "lead_id": UUID(int=1),
        "nome": "Ana Lima",
        "documento": "123.456.789-09",
        "status": "novo",
        "interesse": 70,
        "data_ingestao": datetime(2026, 11, 1, tzinfo=UTC),
        "telefones": (),
        "emails": (),
        "telefone_raw": None,
        "email_raw": None,
        "agendamento": None,
        "bloqueado": False,
    }
    return Lead(**usual | different)


def decided(
    known: Lead,
    at: datetime = TUESDAY,
    *,
    zone: str = "America/Sao_Paulo",
    blocklist: tuple[str, ...] = (),
    limits: Limits | None = None,
    usage: Usage | None = None,
) -> Decision:
    blocked = {key for text in blocklist for key in keys(text)}
    known = replace(known, contatos_bloqueados=tuple(key for key in lookup_keys(known) if key in blocked))
    return decide(known, Circumstances(at, zone, limits or Limits()), usage or Usage())


def outcome(decision: Decision) -> tuple[str, bool, str | None]:
    return decision.canal, decision.seria_executado, decision.razao_bloqueio


def expected(canal: str, reason: str | None) -> tuple[str, bool, str | None]:
    return canal, reason is None, reason
