"""What PostgreSQL drops with an object by CASCADE, from the catalog of this database."""

from sqlalchemy import Connection, text

from runner.lint.state.dependent import Dependent, Root
from runner.postgres import queries, sql


def read(connection: Connection, kind: str, roots: tuple[Root, ...]) -> tuple[Dependent, ...]:
    """Return what goes with objects of a kind, such as `relation`; none with those that the database does not have."""
    query = text(queries.load("runner.preview", "dependents.sql"))
    names, parts = [root.name for root in roots], [root.part for root in roots]
    rows = connection.execute(query, {"kind": kind, "names": names, "parts": parts})
    return tuple(
        Dependent(row.kind, sql.read_name(row.identity), row.identity)
        if row.owner is None
        else Dependent(row.kind, (row.schema, row.owner), row.identity, row.part)
        for row in rows
    )
