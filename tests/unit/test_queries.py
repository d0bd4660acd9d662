"""The SQL in files: all of it is packed, each part of it is sent by somebody, and none is read on import."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

from runner.postgres import queries, sql
from runner.schema import catalog
from support.project import ROOT

SOURCE = ROOT / "src"
FILES = {path.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("*.sql")}
CATALOG = "runner/schema/queries/"
LEDGER = "runner/engine/ledger.sql"
ACTIVITY = "runner/postgres/activity.sql"
INDEXES = "runner/postgres/invalid_indexes.sql"
PRIVILEGES = "runner/postgres/privileges.sql"
BLOCKLIST = "dispatch_agent/blocklist/lookup.sql"
DEPENDENTS = "runner/preview/dependents.sql"
TRUST, TRUSTED = "runner/postgres/trust.sql", "runner/postgres/trusted.sql"


def test_the_wheel_has_them(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, capture_output=True, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        assert {name for name in packed.namelist() if name.endswith(".sql")} == FILES


def test_each_file_is_sent_or_included() -> None:
    sent = {f"{CATALOG}{name}.sql" for name in (*catalog.QUERIES, "owners", "scratch", "sized", "tables")}
    texts = [(SOURCE / name).read_text(encoding="utf-8") for name in sent]
    included = {f"{CATALOG}{name}.sql" for text in texts for name in re.findall("-- include (.*)", text)}
    assert sent | included | {ACTIVITY, BLOCKLIST, LEDGER, INDEXES, PRIVILEGES, DEPENDENTS, TRUST, TRUSTED} == FILES


def test_a_file_comes_with_what_it_includes() -> None:
    """It is one statement then, and says of no file any more that it is to be included."""
    for name in (*catalog.QUERIES, "owners", "scratch", "sized", "tables"):
        text = queries.load("runner.schema", f"queries/{name}.sql")
        assert queries.INCLUDE not in text
        assert len(sql.split(text)) == 1
    assert "from pg_class c join pg_namespace n" in queries.load("runner.schema", "queries/tables.sql")


def test_each_statement_of_the_ledger_is_sent() -> None:
    sender = (SOURCE / "runner/engine/ledger.py").read_text(encoding="utf-8")
    statements = queries.load_named("runner.engine", "ledger.sql")
    assert statements.keys() == set(re.findall(r'(?:_(?:sql|query)\(|_read\(connection, )"(\w+)"', sender))
    assert statements["killed"].startswith("select request_id from runner.migration_run")
    several = {name for name, text in statements.items() if len(sql.split(text)) > 1}
    assert several == {"make"}


def test_each_statement_about_the_blocklist_is_sent() -> None:
    sender = (SOURCE / BLOCKLIST).with_suffix(".py").read_text(encoding="utf-8")
    for name, text in queries.load_named("dispatch_agent.blocklist", "lookup.sql").items():
        assert re.search(rf'(?:_sql\(|connection, |\(|else \(|, )"{name}"', sender), name
        assert len(sql.split(text)) == 1


def test_nothing_is_read_on_import() -> None:
    program = (
        "import runner.environment, runner.commands, runner.engine.ledger, runner.preview.check, dispatch_agent.run\n"
        "from runner.postgres import queries\n"
        "print(queries.load.cache_info().currsize, queries.load_named.cache_info().currsize)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "0 0\n"
