"""Ten failures through `migrate --env`: from each message to success, by what the message says and nothing else.

An operator here can copy a command from the last message, edit a file that it names, or repair what only they can
reach (a password, a server). Each test says which; a message from which no step is taken fails it. What is typed
without a message is what the operators' runbook has.
"""

import os
import re
import shlex
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from support import application, emulator, postgres, runbook, waiting
from support.emulator import Function
from support.endpoint import CREDENTIALS
from support.postgres import Database
from support.project import Project

NOTE = "op.execute('alter table leads add column note text')"
COMMAND = re.compile(r"`((?:migrate|alembic) [^`]+)`")


@dataclass
class Operator:
    """Somebody at a laptop, who reaches the database through the function only."""

    project: Project
    stack: ExitStack
    environ: dict[str, str]
    """The function's."""
    said: str = ""
    """The last message."""
    function: Function = field(init=False)

    def deploy(self, **environ: str) -> None:
        """Run the function with the present revisions, as a deployment of a new image does."""
        self.environ |= environ
        self.stack.close()
        folder = Path(self.stack.enter_context(_folder(self.project.folder)))
        task = emulator.lay_out(folder, self.project.folder)
        self.function = self.stack.enter_context(emulator.start(task, self.environ, timeout_s=8))

    def types(self, command: str) -> "CompletedProcess[str]":
        """Run a command as it was copied."""
        words = shlex.split(command)
        known = {**CREDENTIALS, "AWS_ENDPOINT_URL_LAMBDA": self.function.url}
        done = self.project.run(*words, **known)
        self.said = done.stderr + done.stdout
        return done

    def reads(self, heading: str, verb: str) -> "CompletedProcess[str]":
        """Run the command that a section of the runbook has with this verb."""
        return self.types(runbook.step(heading, verb).command)

    def copies(self, beginning: str) -> "CompletedProcess[str]":
        """Run the command of the last message that begins with these words."""
        named = COMMAND.findall(self.said)
        found = [command for command in named if command.startswith(beginning)]
        assert found, (beginning, self.said)
        return self.types(found[0])


@contextmanager
def _folder(below: Path) -> Iterator[str]:
    number = len(list(below.glob("image-*")))
    made = below / f"image-{number}"
    made.mkdir()
    yield str(made)


@pytest.fixture
def operator(project: Project, migrated: Database) -> Iterator[Operator]:
    """At 017 in `dev`, whose function runs."""
    (project.folder / "migrate.toml").write_text('[env.dev]\nfunction = "function"\nregion = "eu-west-1"\n')
    with ExitStack() as stack:
        yield Operator(project, stack, {"DATABASE_URL": migrated.url})


def test_a_lock_held_by_an_idle_transaction(operator: Operator, database: Database) -> None:
    operator.project.add("018_note", NOTE)
    operator.deploy(LOCK_TIMEOUT_MS="300")
    with application.holding(database) as pid:
        assert operator.reads("Repetir", "upgrade").returncode == 1
        assert "lock-timeout: " in operator.said
        blocked = operator.said
        assert operator.reads("lock-timeout", "activity").returncode == 0
        # it blocks nobody any more, so that only the message has the command that ends it
        assert f"{pid}\tapp_login\tbilling\tidle in transaction" in operator.said
        operator.said = blocked
        assert operator.copies("migrate --env dev end-session").returncode == 0
    operator.said = blocked
    assert operator.copies("migrate --env dev upgrade").returncode == 0
    assert at(database) == "018_note"


def test_a_failing_data_migration(operator: Operator, database: Database) -> None:
    """The message names file and line; the corrected file comes in a new image."""
    path = operator.project.add("018_data", 'op.execute("update leads set nome = nome::int::text || nom")')
    operator.deploy()
    assert operator.reads("Repetir", "upgrade").returncode == 1
    assert re.search(r"in line \d+ of `018_data\.py`", operator.said)
    path.write_text(path.read_text().replace("nome::int::text || nom", "nome"))
    again = operator.said
    operator.deploy()
    operator.said = again
    assert operator.copies("migrate --env dev upgrade").returncode == 0
    assert at(database) == "018_data"


def test_a_killed_runner(operator: Operator, database: Database) -> None:
    """Nobody knows what became of it; the message says how to look and how to go on."""
    operator.project.add("018_slow", "op.execute('select pg_sleep(case when exists (select from pg_class where "
                                     "relname = $$told$$) then 0 else 60 end)')")  # fmt: skip
    operator.deploy()
    process = operator.project.start(
        "migrate", "--env", "dev", "upgrade", url="", **CREDENTIALS, AWS_ENDPOINT_URL_LAMBDA=operator.function.url
    )
    waiting.until(database, waiting.ASLEEP, 1)
    kill_handler(operator.function)
    operator.said = process.communicate()[1]
    assert process.returncode == 1
    database.execute("create table told ()")
    waiting.until(database, waiting.OURS, 0)
    looked_at = operator.said
    operator.deploy()
    operator.said = looked_at
    assert operator.copies("migrate --env dev current").returncode == 0
    operator.said = looked_at
    assert operator.copies("migrate --env dev upgrade").returncode == 0
    assert at(database) == "018_slow"


def kill_handler(function: Function) -> None:
    """Kill the process of the handler, as Lambda does at the time-out."""
    # the second word behind the name in parentheses is the parent
    states = {int(path.parent.name): path.read_text() for path in Path("/proc").glob("[0-9]*/stat")}
    (handler,) = [pid for pid, text in states.items() if text.rpartition(")")[2].split()[1] == str(function.pid)]
    os.kill(handler, signal.SIGKILL)


def test_an_edited_revision(operator: Operator, database: Database) -> None:
    """Only its words were changed, so the text is accepted."""
    path = operator.project.folder / "alembic" / "versions" / "017_dry_run_log.py"
    path.write_text(path.read_text() + "\n# a word more\n")
    operator.project.add("018_note", NOTE)
    operator.deploy()
    assert operator.reads("Repetir", "upgrade").returncode == 1
    assert "history-changed" in operator.said
    assert operator.copies("migrate --env dev repair").returncode == 0
    assert operator.reads("Repetir", "upgrade").returncode == 0
    assert at(database) == "018_note"


def test_two_heads(operator: Operator, database: Database) -> None:
    operator.project.add("018_left", "op.execute('select 1')")
    operator.project.add("018_right", "op.execute('select 2')")
    operator.deploy()
    assert operator.reads("Repetir", "upgrade").returncode == 1
    refused = operator.said
    assert operator.copies("alembic merge").returncode == 0
    operator.deploy()
    operator.said = refused
    assert operator.copies("migrate --env dev upgrade").returncode == 0
    assert at(database) == "019_merge"


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (lambda url: re.sub(r"//[^@]*@", "//app_nobody:wrong@", url), "authentication-failed"),
        (lambda url: re.sub(r":\d+/", ":1/", url), "database-unreachable"),
    ],
    ids=["wrong password", "database down"],
)
def test_what_is_repaired_outside(
    operator: Operator, database: Database, wrong: Callable[[str], str], code: str
) -> None:
    """The setting is corrected where the message says, and the same command works."""
    operator.project.add("018_note", NOTE)
    operator.deploy(DATABASE_URL=wrong(database.url))
    assert operator.reads("Repetir", "upgrade").returncode == 1
    assert f"{code}: " in operator.said
    refused = operator.said
    operator.deploy(DATABASE_URL=database.url)
    operator.said = refused
    assert operator.copies("migrate --env dev upgrade").returncode == 0
    assert at(database) == "018_note"


def test_a_replica(operator: Operator, database: Database) -> None:
    """A server that rejects writes, as a replica's endpoint does; the writer's is set, as the message says."""
    operator.project.add("018_note", NOTE)
    with postgres.cluster(
        database.server.binaries, f"{postgres.SETTINGS} -c default_transaction_read_only=on"
    ) as reader:
        operator.deploy(DATABASE_URL=reader.url.render_as_string(hide_password=False))
        assert operator.reads("Repetir", "upgrade").returncode == 1
    assert "read-only-database: " in operator.said
    assert "Use the cluster's writer endpoint" in operator.said
    operator.deploy(DATABASE_URL=database.url)
    assert operator.copies("migrate --env dev upgrade").returncode == 0
    assert at(database) == "018_note"


def test_an_invalid_index(operator: Operator, database: Database) -> None:
    database.execute("create index broken on leads (nome)")
    database.execute("update pg_index set indisvalid = false where indexrelid = 'broken'::regclass")
    operator.deploy()
    assert operator.reads("invalid-index", "check").returncode == 4
    assert operator.copies(runbook.step("invalid-index", "repair").command).returncode == 0
    operator.reads("invalid-index", "check")
    assert "invalid-index" not in operator.said


def test_a_partial_run(operator: Operator, database: Database) -> None:
    """One revision was committed before the time ran out; the same command goes on behind it."""
    operator.project.add("018_note", NOTE)
    operator.project.add("019_slow", "op.execute('select pg_sleep(case when exists (select from pg_class where "
                                     "relname = $$told$$) then 0 else 60 end)')", after="018_note")  # fmt: skip
    operator.deploy()
    assert operator.reads("Repetir", "upgrade").returncode == 3
    assert at(database) == "018_note"
    database.execute("create table told ()")
    assert operator.copies("migrate --env dev upgrade").returncode == 0
    assert at(database) == "019_slow"


def at(database: Database) -> str:
    ((version,),) = database.query("select version_num from alembic_version")
    return str(version)
