"""Questions about the catalog that an error raises, on a connection of their own: the failed one accepts none."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any, Protocol

import psycopg2
import psycopg2.extras

from runner.errors import MigrationError
from runner.invocation import Invocation
from runner.postgres import connect, queries

LONGEST_S = 3
"""The most time for a question, which only makes an answer more helpful."""


class LookUp(Protocol):
    """Returns the rows of a query of `privileges.sql`; none where the question cannot be asked."""

    def __call__(self, name: str, parameters: Mapping[str, object]) -> Sequence[Mapping[str, Any]]: ...


def nowhere(name: str, parameters: Mapping[str, object]) -> Sequence[Mapping[str, Any]]:
    """Return no rows, where there is no database to ask."""
    return ()


def of(invocation: Invocation) -> LookUp:
    """Return the function that asks the database of a call, as the role in which its runs work."""

    def look_up(name: str, parameters: Mapping[str, object]) -> Sequence[Mapping[str, Any]]:
        deadline = invocation.deadline.earlier(LONGEST_S)
        # the answer must not be late for it
        if deadline.remaining_s < connect.SHORTEST_TIMEOUT_S:
            return ()
        query = queries.load_named("runner.postgres", "privileges.sql")[name]
        bounds = f"set search_path = pg_catalog; set statement_timeout = {deadline.remaining_ms}; "
        try:
            with closing(connect.connect(invocation.settings, invocation.request_id, deadline)) as connection:
                connection.autocommit = True
                with connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor) as cursor:
                    cursor.execute(bounds + query, parameters)
                    return list(cursor.fetchall())
        except (psycopg2.Error, MigrationError):
            return ()

    return look_up
