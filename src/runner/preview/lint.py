"""The lint of a plan: squawk's rules over the SQL of the revisions, and our own rules.

squawk reads one text and no database. It does not have the number of rows of a table, the tables that the same plan
creates, or the rows that a downgrade drops. Its rules: https://squawkhq.com/docs/rules.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from runner.postgres import sql
from runner.preview import remade, squawk
from runner.preview.remade import Made
from runner.preview.suppressions import allow
from runner.results import Finding, Level, TableSize
from runner.schema.catalog import Catalog
from runner.script.offline import Rendered

LARGE_ROWS = 10_000
"""Below this, a scan or a rewrite takes tens of milliseconds, and a finding of `GROWING` is a warning."""

# Rules for statements that block the application for a time that grows with the table.
GROWING = frozenset({
    "adding-field-with-default", "adding-foreign-key-constraint", "adding-not-nullable-field",
    "adding-serial-primary-key-field", "ban-alter-domain-with-add-constraint", "changing-column-type",
    "constraint-missing-not-valid", "disallowed-unique-constraint", "prefer-repack",
    "require-concurrent-index-creation", "require-concurrent-reindex", "update-all-rows",
})  # fmt: skip
# Rules for statements that break the application, lose data or fail, whatever the table's size.
BREAKING = frozenset({
    "adding-required-field", "ban-concurrent-index-creation-in-transaction", "ban-drop-column",
    "ban-drop-database", "ban-drop-schema", "ban-drop-table", "ban-truncate-cascade", "ban-uncommitted-transaction",
    "broken-code", "downgrade-loses-rows", "empty-revision", "mixed-revision", "renaming-column", "renaming-table",
    "syntax-error", "table-exists", "transaction-ended", "transaction-nesting", "truncate",
})  # fmt: skip
# Rules for statements after which an older version of the application, to which a deployment may return, does not find
# an object under its name; what the same revision makes again is found.
RENAMING = frozenset({
    "ban-drop-domain", "ban-drop-extension", "ban-drop-function", "ban-drop-sequence", "ban-drop-type",
    "ban-drop-view", "ban-set-schema", "renaming-object",
})  # fmt: skip
STYLE = frozenset({
    "ban-char-field", "prefer-bigint-over-int", "prefer-bigint-over-smallint", "prefer-identity", "prefer-text-field",
    "prefer-timestamp-tz", "require-enum-value-ordering", "do-block",
})  # fmt: skip

# Where `runner.operations` has a function for what squawk's own advice describes.
REMEDIES = {
    "adding-foreign-key-constraint": "Use `add_foreign_key_not_valid`, and `validate_constraint` in the next revision.",
    "adding-not-nullable-field": "Use `set_not_null_safely`, in a revision of its own.",
    "adding-serial-primary-key-field": "Build the index with `create_index_concurrently`, then `add_key_using_index`.",
    "ban-concurrent-index-creation-in-transaction": "Use `create_index_concurrently`, in a revision of its own.",
    "constraint-missing-not-valid": "Use `add_check_not_valid`, and `validate_constraint` in the next revision.",
    "disallowed-unique-constraint": "Build the index with `create_index_concurrently`, then `add_key_using_index`.",
    "require-concurrent-index-creation": "Use `create_index_concurrently`, in a revision of its own.",
    "require-concurrent-index-deletion": "Use `drop_index_concurrently`, in a revision of its own.",
}
LEVELS: tuple[Level, ...] = ("error", "warning", "note")
STATEMENT_LENGTH = 120
"""Characters of a statement in a finding."""

# ALTER TABLE actions that succeed a second time; squawk's `prefer-robust-stmts` reports them outside a transaction.
REPEATABLE = (["set", "not", "null"], ["drop", "not", "null"], ["set", "default"], ["drop", "default"], ["validate"])


@dataclass(frozen=True)
class LintReport:
    """The findings that count, and those that a revision allows."""

    findings: tuple[Finding, ...]
    allowed: tuple[Finding, ...]
    linter: str | None
    """The linter's name and version; None if squawk is not installed."""


@dataclass(frozen=True)
class LintContext:
    """What the rules use of the database and of the whole plan."""

    existing: frozenset[sql.Name]
    """Tables and indexes of the database."""
    known: frozenset[sql.Name]
    """Objects of the database, of every kind."""
    routines: Mapping[sql.Name, str]
    """The names of functions with their arguments, as in the catalog."""
    sizes: Mapping[sql.Name, TableSize]
    new: frozenset[sql.Name]
    """Tables that the plan itself creates, so that the application does not use them yet."""


def lint(
    revisions: Sequence[Rendered],
    actual: Catalog,
    sizes: Mapping[str, TableSize],
    of_database: Iterable[Finding],
    program: str | None,
    server_version: str,
) -> LintReport:
    """Return the findings for `revisions` on a database whose catalog is `actual`.

    `sizes` are of the tables that the revisions touch, `of_database` are the findings that need the database itself.
    `program` is the path of squawk, None if it is not installed. `server_version` is such as `15.3`.
    """
    context = _context(revisions, actual, sizes)
    effective = [_effective(revision, context) for revision in revisions]
    findings = [*of_database]
    for revision, statements in zip(revisions, effective, strict=True):
        findings += _own_findings(revision, statements, context)
    harmless: list[Finding] = []
    if program is not None and revisions:
        # one process for all revisions, since each start takes time
        texts = [_text(revision, statements) for revision, statements in zip(revisions, effective, strict=True)]
        complaints = squawk.complain(program, texts, server_version)
        made: list[list[Made | None]] = []
        if any(complaint.rule in RENAMING for complaint in complaints):
            made = [[remade.made(statement) for statement in statements] for statements in effective]
        ends = [_ends(revision, statements) for revision, statements in zip(revisions, effective, strict=True)]
        for complaint in complaints:
            revision, statements = revisions[complaint.text], effective[complaint.text]
            at = bisect_right(ends[complaint.text], complaint.line)
            # none for a complaint about the whole text
            place = at if at < len(statements) else None
            statement = "" if place is None else statements[place]
            finding = _finding(complaint.rule, revision, statement, context, complaint.message, complaint.help)
            found_again = (
                complaint.rule in RENAMING
                and place is not None
                and _is_found_again(revision, statement, made[: complaint.text + 1], place, context)
            )
            is_harmless = found_again or _is_harmless(finding, revision, statement, context)
            (harmless if is_harmless else findings).append(finding)
    kept, allowed, about_comments = allow(revisions, findings, harmless, linted=program is not None)
    order = {revision.revision: place for place, revision in enumerate(revisions)}
    counted = sorted([*kept, *about_comments], key=lambda one: (order[one.revision], LEVELS.index(one.level)))
    return LintReport(tuple(counted), tuple(allowed), squawk.version(program) if program else None)


def _context(revisions: Iterable[Rendered], actual: Catalog, sizes: Mapping[str, TableSize]) -> LintContext:
    tables = {sql.read_name(name) for name in actual["tables"]}
    indexes = {
        (sql.read_name(name)[0], sql.read_name(index)[1])
        for name, table in actual["tables"].items()
        for index in table.get("indexes", ())
    }
    statements = [sql.read(text) for revision in revisions for text in revision.rendered]
    # `create table`, `create unlogged table` and the like
    creating = [one for one in statements if one.verb.startswith("create") and one.verb.endswith("table")]
    return LintContext(
        frozenset(tables | indexes),
        frozenset(sql.read_name(name) for objects in actual.values() for name in objects),
        {sql.read_name(name): name for name in actual.get("functions", ())},
        {sql.read_name(name): size for name, size in sizes.items()},
        frozenset({name for one in creating for name in one.names} - tables),
    )


def _effective(revision: Rendered, context: LintContext) -> list[str]:
    """Return a revision's statements, except those that do nothing here.

    They are IF NOT EXISTS for an existing object, and what ends the transaction: that is refused, or it is not sent.
    """
    ends = sql.ends_transaction if revision.transactional else lambda _: False
    return [text for text in revision.rendered if sql.made_if_absent(text) not in context.existing and not ends(text)]


def _text(revision: Rendered, statements: Iterable[str]) -> str:
    """Return a revision's SQL as the engine sends it, with the time-outs that a rule of squawk requires."""
    lines = [*_preamble(revision), *(_line(statement) for statement in statements)]
    return "\n".join([*lines, "COMMIT;"] if revision.transactional else lines)


def _preamble(revision: Rendered) -> list[str]:
    # the rule only asks whether they are set, so the values need not be those of the run
    local = "LOCAL " if revision.transactional else ""
    bounds = [f"SET {local}lock_timeout = '2s';", f"SET {local}statement_timeout = '900s';"]
    return ["BEGIN;", *bounds] if revision.transactional else bounds


def _line(statement: str) -> str:
    """Return a statement for squawk."""
    # an allowance needs a reason, so squawk's own comment must not work; a comment at the end would hide the semicolon
    return statement.replace("squawk-ignore", "squawk ignores") + "\n;"


def _ends(revision: Rendered, statements: Iterable[str]) -> list[int]:
    """Return the line of `_text` behind each statement: squawk gives a line, and a statement may have several."""
    lengths = (_line(statement).count("\n") + 1 for statement in statements)
    return [*accumulate(lengths, initial=len(_preamble(revision)))][1:]


def _finding(rule: str, revision: Rendered, statement: str, context: LintContext, message: str, remedy: str) -> Finding:
    name = sql.read(statement).table
    size = context.sizes.get(name) if name else None
    shown = " ".join(statement.split())[:STATEMENT_LENGTH]
    table = None if name is None else name[1] if name[0] == "public" else ".".join(name)
    rows = size.rows if size else None
    remedy = REMEDIES.get(rule, remedy)
    return Finding(rule, _level(rule, size), revision.revision, message, remedy, shown, table, rows)


def _level(rule: str, size: TableSize | None) -> Level:
    """Return the level of a rule's findings on a table of that size; an unknown number of rows counts as large."""
    if rule in GROWING:
        small = size is not None and size.rows is not None and size.rows < LARGE_ROWS
        return "warning" if small else "error"
    if rule in STYLE:
        return "note"
    return "error" if rule in BREAKING | RENAMING else "warning"


def _is_found_again(
    revision: Rendered, statement: str, made: Sequence[Sequence[Made | None]], place: int, context: LintContext
) -> bool:
    """Return whether nobody misses what a statement removes: the revision makes it again, or the plan made it first.

    `made` are the objects that the statements of the plan make, up to the last one of this revision.
    """
    removed = [remade.complete(one, context.routines) for one in remade.removed(statement)]
    *earlier, own = made
    # between two statements outside of a transaction, others see that the object is missing
    after = own[place + 1 :] if revision.transactional else []
    before = [one for others in (*earlier, own[:place]) for one in others if one and one.name not in context.known]
    return bool(removed) and (
        all(any(new and new.replaces(old) for new in after) for old in removed)
        or all(any(new.is_named_like(old) for new in before) for old in removed)
    )


def _is_harmless(finding: Finding, revision: Rendered, text: str, context: LintContext) -> bool:
    """Return whether a finding of squawk does no harm here, for reasons that are not in the text it reads."""
    statement = sql.read(text)
    # nobody waits for a table that the application does not use yet
    if statement.table in context.new:
        return True
    if finding.rule == "prefer-robust-stmts":
        # a mixed revision has an error of its own
        return revision.mixed or any(statement.contains(*phrase) for phrase in REPEATABLE)
    if finding.rule == "ban-drop-constraint":
        # a helper such as `set_not_null_safely` adds a constraint and drops it again
        name = next(statement.names_after("constraint"), "")
        return (statement.table, name) in revision.added_constraints
    # a downgrade drops what its upgrade created; the rows of tables and columns are counted, not those of a schema
    counted = ("ban-drop-database", "ban-drop-schema")
    return revision.direction == "downgrade" and finding.rule.startswith("ban-drop-") and finding.rule not in counted


def _own_findings(one: Rendered, texts: Iterable[str], setting: LintContext) -> Iterator[Finding]:
    """Yield the findings of the rules that squawk does not have."""
    if one.mistake is not None:
        yield Finding("broken-code", "error", one.revision, one.mistake, "Correct the file.")
    elif one.statements is None:
        message = f"Its SQL is not known beforehand: {one.unrendered}. The statements after that were not checked."
        yield Finding("not-rendered", "warning", one.revision, message, "Read the file, and rehearse it on a clone.")
    if one.empty:
        message = "It is empty, and once it is applied its text cannot change any more, so the runner refuses it."
        yield Finding("empty-revision", "error", one.revision, message, "Write `upgrade()`.")
    if one.mixed:
        message = "It has an autocommit block after other statements, so the runner refuses it."
        yield Finding("mixed-revision", "error", one.revision, message, "Move the block into a revision of its own.")
    yield from _ends_of_transaction(one, setting)
    for text in texts:
        yield from _timeouts(one, text, setting)
        statement = sql.read(text)
        if statement.table in setting.new:
            continue
        if statement.verb in ("update", "delete") and not statement.says("where"):
            message = "It writes every row of the table in one transaction, and locks them all until the commit."
            remedy = "Write the rows in batches, outside the migration."
            yield _finding("update-all-rows", one, text, setting, message, remedy)
        if statement.verb in ("truncate", "truncate table") and one.direction == "upgrade":
            message = "It removes every row of the table, and blocks reads and writes until the commit."
            yield _finding("truncate", one, text, setting, message, "Delete the intended rows in batches.")
        if statement.verb == "do":
            message = "The block was not checked: the statements that its code sends are not known beforehand."
            yield _finding("do-block", one, text, setting, message, "Read it, and rehearse it on a clone.")


def _ends_of_transaction(one: Rendered, setting: LintContext) -> Iterator[Finding]:
    """Yield a finding for the first statement that ends the revision's transaction after it has written something."""
    for at, text in enumerate(one.rendered if one.transactional else ()):
        if sql.ends_transaction(text) and any(map(sql.writes, one.rendered[:at])):
            message = "It ends the revision's own transaction, so the runner refuses it."
            remedy = (
                "Remove it. What cannot run in a transaction goes into an autocommit block of a revision of its own."
            )
            yield _finding("transaction-ended", one, text, setting, message, remedy)
            return


def _timeouts(one: Rendered, text: str, setting: LintContext) -> Iterator[Finding]:
    """Yield a finding for each time-out that a statement sets: a warning where it removes the time-out."""
    for name, removed in sql.timeouts_set(text):
        message = f"It removes `{name}`." if removed else f"It sets `{name}`."
        remedy = "Leave it out: the runner sets both time-outs itself, and sets back what is longer than its own."
        finding = _finding("sets-timeout", one, text, setting, message, remedy)
        yield replace(finding, level="warning" if removed else "note")
