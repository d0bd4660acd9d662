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


TRUSTED = "trusted"
"""Key in `Connection.info` of the relations that are known to exist and to be trusted."""


def _sql(name: str) -> str:
    return queries.load_named("runner.postgres", "trust.sql")[name]


@dataclass(frozen=True)
class Shadow:
    """A function or an operator that has the name of one of PostgreSQL's own, and belongs to an untrusted role."""

    name: str
    """Its kind and its name, as DROP takes them."""
    owner: str


def read(cursor: Any, table: VersionTable, settings: str) -> frozenset[str]:
    """Return which of our relations exist, as `look` does, for a role that only reads them.

    `cursor` is of the driver. `settings` are sent in the same message, and set `search_path` to `pg_catalog`.
    """
    cursor.execute(f"{settings}{_sql('find')}", {**vars(table), "reads": True})
    return _existing(cursor.fetchone())


def look(connection: "Connection") -> frozenset[str]:
    """Return which of our relations exist: `run` and `log` of the ledger, and `version`; all of them can be trusted.

    Raises `UntrustedObject`. `connection` is one of `open_engine`. What exists and is trusted can be used: only its
    owner and the schema's could put another one in its place. What does not exist may be made by others at any moment.
    """
    reads = bool(connection.get_execution_options().get("postgresql_readonly"))
    parameters = {**vars(connect.version_table(connection)), "reads": reads}
    return _existing(connection.exec_driver_sql(_sql("find"), parameters).one())


def exists(connection: "Connection", relation: str) -> bool:
    """Return whether a relation of `look` exists, which is asked once for each that does."""
    known: frozenset[str] = connection.info.get(TRUSTED, frozenset())
    if relation not in known:
        known = connection.info[TRUSTED] = look(connection)
    return relation in known


def _existing(row: Any) -> frozenset[str]:
    existing, kind, *named = row
    if kind is not None:
        raise _explain(kind, *named)
    return frozenset(existing)


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
