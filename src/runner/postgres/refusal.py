"""Why the server refused a statement, in names of objects, and the next step; never its message, which may quote rows.

DETAIL is shown for a few errors of PostgreSQL's own code only, by SQLSTATE and the function of the server that raised
it: there it consists of descriptions of objects, in the server's language. A function of the database raises all its
errors from another function of the server.
"""

from dataclasses import dataclass

from runner.postgres import privileges, sqlstate
from runner.postgres.catalog_lookup import LookUp, nowhere
from runner.project import quote

REPEAT = "then run the same command again."
MOST_NAMED = 5
"""The most objects that a message names; the server itself names up to 100."""
LONGEST = 500

DROP_FIRST = f"In `{{file}}`, drop or change first what depends on it, and create it again afterwards, {REPEAT}"
NOT_NULL_FIRST = f"In `{{file}}`, make the columns of the primary key NOT NULL first (`set_not_null_safely`), {REPEAT}"
# https://www.postgresql.org/docs/current/errcodes-appendix.html
DESCRIBED = {
    (sqlstate.DEPENDENT_OBJECTS_STILL_EXIST, "reportDependentObjects"): DROP_FIRST,
    (sqlstate.DEPENDENT_OBJECTS_STILL_EXIST, "findDependentObjects"): DROP_FIRST,
    (sqlstate.DEPENDENT_OBJECTS_STILL_EXIST, "DropRole"): (
        f"Give away what it owns and drop its privileges first (`REASSIGN OWNED`, `DROP OWNED`), {REPEAT}"
    ),
    (sqlstate.FEATURE_NOT_SUPPORTED, "ATExecAlterColumnType"): DROP_FIRST,
    (sqlstate.FEATURE_NOT_SUPPORTED, "RememberAllDependentForRebuilding"): DROP_FIRST,
    (sqlstate.FEATURE_NOT_SUPPORTED, "heap_truncate_check_FKs"): "",
    (sqlstate.DATATYPE_MISMATCH, "ATAddForeignKeyConstraint"): "",
    # ADD PRIMARY KEY for ONLY a partitioned table, before PostgreSQL 18 and since
    (sqlstate.INVALID_TABLE_DEFINITION, "ATExecCheckNotNull"): NOT_NULL_FIRST,
    (sqlstate.INTERNAL_ERROR, "ATPrepAddPrimaryKey"): NOT_NULL_FIRST,
    # the definitions differ, the index of a key needs one of a key, and a partition has one attached
    (sqlstate.INVALID_OBJECT_DEFINITION, "ATExecAttachPartitionIdx"): "",
    (sqlstate.OBJECT_NOT_IN_PREREQUISITE_STATE, "ATExecAttachPartitionIdx"): "",
    (sqlstate.OBJECT_NOT_IN_PREREQUISITE_STATE, "refuseDupeIndexAttach"): "",
    # with a DETAIL: the key of a partitioned table lacks a column of the partition key
    (sqlstate.FEATURE_NOT_SUPPORTED, "DefineIndex"): "",
}
# What PostgreSQL does not do for a partitioned table. The message names the objects, and a DETAIL, where there is one,
# nothing. Some of these functions raise the same code for other reasons.
PARTITIONED = {
    (sqlstate.FEATURE_NOT_SUPPORTED, "DefineIndex"): (
        "In `{file}`, if the table is partitioned, use `create_index_on_only`, then `create_index_concurrently` on "
        f"each partition and `attach_index`, {REPEAT}"
    ),
    (sqlstate.FEATURE_NOT_SUPPORTED, "RemoveRelations"): (
        "In `{file}`, if the index is that of a partitioned table, use `op.drop_index`, which blocks reads and writes "
        f"of its partitions for a moment, {REPEAT}"
    ),
    (sqlstate.FEATURE_NOT_SUPPORTED, "ATExecAddIndexConstraint"): (
        "In `{file}`, use `add_key_using_index` on each partition, then `add_key_on_only` on the table and "
        f"`attach_index`, {REPEAT}"
    ),
    (sqlstate.WRONG_OBJECT_TYPE, "ATAddForeignKeyConstraint"): (
        "In `{file}`, if the table is partitioned, use `add_foreign_key_not_valid` and `validate_constraint` on each "
        f"partition, then `op.create_foreign_key` on the table, {REPEAT}"
    ),
}
SERVERS_LOG = "Look for the reason in the server's log"
# By SQLSTATE, or by its class: what has happened, and the next step; empty where the revision is to be corrected.
MEANINGS = {
    "25P02": (
        "an earlier statement had failed, and the revision went on",
        f"Where a statement may fail, send it in a savepoint (`with op.get_bind().begin_nested():`), {REPEAT}",
    ),
    "53": ("the server lacks a resource", f"{SERVERS_LOG}, {REPEAT}"),
    "53100": ("the server's disk is full", f"Free space on it, or enlarge it, {REPEAT}"),
    "53200": (
        "the server ran out of memory, or of room for locks",
        f"Change fewer objects in one revision, or raise `max_locks_per_transaction` or the server's memory, {REPEAT}",
    ),
    "53400": (
        "it exceeds a limit of the server's configuration, such as `temp_file_limit`",
        f"Let it do less at once, or raise the limit, {REPEAT}",
    ),
    "54": ("it exceeds a fixed limit of PostgreSQL, such as the size of a row or the number of columns", ""),
    "54001": ("it is too complex for `max_stack_depth`", ""),
    "57014": (
        "somebody cancelled it, or a `statement_timeout` did",
        f"Ask who cancels statements of this database, {REPEAT}",
    ),
    "58030": ("the server could not read or write one of its files", f"{SERVERS_LOG}, {REPEAT}"),
    "58P01": ("a file that it names does not exist on the server", ""),
    # also "tuple concurrently updated", which passes by itself
    "XX000": ("an internal error of the server", f"{SERVERS_LOG}, {REPEAT}"),
    "XX001": ("a page of a table is damaged", f"{SERVERS_LOG} first, {REPEAT}"),
    "XX002": ("an index is damaged", f"Build it again with `REINDEX INDEX`, {REPEAT}"),
}


@dataclass(frozen=True)
class Refusal:
    """Why the server refused a statement, as a clause, and the next step; either may be empty."""

    reason: str = ""
    remedy: str = ""
    """A sentence, in which `{file}` stands for the revision's file."""


def explain(error: BaseException, look_up: LookUp = nowhere) -> Refusal:
    """Return what is known of an error of the server."""
    code = sqlstate.sqlstate(error) or ""
    refused = _of_event_trigger(error, look_up)
    if refused is None and code == sqlstate.INSUFFICIENT_PRIVILEGE:
        lack = privileges.find(error, look_up)
        refused = Refusal(lack.reason, f"{lack.remedy}, {REPEAT}") if lack else None
    if refused is None:
        refused = _of_description(error, code)
    return refused or Refusal(*MEANINGS.get(code, MEANINGS.get(code[:2], ())))


def _of_event_trigger(error: BaseException, look_up: LookUp) -> Refusal | None:
    """Return the refusal of an event trigger, whose function raises what it likes; it is known by the CONTEXT."""
    # a function raises from its language's file: `pl_exec.c`, `plperl.c`, `plpy_elog.c`; errors without one have no
    # CONTEXT either, so that most failures ask nothing
    context = sqlstate.diagnosis(error, "context")
    if not context or not sqlstate.diagnosis(error, "source_file").startswith("pl"):
        return None
    for row in look_up("event_triggers", {}):
        # the server's language does not matter: the name of a function is followed by its arguments, of which such a
        # function has none
        if any(f"{shown}()" in context for shown in (row["proname"], quote(row["proname"]))):
            name, role = row["evtname"], row["role"]
            disable = f"ALTER EVENT TRIGGER {quote(name)} DISABLE"
            return Refusal(
                f"the event trigger `{name}` (function `{row['nspname']}.{row['proname']}`) refused it",
                f"Let the function pass the role `{role}`, or run `{disable}` as `{row['owner']}` for the time of the "
                f"migration, {REPEAT}",
            )
    return None


def _of_description(error: BaseException, code: str) -> Refusal | None:
    """Return the refusal whose DETAIL, or else whose message, describes objects."""
    raised = code, sqlstate.diagnosis(error, "source_function")
    remedy = DESCRIBED.get(raised)
    detail, primary = (sqlstate.diagnosis(error, f"message_{part}") for part in ("detail", "primary"))
    if raised in PARTITIONED and not (detail and raised in DESCRIBED):
        return Refusal(f"`{primary}`", PARTITIONED[raised])
    if remedy is None:
        return None
    text = detail or primary
    lines = text.splitlines()
    named = "; ".join(f"`{line.rstrip('.')}`" for line in lines[:MOST_NAMED])
    shown = named if len(named) <= LONGEST else f"{named[:LONGEST]} …`"
    more = len(lines) - MOST_NAMED
    return Refusal(shown if more <= 0 else f"{shown}, and {more} more", remedy)
