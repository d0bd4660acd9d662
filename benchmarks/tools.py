"""The tools and their command lines: each writes the same steps as its own migrations, and applies them."""

import os
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks import peers
from benchmarks.measuring import OURS
from support.postgres import Database

LIMIT_S = 120
PLAIN = "plain Alembic"
DBMATE, YOYO, DJANGO, PSQL = "dbmate", "yoyo", "Django", "psql -f"
LOCKED = "has locked this database"
# The most specific first: a traceback may contain several.
KINDS = (LOCKED, "expected to match one row", "duplicate key", "already exists")


@dataclass(frozen=True)
class Step:
    """A revision with one statement, in a transaction or, as a concurrent index build requires, outside one."""

    name: str
    sql: str
    transactional: bool = True


@dataclass(frozen=True)
class Tool:
    """A tool, with its function to write steps and its command; `{url}` is replaced by the database's URL."""

    name: str
    write: Callable[[Path, list[Step]], None]
    command: tuple[str, ...]
    program: Path
    environ: dict[str, str] = field(default_factory=dict)
    scheme: str = "postgresql"
    query: str = ""
    """Its driver requires `scheme` at the beginning and `query` at the end of the URL."""
    unlock: tuple[str, ...] = ()
    """The command that removes the lock left by a killed run, where the tool keeps its lock in a table."""

    @property
    def slug(self) -> str:
        """Return its name in a form that is valid for databases and folders."""
        return re.sub(r"\W", "_", self.name.lower())

    def start(self, folder: Path, database: Database, *command: str) -> "subprocess.Popen[str]":
        """Start it in its own process group, and do not wait for it."""
        url = database.url.replace("postgresql", self.scheme, 1) + self.query
        words = [word.format(url=url) for word in command or self.command]
        return subprocess.Popen(
            [self.program / words[0], *words[1:]],
            cwd=folder,
            env={"PATH": os.environ["PATH"], "HOME": str(folder), "DATABASE_URL": url, **self.environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, folder: Path, database: Database, *command: str) -> float:
        """Run it to its end and return the seconds that it took."""
        started = time.monotonic()
        code, output = finish(self.start(folder, database, *command))
        took_s = time.monotonic() - started
        assert code == 0, f"{self.name}: {output}"
        return took_s

    def imports_ms(self, folder: Path, database: Database) -> dict[str, float]:
        """Run it, and return the time of its imports alone in milliseconds, by top-level package.

        https://docs.python.org/3/using/cmdline.html#envvar-PYTHONPROFILEIMPORTTIME
        """
        watched = replace(self, environ={**self.environ, "PYTHONPROFILEIMPORTTIME": "1"})
        code, output = finish(watched.start(folder, database))
        assert code == 0, f"{self.name}: {output}"
        found: Counter[str] = Counter()
        for took_us, name in re.findall(r"import time:\s+(\d+) \|\s+\d+ \|\s+([\w.]+)", output):
            found[name.partition(".")[0]] += int(took_us)
        return {name: took_us / 1000 for name, took_us in found.items()}


def finish(process: "subprocess.Popen[str]") -> tuple[int, str]:
    """Wait for its end, and return its exit code and its output.

    Kill it after two minutes, or after Ctrl-C.
    """
    try:
        output, _ = process.communicate(timeout=LIMIT_S)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        os.killpg(process.pid, signal.SIGKILL)
        raise
    return process.returncode, output


def kind(output: str) -> str:
    """Return the kind of the error in a few words; for an unknown error, the last line of the output."""
    last = (output.splitlines() or ["silent"])[-1]
    return next((words for words in KINDS if words in output), last)


def tables(number: int) -> list[Step]:
    """Return `number` steps that create one table each."""
    body = "id bigint primary key, name text not null, created_at timestamptz not null default now()"
    return [Step(f"make_t{place:04d}", f"create table t{place:04d} ({body})") for place in range(1, number + 1)]


def ours() -> Tool:
    return Tool(OURS, _write_ours, ("migrate", "upgrade"), peers.ours() / "bin")


def plain() -> Tool:
    program, scheme = peers.plain() / "bin", "postgresql+psycopg2"
    return Tool(PLAIN, _write_plain, ("alembic", "upgrade", "head"), program, scheme=scheme)


def others() -> list[Tool]:
    """Return the tools that do not use Alembic; dbmate where it could be installed."""
    options = ("--batch", "--no-config-file", "--database", "{url}")
    yoyo, unlock = ("yoyo", "apply", *options, "migrations"), ("yoyo", "break-lock", *options)
    django = ("django-admin", "migrate", "--settings=settings", "--pythonpath=.", "--verbosity=1")
    dbmate = ("dbmate", "--migrations-dir", "migrations", "--no-dump-schema", "migrate")
    program = peers.dbmate()
    found = [Tool(DBMATE, _write_dbmate, dbmate, program.parent, query="?sslmode=disable")] if program else []
    return [
        *found,
        Tool(YOYO, _write_yoyo, yoyo, peers.locked("yoyo") / "bin", unlock=unlock),
        Tool(DJANGO, _write_django, django, peers.locked("django") / "bin"),
    ]


def psql(binaries: Path) -> Tool:
    """Return the floor: the bare statements, each in its own transaction, without a record of them."""
    return Tool(PSQL, _write_psql, ("psql", "{url}", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", "all.sql"), binaries)


def numbered(steps: Iterable[Step]) -> list[tuple[str, Step]]:
    return [(f"{place:04d}_{step.name}", step) for place, step in enumerate(steps, 1)]


def write_revisions(folder: Path, steps: list[Step]) -> None:
    """Write the steps as Alembic revisions, the same files for ours, plain Alembic and the bare handler."""
    folder.mkdir(parents=True, exist_ok=True)
    before = None
    for name, step in numbered(steps):
        inside = f"op.execute({step.sql!r})"
        if not step.transactional:
            inside = f"with op.get_context().autocommit_block():\n        {inside}"
        (folder / f"{name}.py").write_text(
            f'"""{step.name.replace("_", " ")}"""\n\nimport sqlalchemy as sa\nfrom alembic import op\n\n'
            f"revision = {name!r}\ndown_revision = {before!r}\nbranch_labels = None\ndepends_on = None\n\n\n"
            f"def upgrade() -> None:\n    {inside}\n\n\ndef downgrade() -> None:\n    pass\n"
        )
        before = name


def _write_ours(folder: Path, steps: list[Step]) -> None:
    write_revisions(folder / "alembic" / "versions", steps)
    for name in ("alembic.ini", "alembic/env.py"):
        (folder / name).write_bytes((peers.ROOT / name).read_bytes())


def _write_plain(folder: Path, steps: list[Step]) -> None:
    """Write Alembic's generic `env.py`, changed only for the URL and for one transaction a revision."""
    folder.mkdir(parents=True, exist_ok=True)
    # what it prints to stderr is shown: this is where a whole measurement may end
    command = [peers.plain() / "bin" / "alembic", "init", "alembic"]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    _replace(folder / "alembic.ini", r"(?m)^sqlalchemy.url = .*$", "")
    environment = folder / "alembic" / "env.py"
    _replace(environment, r"connection=connection, ", "connection=connection, transaction_per_migration=True, ")
    url = 'os.environ["DATABASE_URL"].replace("%", "%%")'
    _replace(
        environment, r"(?m)^config = context.config$",
        f'import os\nconfig = context.config\nconfig.set_main_option("sqlalchemy.url", {url})',
    )  # fmt: skip
    write_revisions(folder / "alembic" / "versions", steps)


def _write_dbmate(folder: Path, steps: list[Step]) -> None:
    for name, step in numbered(steps):
        option = "" if step.transactional else " transaction:false"
        _write(folder / "migrations" / f"{name}.sql", f"-- migrate:up{option}\n{step.sql};\n\n-- migrate:down\n")


def _write_yoyo(folder: Path, steps: list[Step]) -> None:
    for name, step in numbered(steps):
        option = "" if step.transactional else "-- transactional: false\n"
        _write(folder / "migrations" / f"{name}.sql", f"{option}{step.sql};\n")


def _write_django(folder: Path, steps: list[Step]) -> None:
    _write(folder / "settings.py", DJANGO_SETTINGS)
    _write(folder / "app" / "__init__.py", "")
    _write(folder / "app" / "migrations" / "__init__.py", "")
    before = ""
    for name, step in numbered(steps):
        text = (
            "from django.db import migrations\n\n\nclass Migration(migrations.Migration):\n"
            f"    atomic = {step.transactional}\n    dependencies = [{before}]\n"
            f"    operations = [migrations.RunSQL({step.sql!r})]\n"
        )
        _write(folder / "app" / "migrations" / f"{name}.py", text)
        before = f"('app', {name!r})"


DJANGO_SETTINGS = """
import os
from urllib.parse import unquote, urlsplit

url = urlsplit(os.environ["DATABASE_URL"])
INSTALLED_APPS = ["app"]
USE_TZ = True
DATABASES = {"default": {
    "ENGINE": "django.db.backends.postgresql", "NAME": url.path[1:], "USER": url.username,
    "PASSWORD": unquote(url.password), "HOST": url.hostname, "PORT": url.port,
}}
"""


def _write_psql(folder: Path, steps: list[Step]) -> None:
    _write(folder / "all.sql", "".join(f"{step.sql};\n" for step in steps))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _replace(path: Path, pattern: str, text: str) -> None:
    changed, number = re.subn(pattern, lambda _: text, path.read_text())
    assert number, f"{path} has no {pattern}"
    path.write_text(changed)
