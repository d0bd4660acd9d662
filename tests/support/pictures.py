"""The pictures of docs/pictures: answers of real runs, drawn by the product's own tables on a terminal.

What differs from run to run is replaced in the answer before it is drawn: durations, times, process and session ids,
the plan's id, the size in bytes, and who ran it. All else is what the commands answered.

`python -m support.pictures` writes them.
"""

import io
import json
import re
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
from rich.console import CONSOLE_SVG_FORMAT, Console
from rich.text import Text

from support import postgres, terminal, waiting
from support.postgres import Database, Server
from support.project import ROOT, Project

FOLDER = ROOT / "docs" / "pictures"
VERBS = ("plan", "rehearse", "history", "check", "activity")
COLUMNS = (80, 120)
WIDE = 400
# without the addresses of a font elsewhere: a picture of the project asks no other server
FORMAT = re.sub(r" *@font-face \{\{.*?\}\}\n", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
FORMAT = FORMAT.replace("Fira Code, monospace", "monospace")
DRAW = """
import json, sys
from runner.output import console
for answer in json.load(open(sys.argv[1])):
    print("\\x1e$ migrate", answer["action"], flush=True)
    console.show(answer, "tables")
    sys.stdout.flush()
"""
PLAN = "0d5c40eab78091a4-2yBotgRWGGMsU1xQzj_xPO2VYv8MAAnItT1PNT1PNT1PNT1PNT1PN"
STEADY = {
    "duration_ms": 12.0, "held_ms": 12.0, "lock_wait_ms": 0.0, "started_at": "2026-03-02T14:02:11+00:00",
    "actor": "ana", "bytes": 5_013_504, "transaction_s": 754.0, "plan": PLAN,
}  # fmt: skip
"""What stands for a field that differs from run to run."""
QUIET = f"{postgres.SETTINGS} -c autovacuum=off"
ROWS = """
    insert into tenants (company_name) values ('ACME');
    insert into leads (tenant_id, nome) select tenant_id, 'Lead ' || n from tenants, generate_series(1, 20000) n;
    analyze
"""
LOGIN = """
    do $$ begin create role billing login password 'x'; exception when duplicate_object then null; end $$;
    grant all on leads to billing
"""


@dataclass(frozen=True)
class Drawn:
    """The pictures as SVG by the names of their files, and the texts in them by verb and columns."""

    files: dict[str, str]
    texts: dict[tuple[str, int], str]


def draw() -> Drawn:
    """Run the commands in a new database, and draw what they answer, also on a terminal that is wide enough.

    The server is the wheel's, which is of the same version everywhere, without a worker that could show up in a table.
    """
    with ExitStack() as stack:
        running = stack.enter_context(postgres.cluster(postgres.embedded_binaries(), QUIET))
        server = Server(running.binaries, running.url)
        database = stack.enter_context(postgres.new_database(server, "alquimista"))
        project = Project.copy_whole(Path(stack.enter_context(tempfile.TemporaryDirectory())))
        answers = [steady(answer) for answer in _answers(project, database)]
        shown = {(verb, columns): text for columns in (*COLUMNS, WIDE)
                 for verb, text in show(project.folder, answers, columns).items()}  # fmt: skip
    files = {
        f"{verb}-{columns}.svg": picture(verb, written, columns)
        for (verb, columns), written in shown.items() if columns != WIDE
    }  # fmt: skip
    return Drawn(files, {key: Text.from_ansi(written).plain for key, written in shown.items()})


def _answers(project: Project, database: Database) -> Iterator[dict[str, Any]]:
    """Yield the answers of real runs in the demo's database, with 20,000 leads."""

    def run(*words: str) -> dict[str, Any]:
        done = project.run("migrate", *words, "--json", url=database.url)
        return json.loads(done.stdout)

    run("upgrade")
    database.execute(ROWS)
    database.execute("create index leads_by_hand on leads (nome)")
    yield run("check")
    _add(project, "unsafe")
    yield run("plan")
    _add(project, "safe")
    yield run("rehearse")
    run("upgrade", "024")
    yield run("history")
    database.execute(LOGIN)
    with _blocked(database):
        yield run("activity")


def _add(project: Project, kind: str) -> None:
    for revision in (ROOT / "demo" / kind).glob("*.py"):
        shutil.copy(revision, project.folder / "alembic" / "versions")


@contextmanager
def _blocked(database: Database) -> Iterator[None]:
    """Hold a lock in an idle transaction, which a write waits for."""

    def connect(name: str) -> "psycopg2.extensions.connection":
        return psycopg2.connect(database.url, application_name=name, user="billing", password="x")

    with closing(connect("invoices")) as idle, closing(connect("web")) as waits:
        idle.cursor().execute("lock table leads in share mode")
        writes = threading.Thread(target=waits.cursor().execute, args=("update leads set nome = 'planted'",))
        writes.start()
        waiting.until(database, waiting.BLOCKED, 1)
        yield
        idle.rollback()
        writes.join()
        waits.rollback()


def steady(answer: dict[str, Any]) -> dict[str, Any]:
    """Return an answer with what differs from run to run replaced."""
    text = json.dumps(answer)
    for place, session in enumerate(answer.get("sessions", [])):
        pid = 4182 + place
        text = text.replace(session["session"], f"65e3319{place}.{pid:x}")
        text = re.sub(rf"\b{session['pid']}\b", str(pid), text)
    if answer.get("plan"):
        text = text.replace(answer["plan"], PLAN)
    text = re.sub(r"\bfor \d+ s\b", "for 12 min", re.sub(r"\b[\d,]+ ms\b", "12 ms", text))
    return _steady(json.loads(text))


def _steady(value: Any, name: str = "") -> Any:
    match value:
        case dict():
            return {key: _steady(one, key) for key, one in value.items()}
        case list():
            return [_steady(one) for one in value]
    return STEADY.get(name, value) if value is not None else None


def show(folder: Path, answers: list[dict[str, Any]], columns: int) -> dict[str, str]:
    """Return what `migrate` writes of each answer on a terminal of that width, with its colours, by its verb."""
    (folder / "answers.json").write_text(json.dumps(answers))
    _, written = terminal.run(folder, "python", "-c", DRAW, "answers.json", columns=columns)
    parts = written.replace("\r", "").split("\x1e")[1:]
    return {answer["action"]: part for answer, part in zip(answers, parts, strict=True)}


def picture(verb: str, written: str, columns: int) -> str:
    """Return what a terminal shows as SVG; what is wider goes on in the next line, as there."""
    # rich takes another width from the environment of a `dumb` terminal
    console = Console(
        width=columns, record=True, file=io.StringIO(), force_terminal=True, color_system="truecolor", _environ={}
    )
    for line in Text.from_ansi(written).split("\n"):
        for part in line.divide(range(columns, len(line), columns)):
            console.print(part, no_wrap=True, overflow="ignore", crop=False)
    svg = console.export_svg(title=f"{columns} columns", code_format=FORMAT, unique_id=f"{verb}-{columns}")
    return "\n".join(line.rstrip() for line in svg.splitlines()) + "\n"


if __name__ == "__main__":
    for name, svg in draw().files.items():
        (FOLDER / name).write_text(svg, encoding="utf-8")
