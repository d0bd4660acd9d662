"""Whose code runs with the rights of the migrating role.

A trigger, a rule, a view or a policy on a relation that a run uses is executed as the migrating role, whoever wrote it.
So the ledger and the version table must belong to a trusted role and carry nothing of the kind.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runner.errors import UntrustedObject
from runner.postgres import connect, queries
from runner.project import VersionTable

if TYPE_CHECKING:
    from sqlalchemy import Connection


def _sql(name: str) -> str:
    return queries.load_named("runner.postgres", "trust.sql")[name]


@dataclass(frozen=True)
class Shadow:
    """A function or an operator that has the name of one of PostgreSQL's own, and belongs to an untrusted role."""

    name: str
    """Its kind and its name, as DROP takes them."""
    owner: str


def refuse_untrusted(cursor: Any, table: VersionTable, settings: str = "") -> None:
    """Raise `UntrustedObject` for a ledger or a version table that would run other people's code.

    `cursor` is of the driver. `settings` are sent in the same message, and set `search_path` to `pg_catalog` unless the
    session has that already. Relations that do not exist are trusted.
    """
    cursor.execute(f"{settings}{_sql('find')}", vars(table))
    found = cursor.fetchone()
    if found is not None:
        raise _explain(*found)


def require(connection: "Connection") -> None:
    """Raise `UntrustedObject` as `refuse_untrusted` does, on a connection of `open_engine`."""
    found = connection.exec_driver_sql(_sql("find"), vars(connect.version_table(connection))).first()
    if found is not None:
        raise _explain(*found)


def is_open(connection: "Connection", schema: str) -> bool:
    """Return whether every role may create objects in a schema."""
    return bool(connection.exec_driver_sql(_sql("open"), {"schema": schema}).scalar_one())


def shadows(connection: "Connection", schema: str) -> list[Shadow]:
    """Return what untrusted roles have put into a schema under the names of PostgreSQL's own, by name."""
    return [Shadow(*row) for row in connection.exec_driver_sql(_sql("shadows"), {"schema": schema})]


def refuse_shadows(connection: "Connection", schema: str) -> None:
    """Raise `UntrustedObject` for the first of `shadows`."""
    for shadow in shadows(connection, schema):
        reason = f"has the name of one of PostgreSQL's own, and belongs to `{shadow.owner}`, whose code would run"
        raise UntrustedObject(
            shadow.name, reason, f"Find out why it is there; unless it is needed, run `DROP {shadow.name}`."
        )


def _explain(kind: str, name: str, detail: str, role: str) -> UntrustedObject:
    """Return the error for the first row of the query."""
    match kind.split():
        case ["OWNER", relation]:
            reason = f"belongs to `{detail}`, whose code would run with the privileges of `{role}`"
            owner = role.replace('"', '""')
            mending = _after(f'ALTER {relation} {name} OWNER TO "{owner}"')
            return UntrustedObject(
                name, reason, f"{mending[:-1]}; or set `DB_ROLE` to `{detail}` if that is to migrate."
            )
        case ["RELATION"]:
            remedy = "Find out who made it, and drop it, or name another version table in `migrate.toml`."
            return UntrustedObject(name, "is no table", remedy)
        case ["ROWS"]:
            reason = f"has row security, which hides rows from `{role}`"
            return UntrustedObject(name, reason, _after(f"ALTER TABLE {name} DISABLE ROW LEVEL SECURITY"))
        case _:
            reason = f"has the {kind.lower()} `{detail}`, which would run with the privileges of `{role}`"
            return UntrustedObject(name, reason, _after(f"DROP {kind} {detail} ON {name}"))


def _after(statement: str) -> str:
    return f"Find out who made it; once its content is trusted, run `{statement}`."
