"""ATTACH PARTITION reads each row of the new partition, and of the DEFAULT one, while nobody else may read or write it.

A valid CHECK that says the same as the bound spares the first scan, one that excludes it spares the second. Added NOT
VALID and validated, it blocks for a moment only, and can be dropped afterwards.
https://www.postgresql.org/docs/current/ddl-partitioning.html#DDL-PARTITIONING-DECLARATIVE-MAINTENANCE
"""

from collections.abc import Iterator

from postgast import nodes
from postgast import pg_query_pb2 as pb

from runner.lint.parsing import parse_tree
from runner.lint.remedies import instead
from runner.lint.rule import Rule, Violation, call
from runner.lint.state import partitions
from runner.lint.state.chosen_names import shortened
from runner.lint.state.statement import Revision, Statement, shown
from runner.lint.state.tables import Table
from runner.postgres.sql import Name

INDEXES = "Build the missing indexes concurrently before."
REMEDY = (
    "Add a CHECK of the same condition NOT VALID, validate it in the next revision, then attach: no row is read under "
    "the lock."
)


def find(revision: Revision) -> Iterator[Violation]:
    """Yield each partition that is attached or made by a scan of rows of the database."""
    for statement in revision.statements:
        for parent, part, bound in _added(statement):
            yield from _find(parent, part, bound, statement, revision)


def _added(statement: Statement) -> Iterator[tuple[Name, Name, nodes.PartitionBoundSpec]]:
    match statement.node:
        case nodes.AlterTableStmt(objtype=pb.OBJECT_TABLE, relation=nodes.RangeVar() as parent) as node:
            for one in parse_tree.commands(node, pb.AT_AttachPartition):
                match one.def_:
                    case nodes.PartitionCmd(name=nodes.RangeVar() as part, bound=nodes.PartitionBoundSpec() as bound):
                        yield parse_tree.name(parent), parse_tree.name(part), bound
        case nodes.CreateStmt(
            relation=nodes.RangeVar() as part,
            inh_relations=[nodes.RangeVar() as parent],
            partbound=nodes.PartitionBoundSpec() as bound,
        ):
            yield parse_tree.name(parent), parse_tree.name(part), bound


def _find(
    parent: Name, part: Name, bound: nodes.PartitionBoundSpec, statement: Statement, revision: Revision
) -> Iterator[Violation]:
    before, database = statement.before, revision.database
    is_there = isinstance(statement.node, nodes.AlterTableStmt)
    table, child, default = (
        before.find(parent),
        before.find(part) if is_there else None,
        before.default_partition(parent),
    )
    if table is None:
        return
    condition = partitions.condition(table, bound)
    scanned: list[tuple[Table, str]] = []
    if child is not None and not (condition and partitions.is_proven(child, condition)):
        scanned.append((child, condition or ""))
    if default is not None and not (condition and partitions.is_excluded(default, condition)):
        scanned.append((default, f"NOT ({condition})" if condition else ""))
    missing = _missing(table, child) if child is not None else []
    if missing and child is not None and all(one is not child for one, _ in scanned):
        scanned.insert(0, (child, ""))
    # nothing is read of an empty one
    scanned = [one for one in scanned if database.rows(one[0]) != 0]
    if scanned:
        read = " and of ".join(f"{database.count(one)} of `{shown(one.name)}`" for one, _ in scanned)
        what = "Attaching" if child is not None else "Making"
        message = (
            f"{what} `{shown(part)}` reads {read} under `ACCESS EXCLUSIVE`: until the commit, reads and writes of what "
            "is read wait."
        )
        if missing:
            built = ", ".join(f"`{one}`" for one in missing)
            message += f" It builds the index of `{shown(part)}` for {built} of `{shown(parent)}`."
        remedy = f"{INDEXES} {REMEDY}" if missing else REMEDY
        largest = max((one for one, _ in scanned), key=database.many)
        # a condition of a partition by hash names the table, which must be there
        is_possible = condition and not missing and (table.origin is not None or bound.strategy != "h")
        advice = _instead(part, scanned, statement, revision) if is_possible else ()
        yield Violation(database.by_rows(largest), message, remedy, statement, largest, advice)


def _missing(table: Table, part: Table) -> list[str]:
    """Return the indexes of a partitioned table of which a table has none like it."""
    there = {(one.columns, one.unique, one.partial) for one in part.indexes.values()}
    return [one.name for one in table.indexes.values() if (one.columns, one.unique, one.partial) not in there]


def _instead(part: Name, scanned: list[tuple[Table, str]], statement: Statement, revision: Revision) -> tuple[str, ...]:
    adding, validating = [], []
    for table, condition in scanned:
        schema, owner = table.name
        check = shortened(owner, "bound") if owner == part[1] else shortened(owner, f"without_{part[1]}", "check")
        adding.append(call("add_check_not_valid", check, owner, instead.written(condition), schema=schema))
        validating.append(call("validate_constraint", check, owner, schema=schema))
    whole = [one.text for one in revision.statements if not one.in_block]
    return "\n".join(adding), "\n".join(validating), "\n".join(map(instead.executed, whole))


YEAR = "for values from ('2024-01-01') to ('2025-01-01')"
RULE = Rule(
    id="attach-partition-scan",
    levels="An error from 10,000 rows on, else a warning.",
    find=find,
    is_of_rows=True,
    bad=(
        f'op.execute("alter table events attach partition events_2024 {YEAR}")',
        'op.execute("ALTER TABLE events ATTACH PARTITION \\"events_2024\\" FOR VALUES FROM (MINVALUE) TO '
        "('2025-01-01')\")",
        "op.execute(\"alter table logs attach partition logs_asia for values in ('asia', 'oceania')\")",
        'op.execute("alter table shards attach partition shards_1 for values with (modulus 2, remainder 1)")',
        'op.execute("alter table months attach partition months_6 for values from (2026, 6) to (2026, 7)")',
        'op.execute("alter table months attach partition months_6 for values from (2026, 6) to (2027, maxvalue)")',
        'op.execute("alter table months attach partition months_6 for values from (2025, 6) to (2026, 7)")',
        "op.execute(\"create table logs_af partition of logs for values in ('africa')\")",
        'op.execute("alter table events attach partition events_2024 default")',
        "op.execute(\"alter table depots attach partition depots_oslo for values in ('oslo')\")",
        'op.execute("create table all_events (like events) partition by range (at)")\n'
        f'op.execute("alter table all_events attach partition events_2024 {YEAR}")',
    ),
    safe=(
        "op.execute(\"create table events_2027 partition of events for values from ('2027-01-01') to ('2028-01-01')\")",
        'add_check_not_valid("old", "events_2024", "at >= \'2024-03-01\' and at < timestamptz \'2024-12-01\'")\n---\n'
        'validate_constraint("old", "events_2024")\n---\n'
        f'op.execute("alter table events attach partition events_2024 {YEAR}")',
    ),
)
