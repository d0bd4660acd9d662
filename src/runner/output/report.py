"""An answer as tables and texts for people, and as Markdown for the comment of a pull request."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from runner.answer import Answer
from runner.results import (
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
    PromoteResult,
    RehearsalResult,
    RehearsedRevision,
    ShowResult,
)

Row = dict[str, str]

LONGEST_COMMENT = 65_536
"""Characters that GitHub takes in one comment."""


@dataclass(frozen=True)
class Section:
    """Hold one table, or one text in a language."""

    title: str
    rows: list[Row] = field(default_factory=list)
    text: str = ""
    language: str = ""
    sentences: tuple[str, ...] = ()
    """The columns whose cells are too long for a table on a terminal."""

    @property
    def columns(self) -> list[str]:
        """Name the columns that at least one row fills."""
        return [name for name in self.rows[0] if any(row[name] for row in self.rows)]


def sections(answer: Answer) -> list[Section]:
    """Return what an answer shows beside its message, without what is empty."""
    return [section for section in _sections(answer) if section.rows or section.text]


def _sections(answer: Answer) -> Iterator[Section]:  # noqa: C901 - one case for each result
    match answer.result:
        case PlanResult() as plan:
            yield from _of_plan(plan, answer)
        case RehearsalResult(revisions=revisions):
            yield Section("Revisions", [_rehearsed(one) for one in revisions])
        case CheckResult() as check:
            yield from _of_check(check)
        case HeadsResult(revisions=revisions):
            yield Section("Revisions", [_described(one) for one in revisions])
        case HistoryResult(revisions=historic):
            yield Section("Revisions", [_historic(one) for one in historic])
        case ShowResult(revisions=shown):
            yield Section("Revisions", [_described(one) | {"checksum": one.checksum[:12]} for one in shown])
            yield from (Section(one.revision, text=one.text.rstrip()) for one in shown)
        case DoctorResult(checks=checks):
            yield Section("Checks", [vars(one) for one in checks])
        case PromoteResult(image_digest=str()) as promotion:
            yield Section("Promotion", [_promotion(promotion)])
        case CurrentResult(current=current):
            yield Section("current", text="\n".join(current))
        case MigrationsResult(executed=executed):
            yield Section("executedMigrations", text="\n".join(executed))
        case FilesResult(files=files):
            yield Section("files", text="\n".join(files))


def markdown(answer: Answer) -> str:
    """Return the answer as Markdown; texts are folded, and left out where the whole would be too long for a comment."""
    found = sections(answer)
    whole = _markdown(answer, found)
    if len(whole) <= LONGEST_COMMENT:
        return whole
    short = _markdown(answer, [section for section in found if section.rows])
    note = "\n_Its texts are left out, since a comment cannot be longer; `--json` has them._\n"
    return short[: LONGEST_COMMENT - len(note)] + note


def _described(one: DescribedRevision) -> Row:
    return {"revision": one.revision, "follows": one.down_revision or "base", "description": one.description}


def _historic(one: HistoricRevision) -> Row:
    known = one.ledger
    return _described(one) | {
        "state": _state(one),
        "when (UTC)": _moment(known.started_at) if known else "",
        "took": _ms(known.duration_ms) if known else "",
        "who": (known.actor or "") if known else "",
        "image": (known.image_digest or "")[:19] if known else "",
    }


def _state(one: HistoricRevision) -> str:
    """Say of a pending revision that it was tried or reverted before."""
    if one.ledger is None:
        return one.state
    if one.ledger.status in ("failed", "interrupted"):
        return f"{one.state}, {one.ledger.status} last"
    return "reverted" if one.state == "pending" and one.ledger.direction == "downgrade" else one.state


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
    ])  # fmt: skip
    yield Section("Tables", [
        {"table": one.table, "rows (estimate)": _rows(one.rows), "size": _size(one.bytes)} for one in plan.tables
    ])  # fmt: skip
    for title, findings in (("Findings", plan.findings), ("Allowed by a comment", plan.allowed)):
        rows = [_finding(one) for one in findings]
        yield Section(title, rows, sentences=("what", "statement", "instead", "reason"))
    for one in plan.revisions:
        yield Section(f"SQL of {one.revision}", text=_sql(one, answer.left_out), language="sql")


def _finding(one: Finding) -> Row:
    rows = "" if one.rows is None else f" (about {one.rows:,} rows)"
    return {
        "level": one.level,
        "rule": one.rule,
        "revision": one.revision,
        "table": f"{one.table}{rows}" if one.table else "",
        "what": one.message,
        "statement": one.statement or "",
        "instead": one.help,
        "reason": one.reason or "",
    }


def _sql(one: PlannedRevision, left_out: str | None) -> str:
    if one.sql is not None:
        return "\n".join(one.sql) or "-- nothing"
    return f"-- not known beforehand: {one.unrendered}" if one.unrendered else f"-- {left_out}"


def _rehearsed(one: RehearsedRevision) -> Row:
    held = one.strongest
    return {
        "revision": one.revision,
        "outcome": one.outcome,
        "took": _ms(one.duration_ms),
        "waited": _ms(one.lock_wait_ms or None),
        "rows written": ", ".join(f"{table} {rows:,}" for table, rows in one.rows_written.items()),
        "rewrites": ", ".join(one.rewritten),
        "locks": ", ".join(f"{table} {mode.removesuffix('Lock')}" for table, mode in one.locks.items()),
        "blocks the application": f"{held.table} for {_ms(held.held_ms)}" if held and held.blocks else "",
        "why": one.reason or "",
    }


def _of_check(check: CheckResult) -> Iterator[Section]:
    yield Section("Findings", [
        {"level": one.level, "kind": one.kind, "name": one.name, "what": one.message, "to do": one.help}
        for one in check.findings
    ], sentences=("what", "to do"))  # fmt: skip
    yield Section("Accepted drift", [
        {"kind": one.kind, "name": one.name, "found": one.found or "", "reason": one.reason} for one in check.accepted
    ])  # fmt: skip
    entries = "\n".join(one.entry for one in check.findings if one.entry)
    yield Section("To accept the drift, with a reason each", text=entries, language="toml")


def _promotion(one: PromoteResult) -> Row:
    return {
        "environment": str(one.environment),
        "image": str(one.image_digest),
        "tag": str(one.tag),
        "recorded in": str(one.parameter),
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


def _markdown(answer: Answer, found: list[Section]) -> str:
    parts = [f"### `migrate {answer.action}`", _cell(answer.message)]
    for section in found:
        if section.rows:
            parts.append(f"**{section.title}**\n\n{_table(section)}")
        else:
            fence = "`" * (1 + max(map(len, re.findall("`{3,}", section.text)), default=2))
            text = f"{fence}{section.language}\n{section.text}\n{fence}"
            parts.append(f"<details><summary>{_cell(section.title)}</summary>\n\n{text}\n</details>")
    return "\n\n".join(parts) + "\n"


def _table(section: Section) -> str:
    lines = [section.columns, ["---"] * len(section.columns)]
    lines += [[row[name] for name in section.columns] for row in section.rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(text: str) -> str:
    """Return a text that neither ends a cell nor begins a tag; in a code span, `&lt;` would stay `&lt;`."""
    parts = text.split("`")
    code = len(parts) % 2 == 1
    shown = [
        part if code and place % 2 else part.replace("&", "&amp;").replace("<", "&lt;")
        for place, part in enumerate(parts)
    ]
    return " ".join("`".join(shown).replace("|", "\\|").splitlines())
