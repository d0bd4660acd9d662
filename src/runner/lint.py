"""What is unsafe in revisions: squawk's rules over their SQL, and what squawk cannot know.

It does not know how many rows a table has here, that a table was made a moment ago in the same plan, nor
what a downgrade loses. https://squawkhq.com/docs/rules tells each of its rules.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from runner import squawk
from runner.offline import Rendered
from runner.sizes import Size
from runner.squawk import Complaint

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
    "transaction-nesting",
})  # fmt: skip
STYLE = frozenset({
    "ban-char-field", "prefer-bigint-over-int", "prefer-bigint-over-smallint", "prefer-identity", "prefer-text-field",
    "prefer-timestamp-tz", "require-enum-value-ordering",
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
LEVELS = ("error", "warning", "note")
STATEMENT_LENGTH = 120

NAME = r'(?:(?:"[^"]+"|\w+)\.)?(?:"(?P<quoted>[^"]+)"|(?P<plain>\w+))'
EXISTENCE = r"(?:IF\s+(?:NOT\s+)?EXISTS\s+)?(?:ONLY\s+)?"
OF_TABLE = re.compile(
    r"\s*(?:(?:ALTER|DROP|TRUNCATE)\s+TABLE|CREATE\s+(?:UNLOGGED\s+)?TABLE|TRUNCATE|UPDATE|DELETE\s+FROM|REINDEX\s+TABLE"
    rf"|VACUUM\s+FULL|CLUSTER|COMMENT\s+ON\s+TABLE)\s+{EXISTENCE}{NAME}",
    re.IGNORECASE,
)
OF_INDEX = re.compile(
    rf"\s*CREATE\s+(?:UNIQUE\s+)?INDEX\s+(?:CONCURRENTLY\s+)?{EXISTENCE}\S+\s+ON\s+(?:ONLY\s+)?{NAME}",
    re.IGNORECASE,
)
IDLE = re.compile(
    rf"\s*CREATE\s+(?:TABLE|(?:UNIQUE\s+)?INDEX(?:\s+CONCURRENTLY)?)\s+IF\s+NOT\s+EXISTS\s+{NAME}", re.IGNORECASE
)
MADE = re.compile(rf"\bCREATE\s+(?:UNLOGGED\s+)?TABLE\s+{EXISTENCE}{NAME}", re.IGNORECASE)
ALL_ROWS = re.compile(r"\s*(?:UPDATE|DELETE\s+FROM)\b(?!.*\bWHERE\b)", re.IGNORECASE | re.DOTALL)
# What can be said twice, whatever squawk thinks of it outside of a transaction.
REPEATABLE = re.compile(r"\bALTER\s+(?:COLUMN\s+)?\S+\s+(?:SET|DROP)\s+(?:NOT\s+NULL|DEFAULT)\b", re.IGNORECASE)
DROPPED_CONSTRAINT = re.compile(r"\bDROP\s+CONSTRAINT\s+(?:IF\s+EXISTS\s+)?(\S+?)[\s;,]", re.IGNORECASE)
COMMENT = re.compile(r"#\s*lint-allow\b(?P<said>.*)")
ALLOWED = re.compile(r"\s+(?P<rule>[a-z-]+)\s*:\s*(?P<reason>\S.*)")


@dataclass(frozen=True)
class Finding:
    """Say what is unsafe in one revision."""

    rule: str
    level: str
    """`error`, `warning` or `note`."""
    revision: str
    message: str
    help: str
    statement: str | None = None
    """On one line, cut to 120 characters."""
    table: str | None = None
    rows: int | None = None
    """The planner's estimate for the table; None where there is none."""
    reason: str | None = None
    """Why the revision allows it."""


@dataclass(frozen=True)
class Report:
    """Hold the findings that count, those that a revision allows, and which linter looked."""

    findings: tuple[Finding, ...]
    allowed: tuple[Finding, ...]
    linter: str | None
    """None where squawk is not installed."""


def lint(
    rendered: Sequence[Rendered],
    present: Mapping[str, Any],
    sizes: Mapping[str, Size],
    losses: Iterable[Finding],
    program: str | None,
    server_version: str,
) -> Report:
    """Return what is unsafe in `rendered` on a database that has the tables `present`, as in its catalog.

    `sizes` are those of the tables that `rendered` touches, `losses` the findings of what a downgrade loses;
    `program` is squawk's, None where it is not installed.
    """
    tables = {_bare(name): size for name, size in sizes.items()}
    made = {_name(found) for one in rendered for text in one.statements or () for found in MADE.finditer(text)}
    new = made - {_bare(name) for name in present}
    rendered = [_without_idle(one, present) for one in rendered]
    found = [*losses, *(finding for one in rendered for finding in _ours(one, tables, new))]
    texts = [_text(one) for one in rendered]
    complaints = squawk.complain(program, texts, server_version) if program and rendered else []
    waived: list[Finding] = []
    for complaint in complaints:
        one, statement = rendered[complaint.text], _statement(texts[complaint.text], complaint)
        finding = _finding(complaint.rule, one, statement, tables, complaint.message, complaint.help)
        (waived if _is_harmless(finding, one, statement, new) else found).append(finding)
    kept, allowed, about_comments = _allow(rendered, found, waived, linted=program is not None)
    order = {one.revision: place for place, one in enumerate(rendered)}
    counted = sorted([*kept, *about_comments], key=lambda one: (order[one.revision], LEVELS.index(one.level)))
    return Report(tuple(counted), tuple(allowed), squawk.version(program) if program else None)


def _without_idle(one: Rendered, present: Mapping[str, Any]) -> Rendered:
    """Leave out what does nothing here: IF NOT EXISTS of a table or an index that is there."""
    there = {_bare(name) for name in present}
    there |= {_bare(index) for table in present.values() for index in table.get("indexes", ())}
    idle = (IDLE.match(statement) for statement in one.statements or ())
    pairs = zip(one.statements or (), idle, strict=True)
    kept = tuple(statement for statement, found in pairs if found is None or _name(found) not in there)
    return one if one.statements is None else replace(one, statements=kept)


def _text(one: Rendered) -> str:
    """Return a revision's SQL as the engine sends it, time-outs included, for squawk asks for those."""
    local = "LOCAL " if one.transactional else ""
    bounds = [f"SET {local}lock_timeout = '2s';", f"SET {local}statement_timeout = '900s';"]
    # a comment at the end of one would hide its semicolon
    lines = [*bounds, *(f"{statement}\n;" for statement in one.statements or ())]
    return "\n".join(["BEGIN;", *lines, "COMMIT;"] if one.transactional else lines)


def _statement(text: str, complaint: Complaint) -> str:
    """Return the statement that a complaint points into, of several that one call may send."""
    lines = text.splitlines(keepends=True)
    at = sum(len(line) for line in lines[: complaint.line]) + complaint.column
    end = text.find(";", at)
    return text[text.rfind(";", 0, at) + 1 : None if end < 0 else end + 1].strip()


def _finding(
    rule: str, one: Rendered, statement: str, tables: Mapping[str, Size], message: str, remedy: str
) -> Finding:
    name = _subject(statement)
    size = tables.get(name or "")
    shown = " ".join(statement.split())[:STATEMENT_LENGTH]
    rows = size.rows if size else None
    return Finding(rule, _level(rule, size), one.revision, message, REMEDIES.get(rule, remedy), shown, name, rows)


def _level(rule: str, size: Size | None) -> str:
    if rule in GROWING:
        small = size is not None and size.rows is not None and size.rows < LARGE_ROWS
        return "warning" if small else "error"
    if rule in STYLE:
        return "note"
    return "error" if rule in BREAKING else "warning"


def _subject(statement: str) -> str | None:
    """Return the table that a statement is about, None where it is about something else."""
    found = OF_TABLE.match(statement) or OF_INDEX.match(statement)
    return _name(found) if found else None


def _bare(name: str) -> str:
    return name.rpartition(".")[2].strip('"')


def _name(found: re.Match[str]) -> str:
    return found["quoted"] or found["plain"].lower()


def _is_harmless(finding: Finding, one: Rendered, statement: str, new: set[str]) -> bool:
    """Tell what squawk could not know: nobody uses a table yet that this plan makes, and the like."""
    if finding.table in new:
        return True
    if finding.rule == "prefer-robust-stmts":
        # a mixed revision is refused as a whole
        return one.mixed or REPEATABLE.search(statement) is not None
    if finding.rule == "ban-drop-constraint":
        # a helper's own, which it added a moment ago
        name = DROPPED_CONSTRAINT.search(statement)
        return name is not None and any(f"ADD CONSTRAINT {name[1]} " in text for text in one.statements or ())
    return one.direction == "downgrade" and finding.rule.startswith("ban-drop-")


def _ours(one: Rendered, tables: Mapping[str, Size], new: set[str]) -> Iterator[Finding]:
    if one.statements is None:
        message = f"Nobody knows its SQL beforehand: {one.unrendered}. squawk has not seen it."
        yield Finding("not-rendered", "warning", one.revision, message, "Read the file, and rehearse it on a clone.")
    if one.mixed:
        message = "It has an autocommit block after other statements, so the engine refuses to run it."
        yield Finding("mixed-revision", "error", one.revision, message, "Put the block into a revision of its own.")
    for statement in one.statements or ():
        if ALL_ROWS.match(statement) and (name := _subject(statement)) not in new:
            message = f"It writes every row of `{name}` in one transaction, and keeps them all locked until its end."
            remedy = "Write them in batches from outside of the migration."
            yield _finding("update-all-rows", one, statement, tables, message, remedy)


@dataclass(frozen=True)
class _Allowance:
    """A comment in a revision that allows a rule's findings."""

    revision: str
    rule: str
    reason: str | None
    """None for a comment that is not `# lint-allow RULE: reason`; `rule` is then what it says."""

    def covers(self, finding: Finding) -> bool:
        return self.reason is not None and (finding.revision, finding.rule) == (self.revision, self.rule)


def _allow(
    rendered: Iterable[Rendered], found: Iterable[Finding], waived: Iterable[Finding], *, linted: bool
) -> tuple[list[Finding], list[Finding], list[Finding]]:
    """Part the findings into those that count and those that a comment allows, and find the idle comments."""
    found = list(found)
    allowances = [allowance for one in rendered for allowance in _allowances(one)]
    by = {(one.revision, one.rule): one.reason for one in allowances if one.reason is not None}
    kept = [finding for finding in found if (finding.revision, finding.rule) not in by]
    allowed = [replace(one, reason=by[one.revision, one.rule]) for one in found if one not in kept]
    idle = []
    for allowance in allowances:
        if allowance.reason is None:
            message = f"The comment `lint-allow{allowance.rule}` allows nothing: it names no one rule with a reason."
            remedy = "Write `# lint-allow RULE: ` and why, a comment for each rule."
            idle.append(Finding("suppression-without-reason", "warning", allowance.revision, message, remedy))
        elif linted and not any(allowance.covers(finding) for finding in [*found, *waived]):
            message = f"A comment allows `{allowance.rule}`, which is not found."
            idle.append(Finding("unused-suppression", "warning", allowance.revision, message, "Take it out."))
    return kept, allowed, idle


def _allowances(one: Rendered) -> Iterator[_Allowance]:
    """Yield what the comments allow in the direction that is planned; those outside `downgrade()` are for upgrades."""
    functions = [node for node in ast.parse(one.source).body if isinstance(node, ast.FunctionDef)]
    lines = {line for node in functions if node.name == "downgrade" for line in range(node.lineno, _end(node) + 1)}
    for token in tokenize.generate_tokens(io.StringIO(one.source).readline):
        comment = COMMENT.match(token.string) if token.type == tokenize.COMMENT else None
        if comment and (token.start[0] in lines) == (one.direction == "downgrade"):
            said = ALLOWED.fullmatch(comment["said"])
            rule, reason = (said["rule"], said["reason"]) if said else (comment["said"], None)
            yield _Allowance(one.revision, rule, reason)


def _end(node: ast.FunctionDef) -> int:
    return node.end_lineno or node.lineno
