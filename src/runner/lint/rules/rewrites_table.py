"""A rewrite copies the table and builds its indexes again, while nobody else may read or write it.

So does another tablespace, and another expression of a column that is generated and STORED. A column of a domain with
a constraint, or one that takes numbers from a sequence, is written into each row. Added without that, it takes a
moment: then new rows get it by a default or a CHECK, and the older ones in batches.
https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-NOTES
"""

from collections.abc import Iterator

from postgast import nodes
from postgast import pg_query_pb2 as pb

from runner.lint.parsing import parse_tree
from runner.lint.parsing.parse_tree import Type
from runner.lint.remedies import instead, made_again, made_safe, new_columns
from runner.lint.rule import Rule, Violation, call
from runner.lint.state import added, domains
from runner.lint.state.chosen_names import shortened
from runner.lint.state.database import Database
from runner.lint.state.domains import Domain
from runner.lint.state.statement import Revision, Statement, shown
from runner.lint.state.tables import Table
from runner.postgres.sql import Name

QUIET = "Do it while the application is stopped, or copy the rows to a new table in batches."
FILL = (
    "Fill the older rows in batches afterwards, outside of the migration; then add NOT NULL, which serial implies, and "
    "the constraints of the column."
)


UNREAD = Domain(Type(""), None, not_null=False, checks=())
"""A domain that the plan alters."""


def find(revision: Revision) -> Iterator[Violation]:
    """Yield each rewrite of a table of the database."""
    for statement in revision.statements:
        match statement.node:
            case nodes.AlterTableStmt():
                yield from _columns(statement, revision)
                yield from _expressions(statement, revision.database)
                yield from _storage(statement, revision.database)
            # in a block of its own, another rule says how long it blocks
            case nodes.ClusterStmt(relation=nodes.RangeVar() as relation) if statement.in_transaction:
                yield from _whole(parse_tree.name(relation), "`CLUSTER`", statement, revision.database)
            case nodes.AlterTableMoveAllStmt(orig_tablespacename=tablespace, new_tablespacename=new):
                if tablespace == new or _is_unused(tablespace, revision.database):
                    continue
                message = (
                    f"It copies everything in the tablespace `{tablespace}`, and blocks reads and writes meanwhile."
                )
                yield Violation("error", message, QUIET, statement)


def _columns(statement: Statement, revision: Revision) -> Iterator[Violation]:
    table, database = statement.reached, revision.database
    for one in statement.columns():
        if table is None:
            continue
        found = parse_tree.read_type(one.type_name)
        if found.name in added.SERIAL and not found.schema:
            why, remedy, advice = "takes its numbers from a sequence", FILL, _of_sequence(one, table, found)
        elif (domain := _domain(found, statement, revision)) is not None and not found.is_array:
            why = f"is of the domain `{found}`, which has a constraint"
            remedy = "Give it the type of the domain, and a CHECK that is validated in the next revision."
            advice = _of_domain(one, table, domain)
        else:
            continue
        dropping = made_again.dropping_column(one.colname, table, revision, statement)
        advice = ("\n".join((*dropping, advice[0])), *advice[1:]) if advice else ()
        message = f"The column `{one.colname}` {why}: {_rewritten(table, database)}."
        yield Violation(database.by_rows(table), message, remedy, statement, table, advice)


def _rewritten(table: Table, database: Database) -> str:
    return (
        f"`{shown(table.name)}` is written again with {database.count(table)}, and reads and writes of it are blocked "
        "until the commit"
    )


def _domain(found: Type, statement: Statement, revision: Revision) -> Domain | None:
    """Return a domain that does not take every value, as it is before a statement."""
    name = domains.named(found)
    for node in statement.defined:
        match node:
            case nodes.AlterDomainStmt(type_name=parts, subtype="C" | "O") if parse_tree.parts_name(parts) == name:
                return UNREAD
    domain = domains.flat(name, revision.domains(statement))
    return domain if domain is not None and (domain.checks or domain.not_null) else None


def _of_sequence(column: nodes.ColumnDef, table: Table, found: Type) -> tuple[str, ...]:
    """Return a column without values, with a default for new rows; none for one with constraints of its own."""
    if column.constraints:
        return ()
    where, name = parse_tree.identifier(*table.name), parse_tree.identifier(column.colname)
    kind = Type(added.SERIAL[found.name])
    adding = instead.executed(f"ALTER TABLE {where} ADD COLUMN {name} {kind}")
    return ("\n".join((adding, *new_columns.numbering(column.colname, kind, table.name))),)


def _of_domain(column: nodes.ColumnDef, table: Table, domain: Domain) -> tuple[str, ...]:
    """Return a column of the domain's type with its constraints; none where they are not known."""
    (schema, owner), name = table.name, column.colname
    if not domain.checks or domain.not_null or table.is_partitioned:
        return ()
    command = pb.AlterTableCmd(subtype=pb.AT_AddColumn, behavior=pb.DROP_RESTRICT)
    # `def` is a keyword of Python
    changed = getattr(command, "def").column_def
    changed.CopyFrom(parse_tree.message(column))
    (typed,) = parse_tree.parse(f"select null::{domain.base}")
    changed.type_name.CopyFrom(parse_tree.message(next(parse_tree.walk(typed, nodes.TypeName))))
    adding = [made_safe.alter(table.name, command)]
    validating = []
    for number, check in enumerate(domain.checks):
        named = shortened(owner, name, f"check{number or ''}")
        of_domain = parse_tree.definition(check)
        assert of_domain is not None  # noqa: S101 - as PostgreSQL writes it
        of_column = parse_tree.of_column(of_domain, name).raw_expr
        assert of_column is not None  # noqa: S101 - of a CHECK
        condition = instead.written(parse_tree.expression_text(of_column))
        adding.append(call("add_check_not_valid", named, owner, condition, schema=schema))
        validating.append(call("validate_constraint", named, owner, schema=schema))
    return "\n".join(adding), "\n".join(validating)


def _expressions(statement: Statement, database: Database) -> Iterator[Violation]:
    table = statement.reached
    for command in parse_tree.commands(statement.node, pb.AT_SetExpression):
        column = table.columns.get(command.name) if table is not None and table.origin is not None else None
        if table is not None and column is not None and column.generated == "stored":
            message = f"The new expression of `{column.name}`, which is stored: {_rewritten(table, database)}."
            yield Violation(database.by_rows(table), message, QUIET, statement, table)


def _is_unused(tablespace: str, database: Database) -> bool:
    """Return whether nothing of a database is in a tablespace."""
    places = database.tablespaces() if database.tablespaces is not None else None
    return places is not None and tablespace != places.default and tablespace not in places.others.values()


def _is_moved(name: Name, now: str, new: str, database: Database) -> bool:
    """Return whether a relation gets another tablespace; `now` is that to which the plan has moved it."""
    if now or database.tablespaces is None:
        # without a database, what is not said to be elsewhere is in PostgreSQL's own
        return new != (now or "pg_default")
    return new != database.tablespaces().of(name)


def _storage(statement: Statement, database: Database) -> Iterator[Violation]:
    node, table = statement.node, statement.table
    for command in parse_tree.commands(node, pb.AT_SetTableSpace):
        if isinstance(node, nodes.AlterTableStmt) and node.objtype == pb.OBJECT_INDEX:
            yield from _index(node, command.name, statement, database)
    if table is None or table.origin is None or table.is_partitioned:
        return
    for command in parse_tree.commands(node):
        match command.subtype:
            case pb.AT_SetUnLogged if not table.is_unlogged:
                yield from _whole(table.name, "`SET UNLOGGED`", statement, database)
            case pb.AT_SetLogged if table.is_unlogged:
                yield from _whole(table.name, "`SET LOGGED`", statement, database)
            # the default has no name
            case pb.AT_SetAccessMethod if (command.name or "heap") != table.access_method:
                yield from _whole(table.name, "`SET ACCESS METHOD`", statement, database)
            case pb.AT_SetTableSpace if _is_moved(table.origin, table.tablespace, command.name, database):
                yield from _whole(table.name, "`SET TABLESPACE`", statement, database)


def _whole(name: Name, what: str, statement: Statement, database: Database) -> Iterator[Violation]:
    table = statement.before.find(name)
    if table is not None and table.origin is not None:
        message = f"{what}: {_rewritten(table, database)}."
        yield Violation(database.by_rows(table), message, QUIET, statement, table)


def _index(
    node: nodes.AlterTableStmt, tablespace: str, statement: Statement, database: Database
) -> Iterator[Violation]:
    assert node.relation is not None  # noqa: S101 - the grammar demands one
    index = parse_tree.name(node.relation)
    table = statement.before.with_index(index)
    if table is None or table.origin is None or table.is_partitioned:
        return
    if not _is_moved(index, "", tablespace, database):
        return
    message = (
        f"The index `{index[1]}` is copied, and blocks reads and writes of `{shown(table.name)}` until the commit."
    )
    where = parse_tree.identifier(*index)
    text = f"REINDEX (TABLESPACE {parse_tree.identifier(tablespace)}, CONCURRENTLY) INDEX {where}"
    remedy = f"Build it again there, in an autocommit block of a revision of its own: `{text}`."
    yield Violation(database.by_rows(table), message, remedy, statement, table)


RULE = Rule(
    id="rewrites-table",
    levels="An error from 10,000 rows on, else a warning.",
    find=find,
    is_of_rows=True,
    bad=(
        'op.execute("alter table items add n serial")',
        'op.execute("ALTER TABLE ONLY \\"items\\" ADD COLUMN IF NOT EXISTS \\"N\\" BIGSERIAL, ADD m text")',
        'op.execute("alter table archive.items add n smallserial not null")',
        'op.execute("alter table items add n bigserial unique")',
        'op.execute("alter table items add stars positive")',
        'op.execute("alter table items add stars public.positive default 3 not null")',
        'op.execute("alter table events add stars positive")',
        'op.execute("create domain tall as positive; alter table items add stars tall")',
        'op.execute("alter domain grade add check (value < 9) not valid; alter table items add stars grade")',
        'op.execute("do $$ begin alter table items add n serial; end $$")',
        'op.execute("cluster items using items_code")',
        'op.execute("alter table items set unlogged")',
        'op.execute("alter table items set tablespace fast")',
        'op.execute("alter table items set access method columnar")',
        'op.execute("alter index items_code set tablespace fast")',
        'op.execute("alter table all in tablespace pg_default set tablespace fast")',
    ),
    safe=(
        'op.add_column("items", sa.Column("stars", sa.BigInteger()))\n'
        'add_check_not_valid("stars_check", "items", "stars > 0")\n---\n'
        'validate_constraint("stars_check", "items")',
        'op.execute("alter table items add stars grade default 3")',
        'op.execute("alter table items add stars positive[]")',
        'op.execute("alter table items set logged, set access method heap, set tablespace pg_default")',
        'op.execute("create table fresh (n serial)")\nop.execute("alter table fresh add m positive, set unlogged")',
        'op.execute("alter table items add n bigint")\nop.execute("create sequence items_n_seq owned by items.n")\n'
        "op.execute(\"alter table items alter n set default nextval('items_n_seq')\")",
    ),
)
