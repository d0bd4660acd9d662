"""The locks that a statement takes on tables and that block the application, and the rows that it reads or writes.

https://www.postgresql.org/docs/current/explicit-locking.html and, for the actions of ALTER TABLE,
https://www.postgresql.org/docs/current/sql-altertable.html
"""

from collections.abc import Iterator

from postgast import nodes
from postgast import pg_query_pb2 as pb
from postgast.nodes import AstNode

from runner.lint.parsing import parse_tree
from runner.lint.state import added, below
from runner.lint.state.tables import Table, Tables
from runner.postgres.sql import Name

Mode = str
"""A lock mode as the manual writes it, such as `SHARE ROW EXCLUSIVE`."""
BLOCKS = {
    "ACCESS EXCLUSIVE": "reads and writes",
    "EXCLUSIVE": "writes",
    "SHARE ROW EXCLUSIVE": "writes",
    "SHARE": "writes",
}
"""The modes that block the application, the strongest first, and what each of them blocks."""
# LOCK TABLE's modes by the number that the grammar gives them.
NUMBERED = {5: "SHARE", 6: "SHARE ROW EXCLUSIVE", 7: "EXCLUSIVE", 8: "ACCESS EXCLUSIVE"}
# The actions of ALTER TABLE that let others read and write; all that are not listed here block both.
HARMLESS = frozenset({
    pb.AT_ClusterOn, pb.AT_DropCluster, pb.AT_ResetOptions, pb.AT_ResetRelOptions, pb.AT_SetOptions,
    pb.AT_SetRelOptions, pb.AT_SetStatistics, pb.AT_ValidateConstraint,
})  # fmt: skip
RELEASING = frozenset({pb.TRANS_STMT_COMMIT, pb.TRANS_STMT_ROLLBACK})
"""The statements that end a transaction, with its locks."""
TRIGGERS = frozenset({
    pb.AT_DisableTrig, pb.AT_DisableTrigAll, pb.AT_DisableTrigUser, pb.AT_EnableAlwaysTrig, pb.AT_EnableReplicaTrig,
    pb.AT_EnableTrig, pb.AT_EnableTrigAll, pb.AT_EnableTrigUser,
})  # fmt: skip


def is_stronger(mode: Mode, other: Mode) -> bool:
    """Return whether a lock blocks more than another."""
    order = list(BLOCKS)
    return order.index(mode) < order.index(other)


def taken(node: AstNode | None, tables: Tables) -> dict[Name, Mode]:
    """Return the strongest lock that a statement takes on each relation and that blocks the application."""
    strongest: dict[Name, Mode] = {}
    for name, mode in _taken(node, tables):
        held = strongest.get(name)
        if held is None or is_stronger(mode, held):
            strongest[name] = mode
    return strongest


def _taken(node: AstNode | None, tables: Tables) -> Iterator[tuple[Name, Mode]]:  # noqa: C901 - a case for each statement
    match node:
        case nodes.AlterTableStmt(relation=nodes.RangeVar() as relation):
            yield from _by_alter(node, parse_tree.name(relation), tables)
        case nodes.CreateStmt(table_elts=elements, constraints=constraints):
            for one in (*elements, *constraints):
                for constraint in parse_tree.walk(one, nodes.Constraint):
                    if constraint.contype == pb.CONSTR_FOREIGN and constraint.pktable is not None:
                        yield parse_tree.name(constraint.pktable), "SHARE ROW EXCLUSIVE"
            if node.partbound is not None:
                for one in _ranges(node.inh_relations):
                    yield parse_tree.name(one), "ACCESS EXCLUSIVE"
                    yield from _of_default_partition(parse_tree.name(one), tables)
        case nodes.IndexStmt(relation=nodes.RangeVar() as relation, concurrent=False):
            yield parse_tree.name(relation), "SHARE"
        case nodes.RenameStmt(relation=nodes.RangeVar() as relation):
            owner = tables.with_index(parse_tree.name(relation)) if node.rename_type == pb.OBJECT_INDEX else None
            # renaming an index blocks nobody since PostgreSQL 12
            if node.rename_type != pb.OBJECT_INDEX or owner is None:
                yield parse_tree.name(relation), "ACCESS EXCLUSIVE"
        case nodes.AlterObjectSchemaStmt(relation=nodes.RangeVar() as relation):
            yield parse_tree.name(relation), "ACCESS EXCLUSIVE"
        case nodes.ViewStmt(view=nodes.RangeVar() as relation) if tables.find(parse_tree.name(relation)) is not None:
            yield parse_tree.name(relation), "ACCESS EXCLUSIVE"
        case nodes.DropStmt():
            yield from _by_drop(node, tables)
        case nodes.TruncateStmt(relations=relations):
            yield from ((parse_tree.name(one), "ACCESS EXCLUSIVE") for one in _ranges(relations))
        case nodes.LockStmt(relations=relations, mode=mode) if mode in NUMBERED:
            yield from ((parse_tree.name(one), NUMBERED[mode]) for one in _ranges(relations))
        case nodes.RefreshMatViewStmt(relation=nodes.RangeVar() as relation):
            yield parse_tree.name(relation), "EXCLUSIVE" if node.concurrent else "ACCESS EXCLUSIVE"
        case nodes.VacuumStmt(options=options, rels=relations) if parse_tree.is_on(options, "full"):
            for one in relations:
                if isinstance(one, nodes.VacuumRelation) and one.relation is not None:
                    yield parse_tree.name(one.relation), "ACCESS EXCLUSIVE"
        case nodes.ClusterStmt(relation=nodes.RangeVar() as relation):
            yield parse_tree.name(relation), "ACCESS EXCLUSIVE"
        case nodes.ReindexStmt(relation=nodes.RangeVar() as relation) if not parse_tree.is_on(
            node.params, "concurrently"
        ):
            found = tables.with_index(parse_tree.name(relation)) if node.kind == pb.REINDEX_OBJECT_INDEX else None
            yield (found.name if found is not None else parse_tree.name(relation)), "SHARE"
        case nodes.CreateTrigStmt(relation=nodes.RangeVar() as relation):
            yield parse_tree.name(relation), "SHARE ROW EXCLUSIVE"
        case nodes.RuleStmt(relation=nodes.RangeVar() as relation):
            yield parse_tree.name(relation), "ACCESS EXCLUSIVE"
        case (
            nodes.CreatePolicyStmt(table=nodes.RangeVar() as relation)
            | nodes.AlterPolicyStmt(table=nodes.RangeVar() as relation)
        ):
            yield parse_tree.name(relation), "ACCESS EXCLUSIVE"


def _of_default_partition(name: Name, tables: Tables) -> Iterator[tuple[Name, Mode]]:
    # it must not hold rows of the new partition
    default = tables.default_partition(name)
    if default is not None:
        yield default.name, "ACCESS EXCLUSIVE"


def _by_alter(node: nodes.AlterTableStmt, name: Name, tables: Tables) -> Iterator[tuple[Name, Mode]]:  # noqa: C901 - as above
    for command in parse_tree.commands(node):
        match command.subtype, command.def_:
            case pb.AT_AddConstraint, nodes.Constraint(contype=pb.CONSTR_FOREIGN, pktable=nodes.RangeVar() as referred):
                yield name, "SHARE ROW EXCLUSIVE"
                yield parse_tree.name(referred), "SHARE ROW EXCLUSIVE"
            case pb.AT_AttachPartition, nodes.PartitionCmd(name=nodes.RangeVar() as part):
                # SHARE UPDATE EXCLUSIVE on the parent
                yield parse_tree.name(part), "ACCESS EXCLUSIVE"
                yield from _of_default_partition(name, tables)
            case pb.AT_DetachPartition, nodes.PartitionCmd(name=nodes.RangeVar() as part, concurrent=concurrent):
                yield parse_tree.name(part), "ACCESS EXCLUSIVE"
                if not concurrent:
                    yield name, "ACCESS EXCLUSIVE"
            case pb.AT_AlterConstraint, nodes.ATAlterConstraint(conname=named, alter_enforceability=True):
                yield name, "ACCESS EXCLUSIVE"
                table = tables.find(name)
                one = table.constraints.get(named) if table is not None else None
                referred_table = tables.referred(one) if one is not None else None
                if referred_table is not None:
                    yield referred_table.name, "SHARE ROW EXCLUSIVE"
            case subtype, _ if subtype in TRIGGERS:
                yield name, "SHARE ROW EXCLUSIVE"
            case subtype, definition if subtype not in HARMLESS:
                yield name, "ACCESS EXCLUSIVE"
                if definition is not None:
                    for constraint in parse_tree.walk(definition, nodes.Constraint):
                        if constraint.contype == pb.CONSTR_FOREIGN and constraint.pktable is not None:
                            yield parse_tree.name(constraint.pktable), "SHARE ROW EXCLUSIVE"


def _by_drop(node: nodes.DropStmt, tables: Tables) -> Iterator[tuple[Name, Mode]]:
    for name in parse_tree.dropped(node):
        match node.remove_type:
            case pb.OBJECT_TABLE | pb.OBJECT_VIEW | pb.OBJECT_MATVIEW:
                yield name, "ACCESS EXCLUSIVE"
                table = tables.find(name)
                if table is not None:
                    found = (tables.referred(one) for one in table.constraints.values())
                    referred = (one.name for one in found if one is not None)
                    yield from ((one, "ACCESS EXCLUSIVE") for one in (*referred, *table.parents))
            case pb.OBJECT_INDEX if not node.concurrent:
                owner = tables.with_index(name)
                if owner is not None:
                    yield owner.name, "ACCESS EXCLUSIVE"
            case pb.OBJECT_TRIGGER | pb.OBJECT_RULE | pb.OBJECT_POLICY:
                yield name, "ACCESS EXCLUSIVE"


def _ranges(found: list[AstNode]) -> Iterator[nodes.RangeVar]:
    return (one for one in found if isinstance(one, nodes.RangeVar))


def worked_on(node: AstNode | None) -> tuple[Name, ...]:
    """Return the relations whose rows a statement reads or writes, in the order of the text; none for schema changes.

    What INSERT and MERGE write is as much as they read, so their target counts only where it is read again.
    """
    match node:
        case nodes.InsertStmt() | nodes.MergeStmt():
            return _read(node, target=node.relation)
        case nodes.UpdateStmt() | nodes.DeleteStmt() | nodes.SelectStmt():
            return _read(node)
        case nodes.CreateTableAsStmt(query=query) if query is not None:
            return _read(query)
        case nodes.RefreshMatViewStmt(relation=nodes.RangeVar() as relation):
            return (parse_tree.name(relation),)
        case nodes.CopyStmt(relation=nodes.RangeVar() as relation):
            return (parse_tree.name(relation),)
        case nodes.IndexStmt(relation=nodes.RangeVar() as relation):
            return (parse_tree.name(relation),)
    return ()


def scanned(node: AstNode | None, tables: Tables) -> tuple[Name, ...]:
    """Return the tables of which an ALTER TABLE reads every row without rewriting it."""
    match node:
        case nodes.AlterTableStmt(relation=nodes.RangeVar() as relation):
            table = tables.find(parse_tree.name(relation))
            if table is not None and (_validates(node, table) or _checks(node, table, tables)):
                return (table.name,)
    return ()


def _validates(node: nodes.AlterTableStmt, table: Table) -> bool:
    known = {**table.constraints, **{one.name: one for one in added.added_constraints(node, table)}}
    names = [one.name for one in parse_tree.commands(node, pb.AT_ValidateConstraint)]
    return any(name not in known or not known[name].valid for name in names)


def _checks(node: nodes.AlterTableStmt, table: Table, tables: Tables) -> bool:
    set_not_null = [one.name for one in parse_tree.commands(node, pb.AT_SetNotNull)]
    for one in added.added_constraints(node, table):
        if one.kind == "not null":
            set_not_null += one.columns if one.column is None else ()
        # a column that is added is null in every row, which neither a foreign key nor a unique index reads
        elif one.valid and not one.node.indexname and (one.column is None or one.kind == "check"):
            return True
    return any(not below.has_no_null(table, name, tables) for name in set_not_null)


def _read(node: AstNode, target: nodes.RangeVar | None = None) -> tuple[Name, ...]:
    """Return the relations in a query, without the names that WITH gives to its parts."""
    named = {one.ctename for one in parse_tree.walk(node, nodes.CommonTableExpr)}
    # equal only to itself: a tree knows where in the text it is
    found = (one for one in parse_tree.walk(node, nodes.RangeVar) if one != target)
    names = (parse_tree.name(one) for one in found if one.schemaname or one.relname not in named)
    return tuple(dict.fromkeys(names))
