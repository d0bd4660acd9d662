"""Another type of a column rewrites the table and its indexes, and blocks the table's reads and writes meanwhile.

Where each value stays as it is, only indexes with an expression or a WHERE over the column are built again, and CHECKs
over it are checked again. Nothing is done, and nothing found, where there are none: for a longer `varchar`, `text`, a
`numeric` with more digits and the same scale, more digits of a second, `inet` for `cidr`, a domain without constraints.
`timestamp` and `timestamptz` are exchanged without a rewrite in UTC, the time zone of a run.
https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-NOTES
"""

from collections.abc import Iterator, Mapping

from postgast import nodes
from postgast import pg_query_pb2 as pb

from runner.lint.effects import removal, widening
from runner.lint.effects.removal import Thing
from runner.lint.effects.widening import TEXTS, Effect
from runner.lint.parsing import parse_tree
from runner.lint.parsing.parse_tree import Type
from runner.lint.remedies import new_columns
from runner.lint.rule import Rule, Violation, call
from runner.lint.state.chosen_names import shortened
from runner.lint.state.domains import Domain
from runner.lint.state.statement import Revision, Statement, shown
from runner.lint.state.tables import Column, Table
from runner.postgres.sql import Name


def find(revision: Revision) -> Iterator[Violation]:
    """Yield each column of a table of the database whose new type rewrites or reads the table."""
    database = revision.database
    for statement in revision.statements:
        match statement.node:
            case nodes.AlterTableStmt(objtype=pb.OBJECT_TYPE, relation=nodes.RangeVar() as relation) as node:
                yield from _of_type(node, parse_tree.name(relation), revision, statement)
        table = statement.reached
        if table is None or table.origin is None:
            continue
        for command in parse_tree.commands(statement.node, pb.AT_AlterColumnType):
            definition = command.def_
            if not isinstance(definition, nodes.ColumnDef):
                continue
            column = table.columns.get(command.name, Column(command.name, Type("")))
            effect = _effect(column, definition, table, revision, statement)
            new = parse_tree.read_type(definition.type_name)
            if effect.takes_zone and not effect.rewrites:
                yield _of_zone(column, new, table, statement)
            if effect.rewrites or effect.indexes or effect.checks:
                message = (
                    f"Changing `{column.name}`{f' from `{column.type}`' if column.type.name else ''} to `{new}` "
                    f"{_done(effect, table)}, and blocks its reads and writes while {database.count(table)} are "
                    f"{'written' if effect.rewrites else 'read'}."
                )
                remedy, instead = _advice(column, new, definition, table, effect, revision.domains(statement))
                yield Violation(database.by_rows(table), message, remedy, statement, table, instead)


def _of_type(node: nodes.AlterTableStmt, name: Name, revision: Revision, statement: Statement) -> Iterator[Violation]:
    """Yield each attribute of a composite type whose new type rewrites the tables that are OF it."""
    database = revision.database
    remedy = "Make a table with the new type, and copy the rows to it in batches."
    for command in parse_tree.commands(node, pb.AT_AlterColumnType):
        definition = command.def_
        # without CASCADE it fails where there is such a table
        if command.behavior != pb.DROP_CASCADE or not isinstance(definition, nodes.ColumnDef):
            continue
        new = parse_tree.read_type(definition.type_name)
        done = f"Changing `{command.name}` of the type `{shown(name)}` to `{new}`"
        for table in filter(None, map(statement.before.of_origin, database.typed.get(name, ()))):
            column = table.columns.get(command.name, Column(command.name, Type("")))
            effect = _effect(column, definition, table, revision, statement)
            if effect.rewrites or effect.indexes or effect.checks:
                message = (
                    f"{done} {_done(effect, table)}, which is of that type, and blocks its reads and writes while "
                    f"{database.count(table)} are {'written' if effect.rewrites else 'read'}."
                )
                yield Violation(database.by_rows(table), message, remedy, statement, table)
        if not database.is_complete and removal.is_there(Thing("type", name), revision, statement):
            yield Violation("error", f"{done} rewrites each table that is of that type.", remedy, statement)


def _effect(
    column: Column, definition: nodes.ColumnDef, table: Table, revision: Revision, statement: Statement
) -> Effect:
    """Return what is done to a table or to its partitions, which have indexes and constraints of their own."""
    known = revision.domains(statement)
    tables = (table, *map(statement.before.find, statement.before.partitions(table.name)))
    found = [widening.effect(column, definition, one, known) for one in tables if one is not None]
    return Effect(
        any(one.rewrites for one in found),
        tuple(dict.fromkeys(name for one in found for name in one.indexes)),
        tuple(dict.fromkeys(name for one in found for name in one.checks)),
        any(one.takes_zone for one in found),
    )


def _of_zone(column: Column, new: Type, table: Table, statement: Statement) -> Violation:
    owner = shown(table.name)
    message = (
        f"Changing `{column.name}` of `{owner}` from `{column.type}` to `{new}` takes its values as times of UTC, the "
        f"time zone of a run; under another one it rewrites the table, and blocks its reads and writes meanwhile."
    )
    remedy = "If they are times of UTC, allow it with a comment; else add a column and fill it in batches."
    return Violation("warning", message, remedy, statement, table)


def _done(effect: Effect, table: Table) -> str:
    if effect.rewrites:
        return f"rewrites `{shown(table.name)}` and its indexes"
    indexes, checks = (", ".join(f"`{one}`" for one in names) for names in (effect.indexes, effect.checks))
    done = [f"builds {indexes} of `{shown(table.name)}` again" if indexes else ""]
    done.append(f"checks {checks} {'' if indexes else f'of `{shown(table.name)}` '}again" if checks else "")
    return " and ".join(filter(None, done))


def _advice(
    column: Column,
    new: Type,
    definition: nodes.ColumnDef,
    table: Table,
    effect: Effect,
    known: Mapping[Name, Domain],
) -> tuple[str, tuple[str, ...]]:
    schema, owner = table.name
    if not effect.rewrites:
        again = "; then build the indexes concurrently" if effect.indexes else ""
        again += "; then add the CHECKs NOT VALID and validate them" if effect.checks else ""
        first = (
            "the indexes" if effect.indexes and not effect.checks else "the CHECKs" if not effect.indexes else "both"
        )
        return f"Drop {first} before it, if the application can do without them{again}.", ()
    if column.type.name in TEXTS and new.name == "varchar" and new.modifiers and not column.type.is_array:
        name, condition = (
            shortened(owner, column.name, "length"),
            f"length({parse_tree.identifier(column.name)}) <= {new.modifiers[0]}",
        )
        adding = call("add_check_not_valid", name, owner, condition, schema=schema)
        remedy = "Leave the type as it is, and limit the length with a CHECK: NOT VALID first, validated later."
        return remedy, (adding, call("validate_constraint", name, owner, schema=schema))
    made = shortened(column.name, "new")
    remedy = (
        f"Add `{made}`, keep it up to date by a trigger, fill it in batches, and let the application use it; drop "
        f"`{column.name}` when nothing reads it."
    )
    # a new column of a domain with a constraint is written into each row, too
    is_free = not widening.is_checked(new, known)
    return remedy, (new_columns.of_type(made, definition, table.name),) if is_free else ()


RULE = Rule(
    id="changing-column-type",
    levels="An error from 10,000 rows on, else a warning; a warning where only the time zone matters.",
    find=find,
    is_of_rows=True,
    bad=(
        'op.execute("alter type crate alter attribute width type bigint cascade")',
        'op.alter_column("items", "number", type_=sa.BigInteger())',
        'op.execute("ALTER TABLE ONLY Items ALTER COLUMN number SET DATA TYPE bigint, ALTER quantity TYPE bigint")',
        'op.execute("alter table accounts alter name type varchar(10)")',
        'op.execute("alter table accounts alter email type varchar(200) using substr(email, 1, 200)")',
        'op.execute("alter table items alter mood drop default, alter mood type text using mood::text")',
        'op.execute("do $$ begin alter table archive.items alter account_id type numeric; end $$")',
        'op.execute("alter table events alter kind type varchar(9)")',
        'op.execute("alter table items alter number type numeric(12, 2)")',
        'op.execute("alter table accounts add check (code > 0) not valid, alter code type positive")',
    ),
    safe=(
        'op.execute("alter type crate alter attribute label type text cascade")',
        'op.execute("alter type size alter attribute width type bigint cascade")',
        'op.alter_column("accounts", "name", type_=sa.String(99))\n'
        'op.alter_column("accounts", "name", type_=sa.Text())',
        'op.execute("alter table accounts alter balance type numeric(12, 2), alter balance set default 0")',
        'op.execute("alter table accounts alter balance type numeric")',
        'op.execute("alter table items alter note type varchar, alter at type timestamptz(6)")',
        'op.execute("alter table items alter score type integer")',
        'op.execute("alter table accounts alter name type varchar(99) using name")',
        'op.execute("alter table events alter kind type varchar")',
        'op.execute("alter table items add number_new bigint")',
    ),
)
