"""A lead, as the decision sees it."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Lead:
    """Hold one row of `leads` with what belongs to it; texts are as stored, nothing is checked yet."""

    lead_id: str
    """A UUID as text: nobody computes with it, and to make objects of a million takes seconds."""
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
    """As received; several values are separated by `|`."""
    email_raw: str | None
    """Same."""
    agendamento: datetime | None
    """The next future appointment that is proposed or confirmed, aware."""
    bloqueado: bool
    """The lead itself, not only a contact, is on the tenant's blocklist."""
    recusados: tuple[str, ...] = ()
    """Structured phones and e-mails that are not `valido_para_disparo`: a copy in a raw string is not used either."""
