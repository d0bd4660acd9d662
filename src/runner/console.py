"""What people see: tables and progress on a terminal, plain lines elsewhere, JSON when asked."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from runner.run import Tell

# Data goes to stdout, words for people go to stderr.
BY_STATUS = {"success": 0, "error": 1, "partial": 3}
# 130 is 128 and the number of SIGINT, as shells report it.
BY_CODE = {"invalid-payload": 2, "interrupted": 130}
# The answer to a question is no.
NO = 4


def show(answer: dict[str, Any], as_json: bool) -> int:
    """Print an answer and return the exit code that it stands for."""
    if as_json:
        sys.stdout.write(json.dumps(answer, indent=2, ensure_ascii=False, default=str) + "\n")
    else:
        _show_for_people(answer)
    if answer.get("ok") is False:
        return NO
    return BY_CODE.get(str(answer.get("code")), BY_STATUS[answer["status"]])


@contextmanager
def progress() -> Iterator[Tell]:
    """Give a `tell` that draws a bar on a terminal and writes a line for each event elsewhere."""
    words = Console(stderr=True, highlight=False, soft_wrap=True)
    if not words.is_terminal:
        yield lambda sentence, **_: words.print(sentence, markup=False)
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=words, transient=True) as drawn:
        bar = drawn.add_task("", total=None, visible=False)

        def tell(sentence: str, **fields: Any) -> None:
            if fields.get("event") != "done":
                drawn.update(
                    bar, description=sentence, total=fields.get("total"), completed=fields.get("number", 1) - 1,
                    visible=True,
                )  # fmt: skip
            else:
                drawn.update(bar, completed=fields["number"])
                drawn.console.print(sentence, markup=False)

        yield tell


def _show_for_people(answer: dict[str, Any]) -> None:
    words = Console(stderr=True, highlight=False, soft_wrap=True)
    words.print(answer["message"], style="red" if answer["status"] == "error" else None, markup=False)
    rows = [_row(one) for one in answer.get("revisions", [])] or answer.get("checks", [])
    if rows:
        _table(rows)
    for one in answer.get("revisions", []):
        if "text" in one:
            sys.stdout.write(f"\n{one['text'].rstrip()}\n")
    for key in ("current", "executedMigrations", "files"):
        for name in answer.get(key, []):
            sys.stdout.write(f"{name}\n")


def _row(revision: dict[str, Any]) -> dict[str, str]:
    """Return a revision's row; a column that no revision fills is left out."""
    known = revision.get("ledger") or {}
    took = known.get("duration_ms")
    row = {
        "revision": revision["revision"],
        "follows": revision["down_revision"] or "base",
        "description": revision["description"],
    }
    if "state" in revision:
        row |= {
            "state": _state(revision["state"], known),
            "when (UTC)": str(known.get("started_at", ""))[:19].replace("T", " "),
            "took": f"{took:.0f} ms" if took is not None else "",
            "who": known.get("actor") or "",
            "image": (known.get("image_digest") or "")[:19],
        }
    if "checksum" in revision:
        row |= {"checksum": revision["checksum"][:12]}
    return row


def _state(state: str, known: dict[str, Any]) -> str:
    """Say of a pending revision that it was tried or reverted before."""
    if known.get("status") in ("failed", "interrupted"):
        return f"{state}, {known['status']} last"
    return "reverted" if state == "pending" and known.get("direction") == "downgrade" else state


def _table(rows: list[dict[str, str]]) -> None:
    columns = [name for name in rows[0] if any(row[name] for row in rows)]
    data = Console(highlight=False)
    if not data.is_terminal:
        for row in [dict(zip(columns, columns, strict=True)), *rows]:
            sys.stdout.write("\t".join(row[name] for name in columns) + "\n")
        return
    table = Table()
    for name in columns:
        # an id is there to be copied
        table.add_column(name, no_wrap=name == "revision", overflow="fold")
    for row in rows:
        table.add_row(*(row[name] for name in columns))
    data.print(table, markup=False)
