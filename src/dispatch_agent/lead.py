"""A lead, as input of the decision."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Lead:
    """One row of `leads` with its contacts; texts are unchanged and unchecked."""

    lead_id: str
    """A UUID as text: nothing computes with it, and making a million UUID objects takes seconds."""
    nome: str | None
    documento: str | None
    status: str
    interesse: int | None
    """From 0 to 100."""
    data_ingestao: datetime
    telefones: tuple[str, ...]
    """The structured ones that are `valido_para_disparo`, principal ones first."""
    emails: tuple[str, ...]
    """Same."""
    telefone_raw: str | None
    """As received; it may hold several."""
    email_raw: str | None
    """Same."""
    agendamento: datetime | None
    """The next future appointment that is proposed or confirmed, aware."""
    recusados: tuple[str, ...] = ()
    """Structured phones and e-mails that are not `valido_para_disparo`: a copy in a raw string is not used either."""
    bloqueado: bool = False
    """The lead itself, not only a contact, is on the tenant's blocklist."""
    contatos_bloqueados: tuple[str, ...] = ()
    """The keys of its contacts that the blocklist has."""
