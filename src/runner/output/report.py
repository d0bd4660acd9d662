"""An answer as tables and texts for people, and as Markdown for the comment of a pull request."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

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


def sections(answer: dict[str, Any]) -> list[Section]:
    """Return what an answer shows beside its message, without what is empty."""
    make = MAKERS.get(str(answer["action"]), _of_revisions)
    return [section for section in make(answer) if section.rows or section.text]


def markdown(answer: dict[str, Any]) -> str:
    """Return the answer as Markdown; texts are folded, and left out where the whole would be too long for a comment."""
    found = sections(answer)
    whole = _markdown(answer, found)
    if len(whole) <= LONGEST_COMMENT:
        return whole
    short = _markdown(answer, [section for section in found if section.rows])
    note = "\n_Its texts are left out, since a comment cannot be longer; `--json` has them._\n"
    return short[: LONGEST_COMMENT - len(note)] + note


def _of_revisions(answer: dict[str, Any]) -> Iterator[Section]:
    found = answer.get("revisions", [])
    yield Section("Revisions", [_revision(one) for one in found] or answer.get("checks", []))
    for one in found:
        yield Section(one["revision"], text=(one.get("text") or "").rstrip())
    for key in ("current", "executedMigrations", "files"):
        yield Section(key, text="\n".join(answer.get(key, [])))


def _revision(one: dict[str, Any]) -> Row:
    known = one.get("ledger") or {}
    row = {
        "revision": one["revision"],
        "follows": one["down_revision"] or "base",
        "description": one["description"],
    }
    if "state" in one:
        row |= {
            "state": _state(one["state"], known),
            "when (UTC)": str(known.get("started_at", ""))[:19].replace("T", " "),
            "took": _ms(known.get("duration_ms")),
            "who": known.get("actor") or "",
            "image": (known.get("image_digest") or "")[:19],
        }
    if "checksum" in one:
        row |= {"checksum": one["checksum"][:12]}
    return row


def _state(state: str, known: dict[str, Any]) -> str:
    """Say of a pending revision that it was tried or reverted before."""
    if known.get("status") in ("failed", "interrupted"):
        return f"{state}, {known['status']} last"
    return "reverted" if state == "pending" and known.get("direction") == "downgrade" else state


def _of_plan(answer: dict[str, Any]) -> Iterator[Section]:
    revisions = answer.get("revisions", [])
    if answer.get("plan"):
        yield Section("Plan", [{"plan": answer["plan"], "target": answer["target"]}])
    yield Section("Revisions", [
        {
            "revision": one["revision"],
            "description": one["description"],
            "direction": one["direction"],
            "transaction": "one" if one["transactional"] else "none",
            "touches": ", ".join(one["tables"]),
            "adopts": ", ".join(one["adopts"]),
        }
        for one in revisions
    ])  # fmt: skip
    tables = answer.get("tables", [])
    yield Section("Tables", [
        {"table": one["table"], "rows (estimate)": _rows(one["rows"]), "size": _size(one["bytes"])} for one in tables
    ])  # fmt: skip
    for title, key in (("Findings", "findings"), ("Allowed by a comment", "allowed")):
        rows = [_finding(one) for one in answer.get(key, [])]
        yield Section(title, rows, sentences=("what", "statement", "instead", "reason"))
    for one in revisions:
        yield Section(f"SQL of {one['revision']}", text=_sql(one, answer), language="sql")


def _finding(one: dict[str, Any]) -> Row:
    rows = "" if one["rows"] is None else f" (about {one['rows']:,} rows)"
    return {
        "level": one["level"],
        "rule": one["rule"],
        "revision": one["revision"],
        "table": f"{one['table']}{rows}" if one["table"] else "",
        "what": one["message"],
        "statement": one["statement"] or "",
        "instead": one["help"],
        "reason": one["reason"] or "",
    }


def _sql(one: dict[str, Any], answer: dict[str, Any]) -> str:
    if one["sql"] is not None:
        return "\n".join(one["sql"]) or "-- nothing"
    return f"-- not known beforehand: {one['unrendered']}" if one["unrendered"] else f"-- {answer['left_out']}"


def _of_rehearsal(answer: dict[str, Any]) -> Iterator[Section]:
    yield Section("Revisions", [
        {
            "revision": one["revision"],
            "outcome": one["outcome"],
            "took": _ms(one["duration_ms"]),
            "waited": _ms(one["lock_wait_ms"] or None),
            "rows written": ", ".join(f"{table} {rows:,}" for table, rows in one["rows_written"].items()),
            "rewrites": ", ".join(one["rewritten"]),
            "locks": ", ".join(f"{table} {mode.removesuffix('Lock')}" for table, mode in one["locks"].items()),
            "blocks the application": _held(one["strongest"]),
            "why": one["reason"] or "",
        }
        for one in answer.get("revisions", [])
    ])  # fmt: skip


def _held(held: dict[str, Any] | None) -> str:
    return f"{held['table']} for {_ms(held['held_ms'])}" if held and held["blocks"] else ""


def _of_check(answer: dict[str, Any]) -> Iterator[Section]:
    findings = answer.get("findings", [])
    yield Section("Findings", [
        {name: one[key] for name, key in (("level", "level"), ("kind", "kind"), ("name", "name"), ("what", "message"))}
        | {"to do": one["help"]}
        for one in findings
    ], sentences=("what", "to do"))  # fmt: skip
    yield Section("Accepted drift", [
        {"kind": one["kind"], "name": one["name"], "found": one["found"] or "", "reason": one["reason"]}
        for one in answer.get("accepted", [])
    ])  # fmt: skip
    entries = "\n".join(one["entry"] for one in findings if one["entry"])
    yield Section("To accept the drift, with a reason each", text=entries, language="toml")


def _of_promotion(answer: dict[str, Any]) -> Iterator[Section]:
    if "image_digest" in answer:
        columns = {"environment": "environment", "image": "image_digest", "tag": "tag", "recorded in": "parameter"}
        yield Section("Promotion", [{title: answer[key] for title, key in columns.items()}])


MAKERS = {"plan": _of_plan, "rehearse": _of_rehearsal, "check": _of_check, "promote": _of_promotion}


def _ms(duration_ms: float | None) -> str:
    return "" if duration_ms is None else f"{duration_ms:,.0f} ms"


def _rows(rows: int | None) -> str:
    return "never analysed" if rows is None else f"{rows:,}"


def _size(number: int) -> str:
    for unit, size in (("GB", 1 << 30), ("MB", 1 << 20), ("kB", 1 << 10)):
        if number >= size:
            return f"{number / size:,.1f} {unit}"
    return f"{number} B"


def _markdown(answer: dict[str, Any], found: list[Section]) -> str:
    parts = [f"### `migrate {answer['action']}`", _cell(answer["message"])]
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
