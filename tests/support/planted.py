"""Leads whose names, phones and addresses must not leave the database, but for the names that an answer lists."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from support.postgres import Database

PLANT = """
    update leads set nome = 'Zulmira Plantada ' || substr(nome, 6), documento = '31987654321',
        telefone_raw = case when substr(nome, 6)::int % 3 > 0 then '(84) 99708-' || lpad(substr(nome, 6), 4, '1') end,
        email_raw = 'zulmira.' || substr(nome, 6) || '@plantada.com.br'
"""
TRACES = re.compile(r"zulmira|plantada|99708-?[0-9]{4}|31987654321", re.IGNORECASE)
FAULT = """
    create sequence seen;
    create function fault() returns trigger language plpgsql as $$begin
        if nextval('seen') >= {row} then {act}; end if;
        return new;
    end$$;
    create trigger fault before insert on {table} for each row execute function fault()
"""
REPAIR = "drop trigger fault on {table}; drop function fault(); drop sequence seen"
END_OURS = "perform pg_terminate_backend(pg_backend_pid())"
END_THE_OTHERS = """perform pg_terminate_backend(pid) from pg_stat_activity
    where datname = current_database() and application_name like 'migrate dispatch%' and pid <> pg_backend_pid()"""
REFUSE = "raise check_violation using message = new::text, detail = new::text, hint = new::text"
NOTICE = "raise warning 'recorded: %', new"


def plant(database: Database) -> None:
    """Give each lead of `agency.prepare` a name, a document, an address, and two thirds of them a phone."""
    database.execute(PLANT)


@contextmanager
def fault(database: Database, act: str, row: int, table: str = "dry_run_log") -> Iterator[None]:
    """Do `act`, a statement of PL/pgSQL, from the row of that number on that is inserted."""
    database.execute(FAULT.format(act=act, row=row, table=table))
    try:
        yield
    finally:
        database.execute(REPAIR.format(table=table))


def refuse(*texts: str | dict[str, Any]) -> None:
    """Fail where a planted value is in one of the texts or answers; `decisoes` has the names by contract."""
    for text in texts:
        shown = _bare(text)
        found = TRACES.search(shown)
        assert found is None, f"…{shown[max(0, found.start() - 300) : found.end() + 100]}…"


def _bare(text: str | dict[str, Any]) -> str:
    """Return an answer, also one in JSON, without the names in `decisoes`, any other text as it is."""
    if isinstance(text, str):
        try:
            answer = json.loads(text)
        except ValueError:
            return text
        return _bare(answer) if isinstance(answer, dict) else text
    decisions = [{**one, "lead": {"id": one["lead"]["id"]}} for one in text.get("decisoes", [])]
    return json.dumps({**text, "decisoes": decisions}, ensure_ascii=False)
