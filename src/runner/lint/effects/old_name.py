"""The old name of a table that a revision renames or moves, and what an application finds under it."""

from collections.abc import Iterator

from postgast import nodes
from postgast import pg_query_pb2 as pb

from runner.lint.effects import removal
from runner.lint.effects.removal import Thing
from runner.lint.parsing import parse_tree
from runner.lint.rule import Violation, call
from runner.lint.state.statement import Revision, Statement, shown
from runner.lint.state.tables import Table
from runner.postgres.search_path import PROJECT
from runner.postgres.sql import Name

INVOKER = 15
"""The first version whose views can check privileges and row security for who reads them."""


def moved(revision: Revision, *statements: type[nodes.RenameStmt | nodes.AlterObjectSchemaStmt]) -> Iterator[Violation]:
    """Yield a violation for each table of the database that statements of these classes remove from its name.

    Where the same transaction makes a view of the old name that an application can read and write, it is a note.
    """
    if revision.rendered.direction == "downgrade":
        return
    for statement in revision.statements:
        if isinstance(statement.node, statements):
            for one in removal.removed(statement.node):
                table = removal.users_table(statement, one.name) if one.kind == "table" else None
                # a table that got its name from the plan is used under its former one
                is_moved = _new_name(statement, one) != one.name
                if table is not None and table.kind == "table" and table.origin == one.name and is_moved:
                    yield _violation(revision, statement, one, table)
                elif removal.is_own(one, revision.database):
                    yield Violation("error", f"`{shown(one.name)}` {removal.OWN}", "Leave it where it is.", statement)


def _violation(revision: Revision, statement: Statement, one: Thing, table: Table) -> Violation:
    old = shown(one.name)
    new = _new_name(statement, one)
    done = f"Renaming `{old}` to `{shown(new)}`" if one.name[0] == new[0] else f"Moving `{old}` to `{shown(new)}`"
    taken = _taken(revision, statement, one)
    if taken is None:
        message = f"{done} breaks {removal.USERS}: it does not find `{old}`."
        remedy = (
            f"Make a view `{old}` of the table in the same revision, which can be read and written like the table, and "
            "drop it when no version uses it. Or keep the name."
        )
        instead = _instead(revision, statement, table, new)
        parents = map(statement.before.find, table.parents)
        if any(parent is not None and parent.is_partitioned for parent in parents):
            # most queries name the partitioned table
            return Violation("warning", message, f"Keep the name unless `{old}` is named nowhere.", statement, table)
        return Violation("error", message, remedy, statement, table, instead)
    if isinstance(taken.node, nodes.ViewStmt):
        return _by_view(taken, done, statement, table, new)
    message = (
        f"{done} gives `{old}` to another table: {removal.USERS} finds that one, without what was written to the "
        "old one after it was copied."
    )
    remedy = f"Check that `{old}` has every row and column that the application uses. Or keep the table."
    return Violation("warning", message, remedy, statement, table)


def _by_view(taken: Statement, done: str, statement: Statement, table: Table, new: Name) -> Violation:
    old = shown(table.name)
    assert isinstance(taken.node, nodes.ViewStmt)  # noqa: S101 - as its caller has found
    lacking = _lacking(taken.node, table, new)
    if lacking is not None:
        message = f"{done} breaks {removal.USERS}: the view `{old}` {lacking}."
        remedy = f"Let it have every column of `{shown(new)}` and all rows: such a view can be written too."
        return Violation("error", message, remedy, statement, table)
    message = (
        f"{done} leaves a view under the old name: it can be read and written, but not with TRUNCATE, COPY FROM or "
        "ON CONFLICT ON CONSTRAINT, and it has privileges of its own."
    )
    users = ", ".join(f"`{one}`" for one in sorted(table.grants))
    remedy = f"Grant {users or 'the roles of the application'} on the view what they have on the table."
    return Violation("note", message, remedy, statement, table)


def _new_name(statement: Statement, one: Thing) -> Name:
    match statement.node:
        case nodes.RenameStmt(newname=new):
            return one.name[0], new
        case nodes.AlterObjectSchemaStmt(newschema=new):
            return new, one.name[1]
    return one.name


def _taken(revision: Revision, statement: Statement, one: Thing) -> Statement | None:
    """Return the later statement of the same transaction that gives the old name to another relation."""
    if not statement.in_transaction:
        return None
    return next((other for other in removal.following(revision, statement) if removal.made(other.node, one)), None)


def _lacking(node: nodes.ViewStmt, table: Table, new: Name) -> str | None:
    """Return what a view of a table cannot do, None where it can be read and written like the table.

    https://www.postgresql.org/docs/current/sql-createview.html#SQL-CREATEVIEW-UPDATABLE-VIEWS
    """
    query = node.query
    if not isinstance(query, nodes.SelectStmt) or not _is_simple(query, new):
        return "cannot be written"
    if node.aliases:
        return "has other columns"
    columns: set[str] = set()
    for target in query.target_list:
        match target:
            case nodes.ResTarget(val=nodes.ColumnRef(fields=[*_, nodes.A_Star()])):
                columns |= table.columns.keys()
            case nodes.ResTarget(name=name, val=nodes.ColumnRef(fields=fields)) if name in (
                "",
                parse_tree.words(fields)[-1],
            ):
                columns.add(parse_tree.words(fields)[-1])
    left = [f"`{name}`" for name in table.columns if name not in columns]
    return f"lacks {', '.join(left)}" if left else None


def _is_simple(query: nodes.SelectStmt, table: Name) -> bool:
    other = (
        query.distinct_clause, query.group_clause, query.having_clause, query.window_clause, query.where_clause,
        query.limit_count, query.limit_offset, query.with_clause, query.values_lists,
    )  # fmt: skip
    match query.from_clause:
        case [nodes.RangeVar() as source] if not any(other) and query.op == pb.SETOP_NONE:
            return parse_tree.name(source) == table
    return False


def _instead(revision: Revision, statement: Statement, table: Table, new: Name) -> tuple[str, ...]:
    """Return the calls that rename or move a table and leave a view under its old name."""
    version = revision.database.major_version
    # a view of an older version shows every row to everybody who may read it
    if statement.in_block or (table.row_security and version < INVOKER):
        return ()
    schema, name = table.name
    if isinstance(statement.node, nodes.RenameStmt):
        first = call("op.rename_table", name, new[1], schema=schema)
    else:
        first = call("op.execute", f"ALTER TABLE {quoted(table.name)} SET SCHEMA {parse_tree.identifier(new[0])}")
    view = view_of(new, table.name, " WITH (security_invoker = true)" if table.row_security else "")
    granting = [
        f"GRANT {privileges.replace(' with grant option', '')} ON {quoted(table.name)} TO {role}"
        for role, privileges in sorted(table.grants.items())
    ]
    return ("\n".join([first, *(call("op.execute", one) for one in (view, *granting))]),)


def view_of(source: Name, name: Name, options: str = "") -> str:
    """Return the statement that makes a view of all columns and rows of another relation."""
    return f"CREATE VIEW {quoted(name)}{options} AS SELECT * FROM {quoted(source)}"  # noqa: S608 - quoted


def quoted(name: Name) -> str:
    """Return a name as SQL, without the schema where that is `public`."""
    return parse_tree.identifier(*(name[1:] if name[0] == PROJECT else name))
