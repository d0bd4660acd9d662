"""Parse trees: what PostgreSQL's own grammar reads in a statement, and the names, types and parts in a tree.

The parser is that of PostgreSQL 18, through libpg_query. `runner.postgres.sql` reads the statements of a run, without
this extra and in microseconds; a lint has the time to read them whole.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

import postgast
from google.protobuf.message import DecodeError
from postgast import nodes
from postgast import pg_query_pb2 as pb
from postgast.nodes import AstNode

from runner.lint.parsing import nesting
from runner.postgres.search_path import PROJECT
from runner.postgres.sql import Name

T = TypeVar("T", bound=AstNode)


@dataclass(frozen=True)
class Type:
    """A type, by the name that the grammar gives it, such as `int4` for `integer`."""

    name: str
    modifiers: tuple[int, ...] = ()
    """The numbers in parentheses, such as 10 and 2 of `numeric(10,2)`."""
    schema: str = ""
    """Empty for the types of PostgreSQL, and where the name is unqualified."""
    is_array: bool = False

    def __str__(self) -> str:
        name = f"{self.schema}.{self.name}" if self.schema else SQL_NAMES.get(self.name, self.name)
        size = f"({','.join(map(str, self.modifiers))})" if self.modifiers else ""
        return f"{name}{size}{'[]' if self.is_array else ''}"


SQL_NAMES = {
    "bool": "boolean", "bpchar": "char", "float4": "real", "float8": "double precision", "int2": "smallint",
    "int4": "integer", "int8": "bigint",
}  # fmt: skip
"""The names by which people know types."""


class TooDeep(ValueError):
    """A statement is right, and is nested deeper than can be read: a tree has at most 100 levels in Python."""


def parse(text: str) -> tuple[AstNode, ...]:
    """Return the trees of the statements in a text.

    Raises `postgast.PgQueryError` for what is not PostgreSQL 18's, `ValueError` for a text that cannot be sent, and
    `TooDeep`.
    """
    if "\0" in text:
        # libpg_query would read up to it
        raise ValueError(text)
    if nesting.is_too_deep(text):
        raise TooDeep
    try:
        found = nodes.wrap(postgast.parse(text))
    except DecodeError as error:
        raise TooDeep from error
    assert isinstance(found, nodes.ParseResult)  # noqa: S101 - `wrap` has one type for all trees
    return tuple(one.stmt for one in found.stmts if one.stmt is not None)


def walk(tree: AstNode, *kinds: type[T]) -> Iterator[T]:
    """Yield the nodes of these kinds in a tree, itself included, in the order of the text."""
    wanted = None if AstNode in kinds else {one.__name__ for one in kinds}
    for message in _messages(tree._pb, constants=not CONSTANTS.isdisjoint(kinds)):
        is_wanted = wanted is None or message.DESCRIPTOR.name in wanted
        if is_wanted and isinstance(found := nodes.wrap(message), kinds):
            yield found


CONSTANTS: frozenset[type[AstNode]] = frozenset({nodes.A_Const, nodes.Integer, nodes.String})
"""The kinds that are constants or parts of them: an INSERT may have a million, which other searches leave out."""


def _messages(message: Any, *, constants: bool) -> Iterator[Any]:
    """Yield the messages of a tree."""
    yield message
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for one in value if field.is_repeated else (value,):
            which = _node(one)
            if constants or which != "a_const":
                yield from _messages(getattr(one, which) if which else one, constants=constants)


def _node(message: Any) -> str | None:
    """Return the name of what the grammar's `Node` holds, None for any other message."""
    return message.WhichOneof("node") if message.DESCRIPTOR.name == "Node" else None


def name(relation: nodes.RangeVar) -> Name:
    """Return the schema, `public` where the text has none, and the name of a relation."""
    return relation.schemaname or PROJECT, relation.relname


def parts_name(parts: Iterable[AstNode]) -> Name:
    """Return the schema and the name that a list of strings or a list within it spells."""
    texts = words(parts)
    return (texts[-2] if len(texts) > 1 else PROJECT), texts[-1]


def words(parts: Iterable[AstNode]) -> list[str]:
    """Return the texts of a list of strings."""
    flat = (inner for one in parts for inner in (one.items if isinstance(one, nodes.List) else (one,)))
    return [one.sval for one in flat if isinstance(one, nodes.String)]


def dropped(node: nodes.DropStmt) -> list[Name]:
    """Return the names in a DROP, each with its schema; those of the tables for what belongs to a table."""
    found = []
    belongs = node.remove_type in (pb.OBJECT_POLICY, pb.OBJECT_RULE, pb.OBJECT_TRIGGER)
    for one in node.objects:
        match one:
            # a cast has types instead of a name
            case nodes.List(items=items) if words(items):
                found.append(parts_name(items[:-1] if belongs else items))
            case nodes.TypeName(names=names):
                found.append(parts_name(names))
            case nodes.ObjectWithArgs(objname=objname):
                found.append(parts_name(objname))
            case nodes.String(sval=sval):
                found.append((PROJECT, sval))
    return found


def read_type(found: nodes.TypeName | None) -> Type:
    """Return a type as the rules compare it."""
    if found is None:
        return Type("")
    texts = words(found.names)
    schema = texts[-2] if len(texts) > 1 and texts[-2] != "pg_catalog" else ""
    sizes = tuple(value for one in found.typmods if (value := integer(one)) is not None)
    return Type(texts[-1], sizes, schema, is_array=bool(found.array_bounds))


@lru_cache(maxsize=1024)
def type_of(text: str) -> Type:
    """Return the type that a text of PostgreSQL's catalog names, such as `character varying(500)`."""
    for plain in (text, text.partition(" collate ")[0].partition(" generated ")[0]):
        try:
            (tree,) = parse(f"select null::{plain}")
        except (postgast.PgQueryError, ValueError):
            continue
        return read_type(next(walk(tree, nodes.TypeCast)).type_name)
    return Type(text)


@lru_cache(maxsize=1024)
def definition(text: str) -> nodes.Constraint | None:
    """Return the constraint that PostgreSQL's text defines, such as `CHECK ((price > 0)) NOT VALID`; None if unread."""
    try:
        (tree,) = parse(f"alter table t add constraint c {text}")
    except (postgast.PgQueryError, ValueError):
        return None
    return next(walk(tree, nodes.Constraint), None)


@lru_cache(maxsize=1024)
def index_definition(text: str) -> nodes.IndexStmt | None:
    """Return the index that PostgreSQL's text defines; None if it is unread."""
    try:
        (tree,) = parse(text)
    except (postgast.PgQueryError, ValueError):
        return None
    return tree if isinstance(tree, nodes.IndexStmt) else None


@lru_cache(maxsize=1024)
def queried(text: str) -> tuple[Name, ...]:
    """Return the relations that PostgreSQL's text of a query names with a schema; none if it is unread."""
    try:
        trees = parse(text)
    except (postgast.PgQueryError, ValueError):
        return ()
    return tuple(dict.fromkeys(name(one) for tree in trees for one in walk(tree, nodes.RangeVar) if one.schemaname))


def integer(node: AstNode | None) -> int | None:
    """Return the number of a constant, None for anything else."""
    match node:
        case nodes.A_Const(val=nodes.Integer(ival=value)):
            return int(value)
    return None


def string(node: AstNode | None) -> str | None:
    """Return the text of a constant, also of one with a cast; None for anything else."""
    match node:
        case nodes.A_Const(val=nodes.String(sval=value)):
            return str(value)
        case nodes.TypeCast(arg=inner):
            return string(inner)
    return None


def commands(node: AstNode | None, *subtypes: int) -> Iterator[nodes.AlterTableCmd]:
    """Yield the actions of an ALTER TABLE that are of these subtypes, all of them where none is given."""
    if isinstance(node, nodes.AlterTableStmt):
        for command in node.cmds:
            if isinstance(command, nodes.AlterTableCmd) and (not subtypes or command.subtype in subtypes):
                yield command


def option(node: Sequence[AstNode], wanted: str) -> nodes.DefElem | None:
    """Return the option of a name in a list of options."""
    return next((one for one in node if isinstance(one, nodes.DefElem) and one.defname == wanted), None)


def is_on(options: Sequence[AstNode], wanted: str) -> bool:
    """Return whether an option is given, without a value or with one that turns it on."""
    found = option(options, wanted)
    if found is None:
        return False
    match found.arg:
        case nodes.String(sval=value):
            return value.lower() not in ("off", "false", "0")
        case nodes.Integer(ival=value):
            return bool(value)
        case nodes.Boolean(boolval=value):
            return bool(value)
    return True


def expression_text(node: AstNode) -> str:
    """Return an expression as SQL."""
    query = pb.SelectStmt(limit_option=pb.LIMIT_OPTION_DEFAULT, op=pb.SETOP_NONE)
    target = query.target_list.add().res_target.val
    getattr(target, _field(target, node)).CopyFrom(node._pb)
    tree = pb.ParseResult()
    tree.stmts.add().stmt.select_stmt.CopyFrom(query)
    return postgast.deparse(tree).removeprefix("SELECT ")


def identifier(*parts: str) -> str:
    """Return a name of these parts, quoted where SQL demands it."""
    column = pb.ColumnRef()
    for part in parts:
        column.fields.add().string.sval = part
    return expression_text(nodes.ColumnRef(column))


def of_column(check: nodes.Constraint, column: str) -> nodes.Constraint:
    """Return the CHECK of a domain as one of a column, which stands for VALUE."""
    copied = pb.Constraint()
    copied.CopyFrom(check._pb)
    found = nodes.Constraint(copied)
    for one in walk(found, nodes.ColumnRef):
        if words(one.fields) == ["value"]:
            one._pb.fields[0].string.sval = column
    return found


def statement_text(node: AstNode, edit: Callable[[Any], object] | None = None, **changes: object) -> str:
    """Return a statement as SQL, with fields of its tree changed, such as `concurrent=True`, or edited."""
    tree = pb.ParseResult()
    wrapper = tree.stmts.add().stmt
    copied = getattr(wrapper, _field(wrapper, node))
    copied.CopyFrom(node._pb)
    for field, value in changes.items():
        setattr(copied, field, value)
    if edit is not None:
        edit(copied)
    return postgast.deparse(tree)


def _field(wrapper: Any, node: AstNode) -> str:
    """Return the field of the grammar's `Node` that holds trees of this kind."""
    kind = type(node._pb).DESCRIPTOR.name
    return str(next(one.name for one in wrapper.DESCRIPTOR.fields if one.message_type.name == kind))


def message(node: AstNode) -> Any:
    """Return the message below a tree, to copy it and change the copy."""
    return node._pb
