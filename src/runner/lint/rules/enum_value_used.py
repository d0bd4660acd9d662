"""A value that ALTER TYPE adds cannot be used before its transaction has ended: the statement that does so fails.

The value is committed with its revision, so a later revision uses it. The values that CREATE TYPE names can be used at
once; those that are added to a type of the same transaction can be since PostgreSQL 17.
https://www.postgresql.org/docs/current/sql-altertype.html#SQL-ALTERTYPE-NOTES
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from postgast import nodes
from postgast import pg_query_pb2 as pb
from postgast.nodes import AstNode

from runner.lint.parsing import code, parse_tree
from runner.lint.remedies import instead
from runner.lint.rule import Rule, Violation
from runner.lint.state.statement import Revision, Statement, shown
from runner.lint.state.tables import Tables
from runner.postgres.sql import Name

USABLE_SINCE = 17
"""The first version that accepts values added to a type of the same transaction."""
Added = tuple[Name, str]
"""A type and its new value."""


def find(revision: Revision) -> Iterator[Violation]:
    """Yield each use of a value of an enumerated type in the transaction that adds it."""
    added: list[Added] = []
    made: set[Name] = set()
    for statement in revision.statements:
        if not revision.rendered.transactional and not statement.in_block:
            added = []
        yield from islice(_used(statement, added, revision), 1)
        match statement.node:
            case nodes.CreateEnumStmt(type_name=name) if revision.database.major_version >= USABLE_SINCE:
                made.add(parse_tree.parts_name(name))
            case nodes.AlterEnumStmt(type_name=name, old_val="", new_val=value) as node if statement.in_transaction:
                kind = parse_tree.parts_name(name)
                is_there = node.skip_if_new_val_exists and value in revision.database.enums.get(kind, ())
                if kind not in made and not is_there:
                    added.append((kind, value))
            case nodes.RenameStmt(rename_type=pb.OBJECT_TYPE, object=nodes.List(items=parts), newname=new):
                old = parse_tree.parts_name(parts)
                added = [((old[0], new) if kind == old else kind, value) for kind, value in added]
            case nodes.TransactionStmt():
                added = []


def _used(statement: Statement, added: Iterable[Added], revision: Revision) -> Iterator[Violation]:
    remedy = "Use it in the next revision."
    for kind, value in added:
        if _uses(statement, kind, value):
            message = f"It fails: the value `{value}` of `{shown(kind)}` cannot be used before the commit."
            yield Violation("error", message, remedy, statement, None, _instead(statement, revision))
        elif not revision.database.is_complete and _uses(statement, None, value):
            # which columns are of the type is not known
            message = f"It fails if `{value}` is used as a value of `{shown(kind)}`: it cannot be before the commit."
            yield Violation("error", message, remedy, statement)


def _uses(statement: Statement, kind: Name | None, value: str) -> bool:
    """Return whether a statement uses a value of a type, or of an unknown one, which each column may have."""
    node = statement.node
    if node is None:
        return False
    body = code.body(node)
    # PL/pgSQL is read when it runs
    trees = code.trees(node) if body is not None and body[0] == "sql" else ()
    return any(_is_used(tree, kind, value, statement.before) for tree in (node, *trees))


def _is_used(tree: AstNode, kind: Name | None, value: str, tables: Tables) -> bool:
    columns = set(_columns(tree, kind, tables))
    for one in parse_tree.walk(tree, AstNode):
        match one:
            case nodes.TypeCast(arg=inner, type_name=name):
                used = _is_of(name, kind) and _has(inner, value)
            case nodes.A_Expr(lexpr=left, rexpr=right):
                used = any(
                    _is_column(side, columns) and _has(other, value) for side, other in ((left, right), (right, left))
                )
            case nodes.ColumnDef(type_name=name, constraints=constraints):
                used = _is_of(name, kind) and any(
                    _has(part.raw_expr, value)
                    for part in constraints
                    if isinstance(part, nodes.Constraint) and part.contype == pb.CONSTR_DEFAULT
                )
            case nodes.AlterTableCmd(subtype=pb.AT_ColumnDefault, name=name, def_=default):
                used = name in columns and _has(default, value)
            case nodes.UpdateStmt(target_list=targets) | nodes.MergeWhenClause(target_list=targets, values=[]):
                used = any(
                    part.name in columns and _has(part.val, value)
                    for part in targets
                    if isinstance(part, nodes.ResTarget)
                )
            case nodes.MergeWhenClause(target_list=targets, values=values):
                used = _gives(targets, values, columns, value)
            case nodes.InsertStmt(cols=targets, select_stmt=nodes.SelectStmt() as query):
                rows = [row.items for row in query.values_lists if isinstance(row, nodes.List)]
                rows += [[part.val for part in query.target_list if isinstance(part, nodes.ResTarget) and part.val]]
                listed = targets or _all_columns(one, tables)
                used = any(_gives(listed, row, columns, value) for row in rows)
            case _:
                used = False
        if used:
            return True
    return False


def _columns(tree: AstNode, kind: Name | None, tables: Tables) -> Iterator[str]:
    """Yield the columns of a type in the tables that a statement names or makes; of those that are unknown, each."""
    for relation in parse_tree.walk(tree, nodes.RangeVar):
        table = tables.find(parse_tree.name(relation))
        if kind is None and table is not None and not table.is_known:
            yield from (one.name for one in parse_tree.walk(tree, nodes.ResTarget))
            yield from (one.name for one in parse_tree.walk(tree, nodes.AlterTableCmd))
            yield from (
                parse_tree.words(one.fields)[-1] for one in parse_tree.walk(tree, nodes.ColumnRef) if _is_named(one)
            )
        for one in table.columns.values() if table is not None else ():
            if (one.type.schema or "public", one.type.name) == kind:
                yield one.name
    for column in parse_tree.walk(tree, nodes.ColumnDef):
        if _is_of(column.type_name, kind):
            yield column.colname


def _all_columns(node: nodes.InsertStmt, tables: Tables) -> Sequence[str]:
    table = tables.find(parse_tree.name(node.relation)) if node.relation is not None else None
    return tuple(table.columns) if table is not None else ()


def _gives(targets: Sequence[AstNode | str], values: Sequence[AstNode], columns: set[str], value: str) -> bool:
    """Return whether a row has the value at the place of one of these columns."""
    names = [one.name if isinstance(one, nodes.ResTarget) else one for one in targets]
    return any(name in columns and _has(given, value) for name, given in zip(names, values, strict=False))


def _is_named(node: nodes.ColumnRef) -> bool:
    return bool(parse_tree.words(node.fields))


def _is_of(name: nodes.TypeName | None, kind: Name | None) -> bool:
    found = parse_tree.read_type(name)
    return (found.schema or "public", found.name) == kind


def _is_column(node: AstNode | None, columns: set[str]) -> bool:
    return isinstance(node, nodes.ColumnRef) and not columns.isdisjoint(parse_tree.words(node.fields)[-1:])


def _has(node: AstNode | None, value: str) -> bool:
    """Return whether an expression may be a constant text: itself, or one of a list, a CASE or a COALESCE."""
    match node:
        case nodes.A_Const(val=nodes.String(sval=text)):
            return bool(text == value)
        case nodes.List(items=items) | nodes.A_ArrayExpr(elements=items) | nodes.CoalesceExpr(args=items):
            return any(_has(one, value) for one in items)
        case nodes.CaseExpr(args=whens, defresult=otherwise):
            results = (one.result for one in whens if isinstance(one, nodes.CaseWhen))
            return any(_has(one, value) for one in (*results, otherwise))
        case nodes.TypeCast(arg=inner, type_name=name) if not parse_tree.read_type(name).schema:
            return _has(inner, value)
    return False


def _instead(statement: Statement, revision: Revision) -> tuple[str, ...]:
    """Return two revisions where the texts of the whole are known."""
    outer = [one for one in revision.statements if not one.in_block]
    if revision.rendered.unrendered or statement.in_block or not revision.rendered.transactional:
        return ()
    earlier = [instead.executed(one.text) for one in outer if one.place < statement.place]
    later = [instead.executed(one.text) for one in outer if one.place >= statement.place]
    return "\n".join(earlier), "\n".join(later)


RULE = Rule(
    id="enum-value-used",
    levels="An error.",
    find=find,
    bad=(
        "op.execute(\"alter type mood add value 'worn'\")\nop.execute(\"update items set mood = 'worn' where id = 1\")",
        "op.execute(\"ALTER TYPE public.mood ADD VALUE IF NOT EXISTS 'worn' AFTER 'old'\")\n"
        'op.alter_column("items", "mood", server_default="worn")',
        "op.execute(\"alter type mood add value 'worn'\")\nop.execute(\"select 'worn'::mood\")",
        "op.execute(\"alter type mood add value 'worn'\")\n"
        "op.execute(\"insert into visits (visit_id, mood) values (-1, 'new'), (-2, 'worn')\")",
        "op.execute(\"alter type colour add value 'blue'\")\n"
        'op.add_column("items", sa.Column("c", sa.Enum(name="colour"), server_default="blue"))',
        "op.execute(\"alter type mood add value 'worn'\")\n"
        "op.execute(\"select visit_id from visits where mood in ('old', 'worn') limit 1\")",
        "op.execute(\"alter type mood add value 'worn'\")\n"
        'op.create_check_constraint("c", "visits", "mood <> \'worn\'", postgresql_not_valid=True)',
        "op.execute(\"alter type mood add value 'worn'\")\nop.execute(\"create table t (m mood default 'worn')\")",
        "op.execute(\"do $$ begin alter type mood add value 'worn'; perform 'worn'::mood; end $$\")",
        "op.execute(\"create type size_of as enum ('s')\")\nop.execute(\"alter type size_of add value 'm'\")\n"
        "op.execute(\"create table t (m size_of default 'm')\")",
    ),
    safe=(
        "op.execute(\"alter type mood add value 'worn' after 'old'\")\n---\n"
        "op.execute(\"update items set mood = 'worn' where id = 1\")",
        "op.execute(\"create type size_of as enum ('s', 'm')\")\n"
        "op.execute(\"create table t (m size_of default 'm')\")",
        "op.execute(\"alter type mood add value 'worn' after 'old'\")\n"
        "op.execute(\"update items set note = 'worn', mood = 'old' where id = 1\")\n"
        "op.execute(\"select 'worn', 'worn'::text from visits where visit_id = 1 and mood::text = 'worn'\")",
        "op.execute(\"alter type mood add value if not exists 'old' after 'new'\")\n"
        "op.execute(\"update items set mood = 'old' where id = 1\")",
        "op.execute(\"alter type mood add value 'worn' after 'old'\")\n"
        "op.execute(\"create function worn() returns mood language plpgsql as $$ begin return 'worn'::mood; end $$\")",
    ),
)
