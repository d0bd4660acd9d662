"""New columns that neither read nor rewrite their table: the revisions that add them step by step."""

from collections.abc import Container, Iterator

from postgast import nodes
from postgast import pg_query_pb2 as pb
from postgast.nodes import AstNode

from runner.lint.effects import volatility
from runner.lint.parsing import parse_tree
from runner.lint.parsing.parse_tree import Type
from runner.lint.remedies import foreign_keys, instead, made_again, made_safe
from runner.lint.state import added, course
from runner.lint.state.chosen_names import shortened
from runner.lint.state.statement import Revision, Statement
from runner.lint.state.tables import Constraint, Table
from runner.postgres.sql import Name

LATER = frozenset({
    pb.CONSTR_CHECK, pb.CONSTR_FOREIGN, pb.CONSTR_PRIMARY, pb.CONSTR_UNIQUE, *added.ATTRIBUTES,
})  # fmt: skip
"""What is added to the column when it is there."""


def safely(node: nodes.ColumnDef, revision: Revision, statement: Statement) -> tuple[str, ...]:
    """Return the revisions that add a column without reading or rewriting the table; none where no calls do that.

    They do not for a generated column, a serial one, and one that is unique and has a default.

    A default with another value in each row is set afterwards, for new rows only. A primary key, and NOT NULL where
    rows have no value yet, come when the column is filled, which is left to the reader.
    """
    table = statement.table
    assert table is not None  # noqa: S101 - of a column that is added
    kinds = {one.contype for one in _parts(node)}
    is_serial = parse_tree.read_type(node.type_name).name in added.SERIAL
    if is_serial or pb.CONSTR_GENERATED in kinds or {pb.CONSTR_UNIQUE, pb.CONSTR_DEFAULT} <= kinds:
        return ()
    fills = volatility.cause(node, revision, statement) is not None
    made = course.with_column(table, node)
    constraints = list(added.of_column(node, made))
    default = next((one for one in _parts(node) if one.contype == pb.CONSTR_DEFAULT), None)
    dropping = made_again.dropping_column(node.colname, table, revision, statement)
    functions = _functions(default, revision, statement)
    first = [*dropping, *functions, *_alone(node, table, default, fills=fills)]
    later: list[str] = []
    for one in constraints:
        if one.kind == "check":
            adds, validates = made_safe.check(one, made)
            first.append(adds)
            later.append(validates)
        elif one.kind == "foreign key":
            later += foreign_keys.safely(one, made, revision, statement)
        elif one.kind == "unique":
            later += made_safe.key(one, made, statement.before)
    return "\n".join(first), *later


def with_foreign_key(one: Constraint, revision: Revision, statement: Statement) -> tuple[str, ...]:
    """Return the revisions that add a foreign key, after its columns where the same revision adds them."""
    table = statement.table
    assert table is not None  # noqa: S101 - of a constraint that is added
    column = next((column for column in statement.columns() if column.colname == one.column), None)
    if column is not None:
        return safely(column, revision, statement)
    columns = before(revision, statement, one.columns)
    steps = foreign_keys.safely(one, table, revision, statement)
    return ("\n".join(columns), *steps) if columns and steps else steps


def _alone(node: nodes.ColumnDef, table: Table, default: nodes.Constraint | None, *, fills: bool) -> list[str]:
    """Return the calls that add a column without its constraints."""
    kept = default is not None and not fills
    dropped = LATER if kept else LATER | {pb.CONSTR_NOTNULL, pb.CONSTR_DEFAULT}
    calls = [made_safe.alter(table.name, _adding(node, dropped | ({pb.CONSTR_IDENTITY} if fills else set())))]
    if fills and default is not None:
        calls.append(made_safe.alter(table.name, _setting_default(node.colname, parse_tree.message(default).raw_expr)))
    if fills and any(one.contype == pb.CONSTR_IDENTITY for one in _parts(node)):
        calls += numbering(node.colname, parse_tree.read_type(node.type_name), table.name)
    return calls


def without_not_null(node: nodes.ColumnDef, table: Table) -> str:
    """Return the call that adds a column with all but its NOT NULL."""
    return made_safe.alter(table.name, _adding(node, frozenset({pb.CONSTR_NOTNULL})))


def before(revision: Revision, statement: Statement, names: Container[str]) -> list[str]:
    """Return the calls that add these columns, where earlier statements of the same revision do."""
    table = statement.table
    # most statements are about columns that the database has, and a revision may have hundreds of statements
    if table is None or not any(one.is_made and name in names for name, one in table.columns.items()):
        return []
    return [
        made_safe.alter(table.name, _adding(node, frozenset()))
        for one in revision.preceding(statement)
        if one.table is not None and one.table.origin == table.origin
        for node in one.columns()
        if node.colname in names
    ]


def _functions(default: nodes.Constraint | None, revision: Revision, statement: Statement) -> Iterator[str]:
    """Yield the calls that make the functions of a default, where earlier statements of the same revision do."""
    calls = parse_tree.walk(default, nodes.FuncCall) if default is not None else ()
    called = {parse_tree.parts_name(one.funcname) for one in calls}
    made = [one for one in statement.defined if _function(one) in called]
    if called and made:
        beside = {id(one.node) for one in revision.preceding(statement)}
        yield from (instead.executed(parse_tree.statement_text(one)) for one in made if id(one) in beside)


def _function(node: AstNode) -> Name | None:
    """Return the name of the function that a statement makes or alters, None for any other."""
    match node:
        case nodes.CreateFunctionStmt(funcname=names):
            return parse_tree.parts_name(names)
        case nodes.AlterFunctionStmt(func=nodes.ObjectWithArgs(objname=names)):
            return parse_tree.parts_name(names)
    return None


def of_type(name: str, definition: nodes.ColumnDef, table: Name) -> str:
    """Return the call that adds a column with the type of another definition, and nothing else."""
    command = pb.AlterTableCmd(subtype=pb.AT_AddColumn, behavior=pb.DROP_RESTRICT)
    column = command.__getattribute__("def").column_def
    column.colname, column.is_local = name, True
    column.type_name.CopyFrom(parse_tree.message(definition).type_name)
    return made_safe.alter(table, command)


def _parts(node: nodes.ColumnDef) -> Iterator[nodes.Constraint]:
    return (one for one in node.constraints if isinstance(one, nodes.Constraint))


def _adding(node: nodes.ColumnDef, dropped: frozenset[int]) -> pb.AlterTableCmd:
    command = pb.AlterTableCmd(subtype=pb.AT_AddColumn, behavior=pb.DROP_RESTRICT)
    definition = command.__getattribute__("def").column_def
    definition.CopyFrom(parse_tree.message(node))
    del definition.constraints[:]
    for one in _parts(node):
        if one.contype not in dropped:
            definition.constraints.add().constraint.CopyFrom(parse_tree.message(one))
    return command


def _setting_default(column: str, default: pb.Node) -> pb.AlterTableCmd:
    command = pb.AlterTableCmd(subtype=pb.AT_ColumnDefault, name=column, behavior=pb.DROP_RESTRICT)
    command.__getattribute__("def").CopyFrom(default)
    return command


def numbering(column: str, kind: Type, table: Name) -> Iterator[str]:
    """Yield the calls that number new rows as serial or an identity does; an identity has to be NOT NULL."""
    sequence = parse_tree.identifier(table[0], shortened(table[1], column, "seq"))
    owner = parse_tree.identifier(*table, column)
    yield instead.executed(f"CREATE SEQUENCE {sequence} AS {kind} OWNED BY {owner}")
    literal = sequence.replace("'", "''")
    (tree,) = parse_tree.parse(f"select nextval('{literal}')")
    default = parse_tree.message(next(parse_tree.walk(tree, nodes.ResTarget))).val
    yield made_safe.alter(table, _setting_default(column, default))
