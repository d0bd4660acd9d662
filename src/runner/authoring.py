"""What a developer does with revisions before anyone runs them: begin one, write the snapshots."""

import contextlib
import io
import os
import re
import subprocess
import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from alembic import command
from alembic.script import Script, ScriptDirectory

from runner.answer import Draft
from runner.engine import migrate
from runner.engine.state import Run, Terms
from runner.errors import InvalidPayload, MultipleHeads, StaleBranch
from runner.invocation import Invocation
from runner.postgres import connect, conninfo, session
from runner.schema import catalog
from runner.schema.catalog import Catalog
from runner.script import alembic_internals, graph
from runner.script.graph import Revisions
from runner.settings import Settings

NUMBERED = re.compile(r"[0-9]{3}_")
REVISION_LENGTH = 32
"""What fits into `alembic_version.version_num`."""


def new(settings: Settings, message: str) -> Path:
    """Write the next-numbered revision after the head and return its path.

    Raises `MultipleHeads` where there are two, and `StaleBranch` where the branch that this one will be
    merged into has a revision that is not here, so that there would be two.
    """
    known = graph.load(settings, may_be_empty=True)
    heads = known.heads
    if len(heads) > 1:
        raise MultipleHeads(tuple(heads))
    _refuse_stale_branch(known.folder, heads[0] if heads else "base")
    known.import_all()  # as Alembic will
    # Alembic reports the file it writes on stdout, which is for data
    with contextlib.redirect_stdout(io.StringIO()):
        made = command.revision(known.config, message=message, rev_id=_next_id(known.script, message))
    assert isinstance(made, Script)  # noqa: S101 - a list only answers for several heads
    return Path(made.path)


def snapshot(invocation: Invocation) -> list[Path]:
    """Write `alembic/schema/`: the catalog after each revision, run in a throw-away database.

    The database is made beside the configured one, which needs CREATEDB, and dropped again.
    Returns the files that changed.
    """
    known = graph.load(invocation.settings)
    folder = alembic_internals.folder(known.script) / "schema"
    folder.mkdir(exist_ok=True)
    wanted = {folder / f"{revision}.json": text for revision, text in _render(invocation, known)}
    stale = [path for path in folder.glob("*.json") if path not in wanted]
    for path in stale:
        path.unlink()
    changed = [path for path, text in wanted.items() if not path.exists() or path.read_text("utf-8") != text]
    for path in changed:
        path.write_text(wanted[path], encoding="utf-8")
    return sorted(changed + stale)


def _next_id(script: ScriptDirectory, message: str) -> str:
    """Return `018_add_score` for "add score" after `017_…`, cut at a word to what the version table holds."""
    ascii_only = unicodedata.normalize("NFKD", message).encode("ascii", "ignore").decode().lower()
    words = re.findall(r"[a-z0-9]+", ascii_only)
    if not words:
        raise InvalidPayload("The message has no letter or digit to name a revision by.", "Say what it does.")
    numbers = [int(one.revision[:3]) for one in script.walk_revisions() if NUMBERED.match(one.revision)]
    name = f"{max(numbers, default=0) + 1:03d}"
    for word in words:
        if len(name) + 1 + len(word) > REVISION_LENGTH and "_" in name:
            break
        name += f"_{word}"
    return name[:REVISION_LENGTH]


def _refuse_stale_branch(versions: Path, head: str) -> None:
    """Look at the last fetched default branch; without git or a remote there is nothing to compare with."""
    known = _git(versions, "rev-parse", "--abbrev-ref", "origin/HEAD")
    for upstream in [*known, "origin/main", "origin/master"]:
        if _git(versions, "rev-parse", "--verify", "--quiet", upstream):
            added = _git(versions, "diff", "--diff-filter=A", "--name-only", f"HEAD...{upstream}", "--", "*.py")
            if added:
                raise StaleBranch(upstream, Path(added[-1]).stem, head)
            return


def _git(folder: Path, *arguments: str) -> list[str]:
    try:
        done = subprocess.run(  # noqa: S603 - fixed arguments, no shell
            ["git", "-C", str(folder), *arguments],  # noqa: S607 - the user's own git
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    except FileNotFoundError:
        return []
    return done.stdout.split() if done.returncode == 0 else []


def _render(invocation: Invocation, known: Revisions) -> Iterator[tuple[str, str]]:
    """Yield each revision with its snapshot, made in a database that has had its ancestors and no other."""
    with contextlib.ExitStack() as scratch:
        at: set[str] | None = None
        for one in reversed(list(known.script.walk_revisions())):
            if at is None or set(graph.parents(one)) != at:
                scratch.close()
                inside = scratch.enter_context(_throw_away(invocation))
            yield one.revision, catalog.render(_upgraded(inside, one.revision))
            at = {one.revision}


def _upgraded(invocation: Invocation, revision: str) -> Catalog:
    run = Run(invocation, Draft("snapshot", invocation.request_id), Terms())
    migrate.change(run, graph.load(invocation.settings), "upgrade", revision)
    with session.reading(invocation) as connection:
        return catalog.read(connection)


@contextlib.contextmanager
def _throw_away(invocation: Invocation) -> Iterator[Invocation]:
    """Make an empty database beside the configured one, and drop it in the end."""
    settings = invocation.settings
    name = f"snapshot_{os.getpid()}"
    server = connect.open_engine(settings, invocation.request_id, invocation.deadline)
    with server.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(f"create database {name} template template0")
        try:
            url = conninfo.as_url({**conninfo.source(settings).read(False), "dbname": name})
            there = replace(settings, database_url=url)
            yield replace(invocation, settings=there, tell=lambda *_, **__: None)
        finally:
            connection.exec_driver_sql(f"drop database {name} with (force)")
