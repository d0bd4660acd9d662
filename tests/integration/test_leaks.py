"""Row data never leave the database, whatever a revision does with them."""

import json
import logging
from pathlib import Path

import pytest

from support.postgres import Database
from support.project import Project

PLANTED = ("maria.silva@example.com", "84997084444", "Maria da Silva")
ROWS = """
    create table people (nome text, email text, telefone text);
    insert into people values
        ('Maria da Silva', 'maria.silva@example.com', '84997084444'),
        ('Maria da Silva', 'maria.silva@example.com', '84997084444');
"""
FAILING = {
    "unique violation": ("op.execute('create unique index people_email on people (email)')", "23505"),
    "check": ("op.execute(\"alter table people add constraint curto check (length(nome) < 5)\")", "23514"),
    "cast": ("op.execute('alter table people alter telefone type uuid using email::uuid')", "22P02"),
    "not null": ("op.execute(\"insert into people select null, email from people\")\n"
                 "op.execute('alter table people alter nome set not null')", "23502"),
    "value too long": ("op.execute('alter table people alter nome type varchar(3)')", "22001"),
    "raise with a row": (
        "op.execute(\"do $$ begin raise exception 'bad row %', (select email from people limit 1); end $$\")",
        "P0001",
    ),
    "row read into a statement": (
        "email = op.get_bind().execute(sa.text('select email from people')).scalars().first()\n"
        "op.execute(f\"update people set nope = '{email}' -- it's {email}\")",
        "42703",
    ),
    "number read into a statement": (
        "phone = op.get_bind().execute(sa.text('select telefone from people')).scalars().first()\n"
        "op.execute(f\"update people set nope = {phone}\")",
        "42703",
    ),
    "parameters": (
        "row = op.get_bind().execute(sa.text('select * from people')).mappings().first()\n"
        "op.get_bind().execute(sa.text('insert into people (nope) values (:nome)'), dict(row))",
        "42703",
    ),
    "python": (
        "row = op.get_bind().execute(sa.text('select * from people')).mappings().first()\n"
        "raise ValueError(f'cannot use {dict(row)}')",
        None,
    ),
    "python key": (
        "row = op.get_bind().execute(sa.text('select * from people')).mappings().first()\n"
        "{}[row['email']]",
        None,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("body", "sqlstate"), FAILING.values(), ids=FAILING)
def test_planted_values_are_nowhere(
    project: Project, database: Database, caplog: pytest.LogCaptureFixture, body: str, sqlstate: str | None
) -> None:
    """Not in the answer, the ledger, a log line, the command lines' output, nor a raised error and its context."""
    project.add("018_people", f'op.execute("""{ROWS}""")')
    project.ask(database.url, {"action": "upgrade"})
    project.add("019_bad", body, after="018_people")
    with caplog.at_level(logging.DEBUG):
        answer = project.ask(database.url, {"action": "upgrade"})
    assert (answer["code"], answer.get("sqlstate")) == ("revision-failed", sqlstate)
    assert answer["line"] is not None
    with pytest.raises(Exception, match="019_bad") as caught:
        project.ask(database.url, {"action": "upgrade", "on_error": "raise"})
    seen = [json.dumps(answer, ensure_ascii=False), caplog.text, str(caught.getrepr(style="long", chain=True))]
    for command in (
        ["migrate", "upgrade"],
        ["migrate", "--debug", "--json", "upgrade"],
        ["alembic", "upgrade", "head"],
    ):
        done = project.run(*command, url=database.url)
        assert done.returncode != 0
        seen += [done.stdout, done.stderr]
    seen += [str(row) for row in database.query("select * from runner.migration_run")]
    seen += [str(row) for row in database.query("select * from runner.migration_log")]
    found = [planted for planted in PLANTED if planted in "\n".join(seen)]
    assert found == []


def test_application_loggers_still_speak(
    project: Project, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """`fileConfig` as Alembic generates it silences every logger that exists already."""
    program = project.folder / "program.py"
    program.write_text(
        "import logging, sys\n"
        "application = logging.getLogger('application.module')\n"
        "logging.basicConfig(stream=sys.stderr, level=logging.INFO)\n"
        "from alembic.config import CommandLine\n"
        "CommandLine().main(['upgrade', 'head'])\n"
        "application.warning('still speaking')\n"
    )
    done = project.run("python", str(program), url=database.url)
    assert done.returncode == 0, done.stderr
    assert "still speaking" in done.stderr
    application = logging.getLogger("application.module")
    project.ask(database.url, {"action": "downgrade", "target": "base"})
    with caplog.at_level(logging.INFO):
        application.info("here too")
    assert "here too" in caplog.text
    assert not application.disabled


def test_no_file_of_the_project_names_a_registry_or_a_path_of_a_machine() -> None:
    """What is committed installs anywhere."""
    root = Path(__file__).parent.parent.parent
    pinned = (root / "constraints.txt").read_text()
    assert "://" not in pinned
    assert "index" not in pinned
    assert all("--hash=sha256:" in block for block in pinned.replace("\\\n", " ").splitlines() if "==" in block)
