"""An answer as tables and texts for people, and as Markdown for a comment on a pull request."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from runner.answer import Answer
from runner.results import (
    ActivityResult,
    CheckResult,
    CurrentResult,
    DescribedRevision,
    DoctorResult,
    FilesResult,
    Finding,
    HeadsResult,
    HistoricRevision,
    HistoryResult,
    MigrationsResult,
    PlannedRevision,
    PlanResult,
    PreparedTransaction,
    PromoteResult,
    RehearsalResult,
    RehearsedRevision,
    Session,
    ShownRevision,
    ShowResult,
    SizesResult,
    TableSize,
    UnreadResult,
    estimated,
)

Row = dict[str, str]
# What a body calls by a bare name, so not `op.execute`.
HELPER = re.compile(r"^ *(\w+)\(", re.MULTILINE)

LONGEST_COMMENT = 65_536
"""The characters of the longest comment that GitHub accepts; its API refuses a longer body."""


@dataclass(frozen=True)
class Section:
    """A table, or a text in a language."""

    title: str
    rows: list[Row] = field(default_factory=list)
    text: str = ""
    language: str = ""
    sentences: tuple[str, ...] = ()
    """The columns with cells too long for a table on a terminal."""
    commands: tuple[str, ...] = ()
    """Of these, the columns whose cells are copied, so that they stay on one line."""
    below: tuple[str, ...] = ()
    """The columns that a narrow terminal shows below their rows, the first ones first."""

    @property
    def columns(self) -> list[str]:
        """Return the columns in which at least one row has text."""
        return [name for name in self.rows[0] if any(row[name] for row in self.rows)]


def sections(answer: Answer) -> list[Section]:
    """Return the tables and texts that an answer shows beside its message, without empty ones."""
    return [section for section in _sections(answer) if section.rows or section.text]


def _sections(answer: Answer) -> Iterator[Section]:  # noqa: C901 - one case for each result
    match answer.result:
        case PlanResult() as plan:
            yield from _of_plan(plan, answer)
        case RehearsalResult() as rehearsal:
            rehearsed = [_rehearsed(revision) for revision in rehearsal.revisions]
            yield Section("Revisions", rehearsed, below=("why", "locks", "rows written", "rewrites"))
            # a table of its own: with another column, that of the revisions would need more than 80 characters
            yield Section("Rows read while a lock blocked others", [
                {"revision": one.revision, "table": table, "rows": f"{rows:,}"}
                for one in rehearsal.revisions for table, rows in one.rows_read.items()
            ])  # fmt: skip
            yield from _of_findings(rehearsal)
        case CheckResult() as check:
            yield from _of_check(check)
        case HeadsResult(revisions=revisions):
            yield Section("Revisions", [_described(revision) for revision in revisions], below=("description",))
        case HistoryResult(revisions=historic):
            rows = [_historic(revision) for revision in historic]
            yield Section("Revisions", rows, below=("description", "image", "follows"))
        case ShowResult(revisions=shown):
            yield Section("Revisions", [_shown(revision) for revision in shown], below=("description",))
            yield from (Section(revision.revision, text=revision.text.rstrip()) for revision in shown)
        case SizesResult(tables=tables):
            yield _sizes(tables)
        case ActivityResult() as activity:
            yield from _of_activity(activity)
        case DoctorResult(checks=checks):
            yield Section("Checks", [vars(check) for check in checks], below=("advice", "told"))
        # a promotion that failed after the proof has no digest, and its message says all
        case PromoteResult(image_digest=str()) as promotion:
            yield Section("Promotion", [_promotion(promotion)])
        # lists of words: one a line, for a shell that reads them
        case CurrentResult(current=current):
            yield Section("current", text="\n".join(current))
        case MigrationsResult(executed=executed):
            yield Section("executedMigrations", text="\n".join(executed))
        case UnreadResult():
            told = "The details are of another version than this command; `--json` prints them."
            yield Section("Details", text=told)
        case FilesResult(files=files):
            yield Section("files", text="\n".join(files))


def markdown(answer: Answer) -> str:
    """Return the answer as Markdown with folded texts, or without texts where a comment would be too long."""
    shown = sections(answer)
    whole = _markdown(answer, shown)
    if len(whole) <= LONGEST_COMMENT:
        return whole
    short = _markdown(answer, [section for section in shown if section.rows])
    note = "\n_The texts are left out because a comment cannot be longer; `--json` has them._\n"
    return short[: LONGEST_COMMENT - len(note)] + note


def _described(revision: DescribedRevision) -> Row:
    follows = revision.down_revision or "base"
    return {"revision": revision.revision, "follows": follows, "description": revision.description}


def _shown(revision: ShownRevision) -> Row:
    return _described(revision) | {"checksum": revision.checksum[:12]}


def _historic(revision: HistoricRevision) -> Row:
    row = revision.ledger
    return _described(revision) | {
        "state": _state(revision),
        "when (UTC)": _moment(row.started_at) if row else "",
        "took": _ms(row.duration_ms) if row else "",
        "who": (row.actor or "") if row else "",
        # `sha256:` and 12 digits, by which images are usually named
        "image": (row.image_digest or "")[:19] if row else "",
    }


def _state(revision: HistoricRevision) -> str:
    """Return the state, and for a pending revision also how its last run ended."""
    if revision.ledger is None:
        return revision.state
    if revision.ledger.status in ("failed", "interrupted"):
        code = f" ({revision.ledger.error_code})" if revision.ledger.error_code else ""
        return f"{revision.state}, {revision.ledger.status} last{code}"
    return "reverted" if revision.state == "pending" and revision.ledger.direction == "downgrade" else revision.state


def _moment(started_at: str | None) -> str:
    return str(started_at)[:19].replace("T", " ")


def _of_plan(plan: PlanResult, answer: Answer) -> Iterator[Section]:
    if plan.plan:
        target = str(answer.change.target if answer.change else None)
        yield Section("Plan", [{"plan": plan.plan, "target": target}])
    yield Section("Revisions", [
        {
            "revision": one.revision,
            "description": one.description,
            "direction": one.direction,
            "transaction": "one" if one.transactional else "none",
            "touches": ", ".join(one.tables),
            "adopts": ", ".join(one.adopts),
        }
        for one in plan.revisions
    ], below=("description", "touches", "adopts"))  # fmt: skip
    yield _sizes(plan.tables)
    yield from _of_findings(plan)
    for one in plan.revisions:
        yield Section(f"SQL of {one.revision}", text=_sql(one, answer.left_out), language="sql")


def _sizes(tables: Iterable[TableSize]) -> Section:
    return Section("Tables", [
        {"table": one.table, "rows (estimate)": _rows(one.rows), "size": _size(one.bytes)} for one in tables
    ])  # fmt: skip


def _of_findings(result: PlanResult | RehearsalResult) -> Iterator[Section]:
    for title, findings in (("Findings", result.findings), ("Allowed by a comment", result.allowed)):
        rows = [_finding(one) for one in findings]
        yield Section(title, rows, sentences=("where", "what", "statement", "instead", "reason"))
    for finding in result.findings:
        # a text, not a cell: what is wrapped cannot be pasted
        if finding.instead:
            title = f"Instead, for {finding.rule} in {finding.revision}"
            yield Section(title, text=_python(finding), language="python")


def _finding(finding: Finding) -> Row:
    rows = "" if finding.rows is None else f" ({estimated(finding.rows)})"
    return {
        "level": finding.level,
        "rule": finding.rule,
        "revision": finding.revision,
        "table": f"{finding.table}{rows}" if finding.table else "",
        "where": ":".join(str(part) for part in (finding.path, finding.line) if part is not None),
        "what": finding.message,
        "statement": finding.statement or "",
        "instead": finding.help,
        "reason": finding.reason or "",
    }


def _python(finding: Finding) -> str:
    """Return what to write instead with its import, and a comment above each revision where there are several."""
    total = len(finding.instead)
    helpers = sorted({name for body in finding.instead for name in HELPER.findall(body)})
    imported = [f"from runner.operations import {', '.join(helpers)}"] if helpers else []
    bodies = [f"# revision {number} of {total}\n{body}" for number, body in enumerate(finding.instead, 1)]
    return "\n\n".join((*imported, *(bodies if total > 1 else finding.instead)))


def _sql(revision: PlannedRevision, left_out: str | None) -> str:
    # without SQL and without a reason for that, the answer's limit has cut it
    if revision.sql is not None:
        return "\n".join(revision.sql) or "-- nothing"
    return f"-- not known beforehand: {revision.unrendered}" if revision.unrendered else f"-- {left_out}"


def _rehearsed(revision: RehearsedRevision) -> Row:
    lock = revision.strongest
    return {
        "revision": revision.revision,
        "outcome": revision.outcome,
        "took": _ms(revision.duration_ms),
        # None for 0, so that the column is left out where nothing waited
        "waited": _ms(revision.lock_wait_ms or None),
        "rows written": ", ".join(f"{table} {rows:,}" for table, rows in revision.rows_written.items()),
        "rewrites": ", ".join(revision.rewritten),
        "locks": ", ".join(f"{table} {mode.removesuffix('Lock')}" for table, mode in revision.locks.items()),
        "blocks the application": f"{lock.table} for {_ms(lock.held_ms)}" if lock and lock.blocks else "",
        "why": revision.reason or "",
    }


def _of_check(check: CheckResult) -> Iterator[Section]:
    yield Section("Findings", [
        {"level": one.level, "kind": one.kind, "name": one.name, "what": one.message, "to do": one.help}
        for one in check.findings
    ], sentences=("what", "to do"))  # fmt: skip
    yield Section("Accepted drift", [
        {"kind": one.kind, "name": one.name, "found": one.found or "", "reason": one.reason} for one in check.accepted
    ], below=("reason", "found"))  # fmt: skip
    entries = "\n".join(one.entry for one in check.findings if one.entry)
    yield Section("To accept the drift, with a reason for each", text=entries, language="toml")


def _of_activity(activity: ActivityResult) -> Iterator[Section]:
    long = ("does", "transaction", "progress", "holds", "waits for", "blocks", "statement", "to end it")
    sessions = [_session(one) for one in activity.sessions]
    prepared = [_prepared(one) for one in activity.prepared]
    yield Section("Sessions", sessions, sentences=long, commands=("to end it",))
    yield Section("Prepared transactions", prepared, sentences=long, commands=("to end it",))


def _session(one: Session) -> Row:
    named = [str(pid) if pid else "a prepared transaction" for pid in one.blocked_by]
    holds = [f"{table} {mode.removesuffix('Lock')}" for table, mode in one.locks.items()]
    return {
        "pid": str(one.pid),
        "login": one.login,
        "application": one.application,
        "does": one.doing,
        "transaction": f"open for {one.transaction_s:,.0f} s" if one.transaction_s else "",
        "progress": str(one.progress or ""),
        "holds": ", ".join([*(["the migration lock"] if one.holds_migration_lock else []), *holds]),
        "waits for": f"{one.waits_for}, held by {', '.join(named)}" if one.waits_for else "",
        "blocks": ", ".join(map(str, one.blocks)),
        "statement": one.statement or "",
        "to end it": (one.hint or "").replace("`", ""),
    }


def _prepared(one: PreparedTransaction) -> Row:
    return {
        "transaction": one.name,
        "owner": one.owner,
        "age": f"{one.age_s:,.0f} s",
        "holds": ", ".join(f"{table} {mode.removesuffix('Lock')}" for table, mode in one.locks.items()),
        "to end it": one.ending,
    }


def _promotion(promotion: PromoteResult) -> Row:
    return {
        "environment": str(promotion.environment),
        "image": str(promotion.image_digest),
        "tag": str(promotion.tag),
        "recorded in": str(promotion.parameter),
    }


def _ms(duration_ms: float | None) -> str:
    return "" if duration_ms is None else f"{duration_ms:,.0f} ms"


def _rows(rows: int | None) -> str:
    return "never analysed" if rows is None else f"{rows:,}"


def _size(number: int) -> str:
    for unit, size in (("GB", 1 << 30), ("MB", 1 << 20), ("kB", 1 << 10)):
        if number >= size:
            return f"{number / size:,.1f} {unit}"
    return f"{number} B"


def _markdown(answer: Answer, shown: list[Section]) -> str:
    parts = [f"### `migrate {answer.action}`", _cell(answer.message)]
    if answer.left_out is not None:
        parts.append(f"_Not the whole answer: {_cell(answer.left_out)}._")
    for section in shown:
        if section.rows:
            parts.append(f"**{section.title}**\n\n{_table(section)}")
        else:
            # a fence is longer than any in the text, which could otherwise end it
            fence = "`" * (1 + max(map(len, re.findall("`{3,}", section.text)), default=2))
            text = f"{fence}{section.language}\n{section.text}\n{fence}"
            parts.append(f"<details><summary>{_cell(section.title)}</summary>\n\n{text}\n</details>")
    return "\n\n".join(parts) + "\n"


def _table(section: Section) -> str:
    lines = [section.columns, ["---"] * len(section.columns)]
    lines += [[row[name] for name in section.columns] for row in section.rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(text: str) -> str:
    """Return a text in which no character ends the cell or begins a tag."""
    # every second part is a code span, where `&lt;` would be shown as it is written; an odd backtick opens none
    parts = text.split("`")
    code = len(parts) % 2 == 1
    shown = [
        part if code and place % 2 else part.replace("&", "&amp;").replace("<", "&lt;")
        for place, part in enumerate(parts)
    ]
    return " ".join("`".join(shown).replace("|", "\\|").splitlines())
