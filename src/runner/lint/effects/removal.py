"""The objects that a statement removes from their names, and whether an application misses them."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from postgast import nodes
from postgast import pg_query_pb2 as pb
from postgast.nodes import AstNode

from runner.lint.parsing import parse_tree
from runner.lint.parsing.parse_tree import Type
from runner.lint.state.database import Database
from runner.lint.state.statement import Revision, Statement
from runner.lint.state.tables import TEMPORARY, Table
from runner.postgres.search_path import PROJECT
from runner.postgres.sql import Name

KINDS = {
    pb.OBJECT_AGGREGATE: "aggregate", pb.OBJECT_CAST: "cast", pb.OBJECT_COLLATION: "collation",
    pb.OBJECT_DATABASE: "database", pb.OBJECT_DOMAIN: "domain", pb.OBJECT_EXTENSION: "extension",
    pb.OBJECT_FOREIGN_TABLE: "foreign table", pb.OBJECT_FUNCTION: "function", pb.OBJECT_MATVIEW: "materialized view",
    pb.OBJECT_OPERATOR: "operator", pb.OBJECT_PROCEDURE: "procedure", pb.OBJECT_PUBLICATION: "publication",
    pb.OBJECT_ROLE: "role", pb.OBJECT_ROUTINE: "routine", pb.OBJECT_SCHEMA: "schema", pb.OBJECT_SEQUENCE: "sequence",
    pb.OBJECT_TABLE: "table", pb.OBJECT_TSCONFIGURATION: "text search configuration", pb.OBJECT_TYPE: "type",
    pb.OBJECT_VIEW: "view",
}  # fmt: skip
"""The kinds of objects that others look up by their names: not indexes, triggers, rules and policies."""
ROUTINES = frozenset({"aggregate", "function", "procedure", "routine"})
# who reads a view does not see whether it is one, nor of a type whether it is a domain
ALIKE = {
    "domain": "type", "foreign table": "relation", "materialized view": "relation", "table": "relation",
    "view": "relation",
}  # fmt: skip
UNREAD = frozenset({
    "cast", "collation", "database", "foreign table", "operator", "role", "text search configuration",
})  # fmt: skip
"""The kinds that the catalog does not read: what the plan does not make counts as there."""
LEDGER = "runner"
"""The schema of the ledger."""
OWN = "is the runner's own: without it, no run knows what is applied."
USERS = "the version of the application that still runs, or to which a deployment returns"
RETURNS_ONLY = frozenset({pb.FUNC_PARAM_OUT, pb.FUNC_PARAM_TABLE})


@dataclass(frozen=True)
class Thing:
    """An object under a name."""

    kind: str
    name: Name
    arguments: tuple[Type, ...] | None = None
    """The types of a routine's arguments, None where the statement has none."""
    optional: int = 0
    """How many of these have a default, from the last one on."""

    def is_named_like(self, other: "Thing") -> bool:
        """Return whether both are of a kind and have the same name."""
        kinds = {ALIKE.get(self.kind, self.kind), ALIKE.get(other.kind, other.kind)}
        return self.name == other.name and (len(kinds) == 1 or ("routine" in kinds and kinds <= ROUTINES))

    def replaces(self, old: "Thing") -> bool:
        """Return whether who uses the other finds this one instead."""
        if not self.is_named_like(old):
            return False
        if old.arguments is None or self.arguments is None:
            return old.arguments == self.arguments
        further = len(self.arguments) - len(old.arguments)
        return 0 <= further <= self.optional and self.arguments[: len(old.arguments)] == old.arguments


def missed(revision: Revision, *verbs: type[AstNode]) -> Iterator[tuple[Statement, Thing]]:
    """Yield what statements of these classes remove from a name that an application uses, each with its statement.

    Nobody misses what the database does not have, nor what the same transaction makes again. A downgrade removes what
    its upgrade made.
    """
    if revision.rendered.direction == "downgrade":
        return
    for statement in revision.statements:
        if isinstance(statement.node, verbs):
            for one in removed(statement.node):
                old = complete(one, revision.database)
                # no query calls the function of a trigger
                if old.kind in ROUTINES and old.name in revision.database.of_triggers:
                    continue
                if is_there(old, revision, statement) and not is_made_again(old, revision, statement):
                    yield statement, old


def is_there(one: Thing, revision: Revision, statement: Statement) -> bool:
    """Return whether the database has an object, so that an application may use it."""
    database = revision.database
    # the catalog says nothing of schema `public`
    if is_own(one, database) or (one.kind == "schema" and one.name[1] == PROJECT):
        return True
    if not database.is_complete or one.kind in UNREAD:
        return _is_presupposed(one, revision, statement)
    if one.kind in ROUTINES:
        return one.arguments in arguments(database.routines.get(one.name, ()))
    return one.name in database.known


def _is_presupposed(one: Thing, revision: Revision, statement: Statement) -> bool:
    """Return whether the first statement of the plan about an object of which nothing is known does not make it."""
    for other in preceding(revision, statement):
        if any(_is_about(one, old) for old in removed(other.node)):
            return True
        new = _made(other.node)
        if new is not None and _is_about(one, new) and not _may_find(other.node):
            return False
    return True


def _is_about(one: Thing, other: Thing) -> bool:
    is_open = one.arguments is None or other.arguments is None
    return one.is_named_like(other) and (is_open or other.replaces(one))


def _may_find(node: AstNode | None) -> bool:
    """Return whether a statement that makes an object accepts one that is there."""
    return bool(getattr(node, "replace", False) or getattr(node, "if_not_exists", False))


def is_own(one: Thing, database: Database) -> bool:
    """Return whether an object is the runner's, which the catalog leaves out."""
    return LEDGER in (one.name[0], one.name[1] if one.kind == "schema" else "") or one.name in database.own


def is_made_again(old: Thing, revision: Revision, statement: Statement) -> bool:
    """Return whether a later statement of the same transaction makes an object that replaces the other."""
    # between two statements outside of a transaction, others see that the object is missing
    return statement.in_transaction and any(made(one.node, old) for one in following(revision, statement))


def following(revision: Revision, statement: Statement) -> tuple[Statement, ...]:
    """Return the statements of a revision after this one."""
    return revision.statements[len([*revision.preceding(statement)]) + 1 :]


def preceding(revision: Revision, statement: Statement) -> Iterator[Statement]:
    """Yield the statements of the plan before this one."""
    for one in revision.earlier:
        yield from one.statements
    yield from revision.preceding(statement)


def origin(one: Thing, revision: Revision, statement: Statement) -> Thing | None:
    """Return an object under the name that it has in the database, None for one that the plan makes."""
    for other in reversed([*preceding(revision, statement)]):
        found = _made(other.node)
        if found is not None and found.is_named_like(one):
            if not isinstance(other.node, (nodes.RenameStmt, nodes.AlterObjectSchemaStmt)):
                is_replaced = isinstance(other.node, nodes.CreateFunctionStmt) and other.node.replace
                return one if is_replaced and is_there(one, revision, statement) else None
            old = removed(other.node)[0]
            one = Thing(one.kind, old.name, one.arguments)
    one = complete(one, revision.database)
    return one if is_there(one, revision, statement) else None


def removed(node: AstNode | None) -> tuple[Thing, ...]:
    """Return the objects that are no longer found under their names after a DROP, a RENAME or a SET SCHEMA."""
    match node:
        case nodes.DropStmt(remove_type=kind, objects=objects) if kind in KINDS:
            return tuple(_thing(KINDS[kind], one) for one in objects)
        case nodes.DropdbStmt(dbname=name):
            return (Thing("database", (PROJECT, name)),)
        case nodes.RenameStmt(rename_type=kind) if kind in KINDS:
            return (_thing(KINDS[kind], node.relation or node.object or nodes.String(pb.String(sval=node.subname))),)
        case nodes.AlterObjectSchemaStmt(object_type=kind) if kind in KINDS:
            return tuple(_thing(KINDS[kind], one) for one in (node.relation or node.object,) if one is not None)
    return ()


def named(kind: str, objects: Iterable[AstNode]) -> tuple[Thing, ...]:
    """Return the objects of a kind that a statement names."""
    return tuple(_thing(kind, one) for one in objects)


def _thing(kind: str, node: AstNode) -> Thing:
    match node:
        case nodes.RangeVar():
            return Thing(kind, parse_tree.name(node))
        case nodes.List(items=items) if kind == "cast":
            types = tuple(parse_tree.read_type(one) for one in items if isinstance(one, nodes.TypeName))
            return Thing(kind, (PROJECT, " AS ".join(map(str, types))))
        case nodes.List(items=items):
            return Thing(kind, parse_tree.parts_name(items))
        case nodes.TypeName(names=names):
            return Thing(kind, parse_tree.parts_name(names))
        case nodes.ObjectWithArgs(objname=names, objargs=types, args_unspecified=is_open):
            return Thing(kind, parse_tree.parts_name(names), None if is_open else tuple(map(_type, types)))
        case nodes.String(sval=text):
            return Thing(kind, (PROJECT, text))
    return Thing(kind, (PROJECT, ""))


def _type(node: AstNode | None) -> Type:
    """Return the type of an argument, which has no sizes."""
    found = parse_tree.read_type(node if isinstance(node, nodes.TypeName) else None)
    return Type(found.name, schema="" if found.schema == PROJECT else found.schema, is_array=found.is_array)


def complete(one: Thing, database: Database) -> Thing:
    """Return a routine that a statement names without its arguments with those that the database has."""
    found = arguments(database.routines.get(one.name, ()))
    is_open = one.kind in ROUTINES and one.arguments is None and len(found) == 1
    return Thing(one.kind, one.name, found[0]) if is_open else one


@lru_cache(maxsize=256)
def arguments(signatures: tuple[str, ...]) -> tuple[tuple[Type, ...] | None, ...]:
    """Return the types of the arguments of functions as the catalog names them, such as `public.rank_of(bigint)`."""
    return tuple(removed(parse_tree.parse(f"drop function {one}")[0])[0].arguments for one in signatures)


def grants(one: Thing, database: Database) -> Mapping[str, str] | None:
    """Return the privileges of each role but the owner on a routine, a schema or a sequence; None if not known."""
    if not database.is_complete or one.kind not in ROUTINES | {"schema", "sequence"} or is_own(one, database):
        return None
    if one.kind not in ROUTINES:
        return database.grants.get(f"{one.kind}s", {}).get(one.name, {})
    texts = database.routines.get(one.name, ())
    found = dict(zip(arguments(texts), texts, strict=True)).get(one.arguments)
    return None if found is None else database.routine_grants.get(found, {})


def made(node: AstNode | None, old: Thing) -> bool:
    """Return whether a statement makes an object that replaces the other."""
    found = _made(node)
    return found is not None and found.replaces(old)


def _made(node: AstNode | None) -> Thing | None:  # noqa: C901 - a case for each statement
    """Return the object that is found under its name after a statement, None where there is none."""
    match node:
        case nodes.RenameStmt() | nodes.AlterObjectSchemaStmt():
            return next((_moved(one, node) for one in removed(node)), None)
        case nodes.CreateStmt(relation=nodes.RangeVar() as relation):
            return _thing("table", relation)
        case nodes.CreateForeignTableStmt(base_stmt=nodes.CreateStmt(relation=nodes.RangeVar() as relation)):
            return _thing("foreign table", relation)
        case nodes.CreateTableAsStmt(into=nodes.IntoClause(rel=nodes.RangeVar() as relation)):
            return _thing("table", relation)
        case nodes.ViewStmt(view=nodes.RangeVar() as relation):
            return _thing("view", relation)
        case nodes.CreateSeqStmt(sequence=nodes.RangeVar() as relation):
            return _thing("sequence", relation)
        case nodes.CompositeTypeStmt(typevar=nodes.RangeVar() as relation):
            return _thing("type", relation)
        case nodes.CreateEnumStmt(type_name=names) | nodes.CreateRangeStmt(type_name=names):
            return Thing("type", parse_tree.parts_name(names))
        case nodes.CreateDomainStmt(domainname=names):
            return Thing("domain", parse_tree.parts_name(names))
        case nodes.DefineStmt(kind=kind, defnames=names, args=args) if kind in KINDS:
            name, parameters = parse_tree.parts_name(names), [one for one in args if isinstance(one, nodes.List)]
            is_called = kind == pb.OBJECT_AGGREGATE
            return (
                _routine("aggregate", name, parameters[0].items if parameters else ())
                if is_called
                else Thing(KINDS[kind], name)
            )
        case nodes.CreateFunctionStmt(funcname=names, parameters=parameters, is_procedure=is_procedure):
            return _routine("procedure" if is_procedure else "function", parse_tree.parts_name(names), parameters)
        case nodes.CreateExtensionStmt(extname=name):
            return Thing("extension", (PROJECT, name))
        case nodes.CreateSchemaStmt(schemaname=name):
            return Thing("schema", (PROJECT, name))
    return None


def _moved(one: Thing, node: nodes.RenameStmt | nodes.AlterObjectSchemaStmt) -> Thing:
    schema, name = one.name
    match node:
        case nodes.RenameStmt(newname=new):
            return Thing(one.kind, (schema, new), one.arguments)
        case nodes.AlterObjectSchemaStmt(newschema=new):
            return Thing(one.kind, (new, name), one.arguments)


def _routine(kind: str, name: Name, parameters: Iterable[AstNode]) -> Thing:
    # those by which it is called, not those that only return something
    called = [one for one in parameters if isinstance(one, nodes.FunctionParameter) and one.mode not in RETURNS_ONLY]
    optional = sum(one.defexpr is not None for one in called)
    return Thing(kind, name, tuple(_type(one.arg_type) for one in called), optional)


def dropped(revision: Revision, *kinds: str) -> Iterator[tuple[Statement, Thing]]:
    """Yield the objects of these kinds that are dropped and that an application misses."""
    found = missed(revision, nodes.DropStmt, nodes.DropdbStmt)
    return ((statement, one) for statement, one in found if one.kind in kinds)


def may_have_index(name: Name, revision: Revision, statement: Statement) -> bool:
    """Return whether nothing is known of an index, which the plan did not make: its table may be any."""
    is_known = revision.database.is_complete or name[0] == TEMPORARY
    return not is_known and statement.before.with_index(name) is None


def relation(statement: Statement, one: Thing) -> Table | None:
    """Return the table or view under the name of an object, None where the object is of another kind."""
    return statement.before.find(one.name) if ALIKE.get(one.kind) == "relation" else None


def users_table(statement: Statement, name: Name) -> Table | None:
    """Return the table or view of that name if the database has it, under whatever name."""
    table = statement.before.find(name)
    return table if table is not None and table.origin is not None else None
