"""What is unsafe in revisions: squawk's rules over their SQL, and what squawk cannot know.

It does not know how many rows a table has here, that a table was made a moment ago in the same plan, nor
what a downgrade loses. https://squawkhq.com/docs/rules tells each of its rules.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runner.postgres import sql
from runner.preview import squawk
from runner.preview.squawk import Complaint
from runner.preview.suppressions import allow
from runner.results import Finding, Level, TableSize
from runner.script.offline import Rendered

LARGE_ROWS = 10_000
"""Up to here a scan or a rewrite is over in tens of milliseconds, so that what needs one is a warning only."""

# Those that make the application wait for as long as the table is large.
GROWING = frozenset({
    "adding-field-with-default", "adding-foreign-key-constraint", "adding-not-nullable-field",
    "adding-serial-primary-key-field", "ban-alter-domain-with-add-constraint", "changing-column-type",
    "constraint-missing-not-valid", "disallowed-unique-constraint", "prefer-repack",
    "require-concurrent-index-creation", "require-concurrent-reindex", "update-all-rows",
})  # fmt: skip
# Those that break the application, lose data, or cannot go through at all, whatever the size.
BREAKING = frozenset({
    "adding-required-field", "ban-concurrent-index-creation-in-transaction", "ban-drop-column",
    "ban-drop-database", "ban-drop-schema", "ban-drop-table", "ban-truncate-cascade", "ban-uncommitted-transaction",
    "downgrade-loses-rows", "mixed-revision", "renaming-column", "renaming-table", "syntax-error",
    "transaction-nesting", "truncate",
})  # fmt: skip
STYLE = frozenset({
    "ban-char-field", "prefer-bigint-over-int", "prefer-bigint-over-smallint", "prefer-identity", "prefer-text-field",
    "prefer-timestamp-tz", "require-enum-value-ordering", "do-block",
})  # fmt: skip

# The way that this project has, where squawk's advice would leave one to write it oneself.
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

# Words of an ALTER TABLE that can be said twice, whatever squawk thinks of it outside of a transaction.
REPEATABLE = (["set", "not", "null"], ["drop", "not", "null"], ["set", "default"], ["drop", "default"], ["validate"])


@dataclass(frozen=True)
class LintReport:
    """Hold the findings that count, those that a revision allows, and which linter looked."""

    findings: tuple[Finding, ...]
    allowed: tuple[Finding, ...]
    linter: str | None
    """None where squawk is not installed."""


@dataclass(frozen=True)
class LintContext:
    """Hold what is known of the database on which the SQL would run."""

    present: frozenset[sql.Name]
    """Tables and indexes."""
    sizes: Mapping[sql.Name, TableSize]
    new: frozenset[sql.Name]
    """Tables that the plan itself makes, so that nobody uses them yet."""


def lint(
    rendered: Sequence[Rendered],
    present: Mapping[str, Any],
    sizes: Mapping[str, TableSize],
    data_losses: Iterable[Finding],
    program: str | None,
    server_version: str,
) -> LintReport:
    """Return what is unsafe in `rendered` on a database that has the tables `present`, as in its catalog.

    `sizes` are those of the tables that `rendered` touches, `losses` the findings of what a downgrade loses;
    `program` is squawk's, None where it is not installed.
    """
    setting = _setting(rendered, present, sizes)
    looked_at = [_effective(one, setting) for one in rendered]
    found = [*data_losses, *(finding for one, texts in zip(rendered, looked_at, strict=True)
                        for finding in _ours(one, texts, setting))]  # fmt: skip
    waived: list[Finding] = []
    if program is not None and rendered:
        files = [_text(one, texts) for one, texts in zip(rendered, looked_at, strict=True)]
        for complaint in squawk.complain(program, files, server_version):
            one, texts = rendered[complaint.text], looked_at[complaint.text]
            statement = _statement(one, texts, complaint)
            finding = _finding(complaint.rule, one, statement, setting, complaint.message, complaint.help)
            (waived if _is_harmless(finding, one, statement, setting) else found).append(finding)
    kept, allowed, about_comments = allow(rendered, found, waived, linted=program is not None)
    order = {one.revision: place for place, one in enumerate(rendered)}
    counted = sorted([*kept, *about_comments], key=lambda one: (order[one.revision], LEVELS.index(one.level)))
    return LintReport(tuple(counted), tuple(allowed), squawk.version(program) if program else None)


def _setting(rendered: Iterable[Rendered], present: Mapping[str, Any], sizes: Mapping[str, TableSize]) -> LintContext:
    tables = {sql.read_name(name) for name in present}
    indexes = {
        (sql.read_name(name)[0], sql.read_name(index)[1])
        for name, table in present.items()
        for index in table.get("indexes", ())
    }
    read = [sql.read(text) for one in rendered for text in one.written]
    made = {name for one in read if one.verb.startswith("create") and one.verb.endswith("table") for name in one.names}
    return LintContext(
        frozenset(tables | indexes),
        {sql.read_name(name): size for name, size in sizes.items()},
        frozenset(made - tables),
    )


def _effective(one: Rendered, setting: LintContext) -> list[str]:
    """Return a revision's statements without those that do nothing here: IF NOT EXISTS of what is there."""
    return [text for text in one.written if sql.made_if_absent(text) not in setting.present]


def _text(one: Rendered, texts: Iterable[str]) -> str:
    """Return a revision's SQL as the engine sends it, time-outs included, for squawk asks for those."""
    lines = [*_first(one), *(_line(text) for text in texts)]
    return "\n".join([*lines, "COMMIT;"] if one.transactional else lines)


def _first(one: Rendered) -> list[str]:
    local = "LOCAL " if one.transactional else ""
    bounds = [f"SET {local}lock_timeout = '2s';", f"SET {local}statement_timeout = '900s';"]
    return ["BEGIN;", *bounds] if one.transactional else bounds


def _line(text: str) -> str:
    """Return a statement for squawk: a comment at its end hides no semicolon, and none in it silences a rule."""
    return text.replace("squawk-ignore", "squawk ignores") + "\n;"


def _statement(one: Rendered, texts: Sequence[str], complaint: Complaint) -> str:
    """Return the statement that a complaint points into, or nothing for one about the whole."""
    line = len(_first(one))
    for text in texts:
        line += _line(text).count("\n") + 1
        if complaint.line < line:
            return text
    return ""


def _finding(rule: str, one: Rendered, statement: str, setting: LintContext, message: str, remedy: str) -> Finding:
    name = sql.read(statement).table
    size = setting.sizes.get(name) if name else None
    shown = " ".join(statement.split())[:STATEMENT_LENGTH]
    table = None if name is None else name[1] if name[0] == "public" else ".".join(name)
    rows = size.rows if size else None
    return Finding(rule, _level(rule, size), one.revision, message, REMEDIES.get(rule, remedy), shown, table, rows)


def _level(rule: str, size: TableSize | None) -> Level:
    if rule in GROWING:
        small = size is not None and size.rows is not None and size.rows < LARGE_ROWS
        return "warning" if small else "error"
    if rule in STYLE:
        return "note"
    return "error" if rule in BREAKING else "warning"


def _is_harmless(finding: Finding, one: Rendered, text: str, setting: LintContext) -> bool:
    """Tell what squawk could not know: nobody uses a table yet that this plan makes, and the like."""
    statement = sql.read(text)
    if statement.table in setting.new:
        return True
    if finding.rule == "prefer-robust-stmts":
        # a mixed revision is refused as a whole
        return one.mixed or any(statement.contains(*phrase) for phrase in REPEATABLE)
    if finding.rule == "ban-drop-constraint":
        # a helper's own, which it added a moment ago
        name = next(statement.names_after("constraint"), "")
        return any(_adds(other, statement, name) for other in map(sql.read, one.written))
    counted = ("ban-drop-database", "ban-drop-schema")
    return one.direction == "downgrade" and finding.rule.startswith("ban-drop-") and finding.rule not in counted


def _adds(other: sql.Statement, statement: sql.Statement, name: str) -> bool:
    return other.table == statement.table and other.contains("add", "constraint", name)


def _ours(one: Rendered, texts: Iterable[str], setting: LintContext) -> Iterator[Finding]:
    if one.statements is None:
        message = f"Its SQL is not known beforehand: {one.unrendered}. The statements after that were not checked."
        yield Finding("not-rendered", "warning", one.revision, message, "Read the file, and rehearse it on a clone.")
    if one.mixed:
        message = "It has an autocommit block after other statements, so the runner refuses it."
        yield Finding("mixed-revision", "error", one.revision, message, "Move the block into a revision of its own.")
    for text in texts:
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
