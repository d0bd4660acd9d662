"""What the rules find in a plan: our own rules over its parse trees, and squawk's rules of style over its text.

squawk reads one text and no database: https://squawkhq.com/docs/rules. What does harm depends on the database, so those
rules are our own, and squawk's of the same purpose are turned off.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

from postgast import nodes

from runner.lint import rules, squawk
from runner.lint.parsing import nesting
from runner.lint.report import excerpt
from runner.lint.rule import Rule, Violation
from runner.lint.state.database import Database, describe
from runner.lint.state.statement import Revision, Statement, arrange, shown
from runner.lint.state.tables import TEMPORARY
from runner.postgres import sql
from runner.results import Finding, Level
from runner.script.allowances import MARK
from runner.script.offline import Rendered

# squawk's rules whose purpose a rule of ours has under another name.
REPLACED = frozenset({
    "ban-alter-domain-with-add-constraint", "prefer-repack", "require-lock-timeout", "require-statement-timeout",
    "require-timeout-settings",
})  # fmt: skip
# What squawk finds that makes a revision fail or that a run refuses; all else of squawk's is a warning or of style.
BREAKING = frozenset({"ban-alter-identity", "ban-uncommitted-transaction", "transaction-nesting"})
STYLE = frozenset({
    "ban-char-field", "ban-create-domain-with-constraint",
    "prefer-bigint-over-int", "prefer-bigint-over-smallint", "prefer-identity", "prefer-text-field",
    "prefer-timestamp-tz", "require-enum-value-ordering",
})  # fmt: skip

REST = " What else the statement does is not in the calls: keep it as a statement of its own."

# ALTER TABLE actions that succeed a second time; squawk's `prefer-robust-stmts` reports them outside a transaction.
REPEATABLE = (["set", "not", "null"], ["drop", "not", "null"], ["set", "default"], ["drop", "default"], ["validate"])


def find(rendered: Sequence[Rendered], database: Database, program: str) -> tuple[list[Finding], list[Finding]]:
    """Return the findings for `rendered` on `database`, and those that do no harm here, but may on another database.

    `program` is the path of squawk.
    """
    revisions = arrange(rendered, map(_sent, rendered), database)
    findings = [found for one in revisions for found in _find(one)]
    harmless = [*_elsewhere(rendered, database.version)]
    if revisions:
        for found, is_harmless in _complaints(program, revisions):
            (harmless if is_harmless else findings).append(found)
    return findings, harmless


def _elsewhere(rendered: Iterable[Rendered], version: str) -> Iterator[Finding]:
    """Yield what each revision with an allowance does where all tables are there that it names, and none is small."""
    anywhere = describe({"tables": {}}, {}, version, complete=False)
    for one in rendered:
        if MARK in one.source:
            for revision in arrange([one], [_sent(one)], anywhere):
                yield from _find(revision)


def _sent(revision: Rendered) -> list[str]:
    """Return a revision's texts, except those that end the transaction: these are refused, or they are not sent."""
    ends = sql.ends_transaction if revision.transactional else lambda _: False
    return [text for text in revision.rendered if not ends(text)]


def _find(revision: Revision) -> Iterator[Finding]:
    """Yield what our own rules find in a revision."""
    for rule in rules.load():
        for one in rule.find(revision):
            yield _finding(rule, one, revision)


def _finding(rule: Rule, one: Violation, revision: Revision) -> Finding:
    table, statement = one.table, one.statement
    has_rows = table is not None and table.origin is not None
    return Finding(
        rule.id,
        one.level,
        revision.rendered.revision,
        one.message,
        one.remedy + (REST if one.instead and _has_rest(statement) else ""),
        excerpt(statement.text) if statement is not None else None,
        shown(table.name) if table is not None else None,
        revision.database.rows(table) if has_rows else None,
        instead=one.instead,
        line=revision.rendered.line_of(statement.sent) if statement is not None else None,
    )


def _has_rest(statement: Statement | None) -> bool:
    """Return whether a statement does several things, of which a remedy replaces one."""
    match statement:
        case Statement(node=nodes.AlterTableStmt(cmds=actions)):
            return len(actions) > 1
        case Statement(node=nodes.DropStmt(objects=objects)):
            return len(objects) > 1
    return False


def _complaints(program: str, revisions: Sequence[Revision]) -> Iterator[tuple[Finding, bool]]:
    """Yield the findings of squawk, each with whether it does no harm here."""
    # one process for all revisions, since each start takes time
    texts = [_text(one.rendered, one.texts) for one in revisions]
    ends = [_ends(one.rendered, one.texts) for one in revisions]
    own = {rule.id for rule in rules.load()}
    for complaint in squawk.complain(program, texts, revisions[0].database.version):
        if complaint.rule in REPLACED:
            continue
        revision = revisions[complaint.text]
        at = bisect_right(ends[complaint.text], complaint.line)
        # none for a complaint about the whole text
        text = revision.texts[at] if at < len(revision.texts) else ""
        # the tables as they are before the statement, which may be made or renamed by an earlier one
        before = next((one.before for one in revision.statements if one.place >= at), revision.database.tables)
        name = sql.read(text).table
        if name is not None and before.has((TEMPORARY, name[1])):
            name = TEMPORARY, name[1]
        table = before.find(name) if name is not None else None
        has_rows = table is not None and table.origin is not None
        rows = revision.database.rows(table) if has_rows else None
        finding = Finding(
            complaint.rule,
            _level(complaint.rule),
            revision.rendered.revision,
            complaint.message,
            complaint.help,
            excerpt(text),
            shown(name) if name is not None else None,
            rows,
            line=revision.rendered.line_of(text),
        )
        # where our rule of that name finds nothing, it may find something on another database
        is_own = complaint.rule in own
        is_new = name is not None and complaint.rule not in BREAKING and before.is_new(name)
        yield finding, is_own or is_new or _is_harmless(complaint.rule, revision.rendered, text)


def _level(rule: str) -> Level:
    if rule in STYLE:
        return "note"
    return "error" if rule in BREAKING else "warning"


def _is_harmless(rule: str, revision: Rendered, text: str) -> bool:
    """Return whether a finding of squawk does no harm, for reasons that are not in the text it reads."""
    if rule == "prefer-robust-stmts":
        # a mixed revision has an error of its own
        statement = sql.read(text)
        return revision.mixed or any(statement.contains(*phrase) for phrase in REPEATABLE)
    # a downgrade drops what its upgrade created
    return revision.direction == "downgrade" and rule.startswith("ban-drop-")


def _text(revision: Rendered, statements: Iterable[str]) -> str:
    """Return a revision's SQL as the engine sends it."""
    lines = [*_preamble(revision), *(_line(statement) for statement in statements)]
    return "\n".join([*lines, "COMMIT;"] if revision.transactional else lines)


def _preamble(revision: Rendered) -> list[str]:
    return ["BEGIN;"] if revision.transactional else []


def _line(statement: str) -> str:
    """Return a statement for squawk, as many empty lines for one whose depth would end the process."""
    if nesting.is_too_deep(statement):
        return "\n" * statement.count("\n") + "\n;"
    # an allowance needs a reason, so squawk's own comment must not work; a comment at the end would hide the semicolon
    return statement.replace("squawk-ignore", "squawk ignores") + "\n;"


def _ends(revision: Rendered, statements: Iterable[str]) -> list[int]:
    """Return the line of `_text` behind each statement: squawk gives a line, and a statement may have several."""
    lengths = (_line(statement).count("\n") + 1 for statement in statements)
    return [*accumulate(lengths, initial=len(_preamble(revision)))][1:]
