"""Append decisions to `dry_run_log` with COPY, one transaction for each chunk."""

import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass
from io import StringIO
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from dispatch_agent.rules.decision import Decision
from models import DryRunLog

COLUMNS = [
    DryRunLog.log_id,
    DryRunLog.tenant_id,
    DryRunLog.lead_id,
    DryRunLog.lead_nome,
    DryRunLog.lead_telefone,
    DryRunLog.lead_email,
    DryRunLog.lead_documento,
    DryRunLog.canal_decidido,
    DryRunLog.motivo_decisao,
    DryRunLog.template_selecionado,
    DryRunLog.disparo_seria_executado,
    DryRunLog.razao_bloqueio,
    DryRunLog.ambiente,
    DryRunLog.feature_flag_enabled,
    DryRunLog.run_id,
]
COPY = f"COPY {DryRunLog.__tablename__} ({', '.join(column.name for column in COLUMNS)}) FROM STDIN"
# https://www.postgresql.org/docs/current/sql-copy.html#id-1.9.3.55.9.2
NULL = "\\N"
# psycopg2's default of 8 kB would need many reads for a chunk.
READ_BYTES = 1 << 20
ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\0": ""})


@dataclass(frozen=True)
class Origin:
    """The values that all rows of a run share."""

    tenant_id: UUID
    run_id: str
    ambiente: str
    feature_flag: bool
    note: str = ""
    """What follows each reason, such as the moment that the run decided as at."""


def record(connection: Connection, decisions: Iterable[Decision], origin: Origin) -> None:
    """Append `decisions` and commit. If the run has recorded one of the leads already, none of them is kept."""
    text = StringIO(_text(decisions, origin))
    dbapi: Any = connection.connection.dbapi_connection
    with connection.begin(), dbapi.cursor() as cursor:
        # each read needs the interpreter's lock, which the thread that decides on the next chunk holds
        cursor.copy_expert(COPY, text, size=READ_BYTES)


def _text(decisions: Iterable[Decision], origin: Origin) -> str:
    """Return rows in COPY's text format; all columns but the first two and the last three come from the decision."""
    first, number = f"\t{origin.tenant_id}\t", _first_id()
    last = f"\t{_escaped(origin.ambiente)}\t{_flag(origin.feature_flag)}\t{_escaped(origin.run_id)}\n"
    return "".join([
        f"{number + place:032x}{first}{one.lead_id}\t{_escaped(one.nome)}\t{_escaped(one.telefone)}\t"
        f"{_escaped(one.email)}\t{_escaped(one.documento)}\t{one.canal}\t{_escaped(one.motivo + origin.note)}\t"
        f"{_escaped(one.template)}\t{_flag(one.seria_executado)}\t{_escaped(one.razao_bloqueio)}{last}"
        for place, one in enumerate(decisions)
    ])  # fmt: skip


def _first_id() -> int:
    """Return the id of a chunk's first row, a UUID of version 7; those of the others follow it.

    Ids in the order of time are beside each other in the primary key. Random ones, its default, are each on another
    page of it, which in a large log the server first has to read, and after a checkpoint to write whole.
    https://www.rfc-editor.org/rfc/rfc9562#name-uuid-version-7
    """
    moment, random = time.time_ns() // 1_000_000, secrets.randbits(73)
    return moment << 80 | 7 << 76 | random >> 61 << 64 | 2 << 62 | random & ((1 << 61) - 1)


def _escaped(value: str | None) -> str:
    if value is None:
        return NULL
    return value if value.isprintable() and "\\" not in value else value.translate(ESCAPES)


def _flag(value: bool) -> str:
    return "t" if value else "f"
