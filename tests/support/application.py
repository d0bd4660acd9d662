"""An application's session that stands in the way."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg2

from support.postgres import Database


@contextmanager
def holding(database: Database) -> Iterator[int]:
    """Yield the pid of an application's session that locks `leads` and does nothing more."""
    database.execute("""
        do $$ begin create role app_login login password 'x'; exception when duplicate_object then null; end $$;
        grant all on leads to app_login
    """)
    named = {"user": "app_login", "password": "x", "application_name": "billing"}
    with closing(psycopg2.connect(database.url, **named)) as opened, opened.cursor() as cursor:
        cursor.execute("lock table leads")
        yield opened.info.backend_pid
