"""The objects that a statement drops with CASCADE, and what goes with them when it is that statement's turn."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from postgast import nodes
from postgast import pg_query_pb2 as pb
from postgast.nodes import AstNode

from runner.lint.effects import removal
from runner.lint.effects.removal import Thing
from runner.lint.parsing import parse_tree
from runner.lint.state import added, below
from runner.lint.state.database import Database
from runner.lint.state.dependent import Dependent, Root
from runner.lint.state.statement import Revision, Statement, shown
from runner.lint.state.tables import Table
from runner.postgres.sql import Name
from runner.project import quote

RELATIONS = frozenset({"foreign table", "materialized view", "sequence", "table", "view"})
READ_AS = {
    **dict.fromkeys(RELATIONS, "relation"), **dict.fromkeys(removal.ROUTINES, "routine"), "domain": "type",
    "extension": "extension", "schema": "schema", "type": "type",
}  # fmt: skip
"""How a reader of dependents finds an object of a kind."""
UNREAD = {
    pb.OBJECT_ACCESS_METHOD: "access method", pb.OBJECT_FDW: "foreign-data wrapper", pb.OBJECT_FOREIGN_SERVER: "server",
    pb.OBJECT_LANGUAGE: "language", pb.OBJECT_OPCLASS: "operator class", pb.OBJECT_OPFAMILY: "operator family",
    pb.OBJECT_TSDICTIONARY: "text search dictionary", pb.OBJECT_TSPARSER: "text search parser",
}  # fmt: skip
"""Further kinds on which others may depend, of which no reader finds what depends on them."""
PARTS = {pb.AT_DropColumn: "column", pb.AT_DropConstraint: "constraint"}


@dataclass(frozen=True)
class Cascade:
    """Objects of one kind that a statement drops with CASCADE."""

    kind: str
    """As messages say it."""
    names: tuple[str, ...]
    read_as: str
    """As a reader of dependents finds them; empty where it does not."""
    roots: tuple[Root, ...]
    table: Table | None = None


def cascades(revision: Revision, statement: Statement) -> Iterator[Cascade]:
    """Yield what a statement drops with CASCADE of what the database has; DROP OWNED names nothing in any case."""
    match statement.node:
        case nodes.DropStmt(behavior=pb.DROP_CASCADE, remove_type=kind) if kind in UNREAD:
            yield Cascade(UNREAD[kind], tuple(name for _, name in parse_tree.dropped(statement.node)), "", ())
        case nodes.DropStmt(behavior=pb.DROP_CASCADE, remove_type=pb.OBJECT_INDEX):
            tables, indexes = revision.database.tables, parse_tree.dropped(statement.node)
            names = [one for one in indexes if one in tables.owners or removal.may_have_index(one, revision, statement)]
            if names:
                roots = tuple(Root(".".join(map(quote, one))) for one in names)
                yield Cascade("index", tuple(map(shown, names)), "relation", roots)
        case nodes.DropStmt(behavior=pb.DROP_CASCADE):
            yield from _dropped(revision, statement)
        case nodes.DropOwnedStmt(roles=roles):
            found = [_role(one) for one in roles if isinstance(one, nodes.RoleSpec)]
            yield Cascade("role", tuple(name for name, _ in found), "role", tuple(root for _, root in found))
        case nodes.AlterTableStmt(relation=nodes.RangeVar() as relation):
            yield from _parts(revision, statement, relation)


def _role(one: nodes.RoleSpec) -> tuple[str, Root]:
    named = {pb.ROLESPEC_SESSION_USER: "session_user", pb.ROLESPEC_CSTRING: one.rolename}
    name = named.get(one.roletype, "current_user")
    return name, Root(quote(name) if one.roletype == pb.ROLESPEC_CSTRING else name)


def _dropped(revision: Revision, statement: Statement) -> Iterator[Cascade]:
    names: list[str] = []
    roots: list[Root] = []
    table = None
    things = removal.removed(statement.node)
    for one in things:
        table = statement.before.find(one.name) if one.kind in RELATIONS else None
        # its name in the database, where an earlier statement renamed it
        old = removal.origin(one, revision, statement) if table is None else None
        name = table.origin if table is not None else old.name if old is not None else None
        if name is not None:
            names.append(shown(one.name))
            roots += _roots(old or one, name, revision.database)
    if names:
        kind = things[0].kind
        yield Cascade(kind, tuple(names), READ_AS.get(kind, ""), tuple(roots), table if len(things) == 1 else None)


def _roots(one: Thing, origin: Name, database: Database) -> list[Root]:
    if one.kind in ("schema", "extension"):
        return [Root(quote(one.name[1]) if one.kind == "schema" else one.name[1])]
    if one.kind in removal.ROUTINES:
        signatures = database.routines.get(one.name, ())
        pairs = zip(signatures, removal.arguments(signatures), strict=True)
        return [Root(text) for text, arguments in pairs if one.arguments in (None, arguments)]
    return [Root(".".join(map(quote, origin)))]


def _parts(revision: Revision, statement: Statement, relation: nodes.RangeVar) -> Iterator[Cascade]:
    assert isinstance(statement.node, nodes.AlterTableStmt)  # noqa: S101 - as its caller has found
    name = parse_tree.name(relation)
    table = statement.before.find(name)
    is_type = statement.node.objtype == pb.OBJECT_TYPE and removal.is_there(Thing("type", name), revision, statement)
    for command in parse_tree.commands(statement.node, *PARTS):
        if command.behavior != pb.DROP_CASCADE:
            continue
        kind = PARTS[command.subtype]
        made = _made(table, kind, command.name) if table is not None else False
        origin = table.origin if table is not None else name if is_type else None
        if origin is not None and not made:
            old = _old_part(revision, statement, origin, command.name)
            root = Root(".".join(map(quote, origin)), old)
            is_own = kind == "column" and not relation.inh
            read_as = "own column" if is_own else kind
            yield Cascade(kind, (f"{shown(name)}.{command.name}",), read_as, (root,), table)


def _old_part(revision: Revision, statement: Statement, origin: Name, part: str) -> str:
    """Return the name that a column or constraint has in the database."""
    for other in reversed([*removal.preceding(revision, statement)]):
        match other.node:
            case nodes.RenameStmt(newname=new, subname=old, relation=nodes.RangeVar() as relation) if (
                new == part and old
            ):
                table = other.before.find(parse_tree.name(relation))
                part = old if table is not None and table.origin == origin else part
    return part


def _made(table: Table, kind: str, part: str) -> bool:
    """Return whether the plan added a column or constraint, or the table has none of that name."""
    found = (table.columns if kind == "column" else table.constraints).get(part)
    return table.is_known if found is None else found.is_made


def going(revision: Revision, statement: Statement, one: Cascade) -> tuple[Dependent, ...] | None:
    """Return what goes with it, without what an earlier statement has dropped; None where that is not known."""
    read = revision.database.dependents
    if read is None or not one.read_as:
        return None
    earlier = {found for others in _earlier(revision, statement) for found in read(others.read_as, others.roots)}
    found = (depends for depends in read(one.read_as, one.roots) if depends not in earlier)
    return tuple(depends for depends in found if not _is_gone(depends, revision, statement))


def _earlier(revision: Revision, statement: Statement) -> Iterator[Cascade]:
    """Yield what earlier statements of the plan drop with CASCADE."""
    for one in (*revision.earlier, revision):
        for other in one.statements:
            if other is statement:
                return
            yield from (found for found in cascades(one, other) if found.read_as)


def _is_gone(one: Dependent, revision: Revision, statement: Statement) -> bool:
    """Return whether an earlier statement of the plan has dropped it, or has taken away what it depends by."""
    if any(_drops(other.node, one) for other in removal.preceding(revision, statement)):
        return True
    changed = statement.before.changed
    is_changed = one.name in changed or any(
        table is not None and table.origin == one.name for table in changed.values()
    )
    # to read a table takes time, and a schema may have thousands
    there = revision.database.tables.load(one.name) if is_changed or (changed and one.part is not None) else None
    if there is None:
        return False
    # what is done to a table is done to those that inherit from it
    above = (replace(one, name=parent) for parent in there.parents)
    return _is_taken(one, there, revision, statement) or any(_is_gone(other, revision, statement) for other in above)


def _is_taken(one: Dependent, there: Table, revision: Revision, statement: Statement) -> bool:
    now = statement.before.of_origin(one.name)
    if now is None or one.part is None:
        return now is None
    if one.kind == "table constraint" and one.part in there.constraints:
        return one.part not in now.constraints
    if one.part in there.columns and one.kind in ("table column", "default value"):
        columns = now.columns.values()
        left = [found for found in columns if _old_part(revision, statement, one.name, found.name) == one.part]
        if one.kind == "default value":
            return not any(found.has_default for found in left)
        return not any(found.type == there.columns[one.part].type for found in left)
    return False


def _drops(node: AstNode | None, one: Dependent) -> bool:
    if not isinstance(node, nodes.DropStmt):
        return False
    if one.part is not None:
        kind = {pb.OBJECT_TRIGGER: "trigger", pb.OBJECT_POLICY: "policy", pb.OBJECT_RULE: "rule"}.get(node.remove_type)
        last = [parse_tree.words([found])[-1:] for found in node.objects]
        return kind == one.kind and one.name in parse_tree.dropped(node) and [one.part] in last
    thing = _thing(one)
    return thing is not None and any(
        found.is_named_like(thing) and found.arguments in (None, thing.arguments) for found in removal.removed(node)
    )


def is_made_again(one: Dependent, revision: Revision, statement: Statement) -> bool:
    """Return whether a later statement of the same transaction makes the object again."""
    if not statement.in_transaction:
        return False
    if one.part is not None:
        later = (command for other in removal.following(revision, statement) for command in _added(other, one.name))
        return one.kind == "table constraint" and one.part in later
    thing = _thing(one)
    return thing is not None and removal.is_made_again(thing, revision, statement)


def _added(statement: Statement, origin: Name) -> Iterator[str]:
    """Yield the names of the constraints that a statement adds to a table."""
    if statement.table is not None and statement.table.origin == origin:
        yield from (one.name for one in added.added_constraints(statement.node, statement.table))


def _thing(one: Dependent) -> Thing | None:
    if one.kind in removal.ROUTINES:
        return removal.removed(parse_tree.parse(f"drop {one.kind} {one.identity}")[0])[0]
    return Thing(one.kind, one.name) if one.kind in removal.KINDS.values() else None


def of_constraint(revision: Revision, statement: Statement, table: Table, name: str) -> tuple[Dependent, ...]:
    """Return what depends on a constraint; nothing where that is not known."""
    assert table.origin is not None  # noqa: S101 - of a table of the database
    root = Root(".".join(map(quote, table.origin)), name)
    return going(revision, statement, Cascade("constraint", (name,), "constraint", (root,))) or ()


def truncated(statement: Statement) -> Iterator[Table]:
    """Yield the tables of the database that a TRUNCATE names."""
    match statement.node:
        case nodes.TruncateStmt(relations=relations):
            for one in relations:
                if isinstance(one, nodes.RangeVar):
                    table = below.reached(one, statement.before)
                    if table is not None and table.origin is not None:
                        yield table


def referencing(revision: Revision, statement: Statement, tables: Sequence[Table]) -> tuple[Table, ...] | None:
    """Return the further tables with foreign keys to these, and to those in turn; None where that is not known."""
    if revision.database.dependents is None:
        return None
    found = {table.origin: table for table in tables}
    new = list(tables)
    while new:
        new = [one for table in new for one in _referencing(revision, statement, table) if one.origin not in found]
        found |= {table.origin: table for table in new}
    further = (table for origin, table in found.items() if origin not in {one.origin for one in tables})
    return tuple(sorted(further, key=lambda table: table.name))


def _referencing(revision: Revision, statement: Statement, table: Table) -> Iterator[Table]:
    assert table.origin is not None  # noqa: S101 - of a table of the database
    root = Root(".".join(map(quote, table.origin)))
    depending = going(revision, statement, Cascade("table", (), "relation", (root,))) or ()
    names = [one.name for one in depending if one.kind == "table constraint"]
    others = (statement.before.of_origin(name) for name in dict.fromkeys(names))
    # those with a foreign key that the plan has added, too
    for other in (*others, *statement.before.changed.values()):
        if other is not None and other.origin is not None:
            keys = (one for one in other.constraints.values() if one.referred is not None)
            if any(one.referred in (table.name, table.origin) for one in keys):
                yield other
