"""The verbs for writing revisions: begin a revision, write the snapshots."""

import contextlib
import io
import os
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from alembic import command
from alembic.script import Script, ScriptDirectory

from runner.answer import Draft
from runner.engine import migrate
from runner.engine.snapshots import Snapshots
from runner.engine.state import Run, Terms
from runner.errors import InvalidPayload, MultipleHeads, StaleBranch
from runner.invocation import Invocation
from runner.postgres import connect, conninfo, session
from runner.project import quote
from runner.schema import catalog
from runner.schema import snapshot as snapshot_file
from runner.schema.catalog import Catalog
from runner.script import git, graph
from runner.settings import Settings

NUMBERED = re.compile(r"[0-9]{3}_")
REVISION_LENGTH = 32
"""The characters that `alembic_version.version_num` holds, a `varchar(32)` of Alembic's."""


def new(settings: Settings, message: str) -> Path:
    """Write the next-numbered revision after the head and return its path.

    Raises `MultipleHeads` where there are two heads already, and `StaleBranch` where the default branch has a
    revision that is missing here, so that a merge would make two. Raises `InvalidPayload` for a message without a
    letter or a digit.
    """
    revisions = graph.load(settings, may_be_empty=True)
    heads = revisions.heads
    if len(heads) > 1:
        raise MultipleHeads(tuple(heads))
    _refuse_stale_branch(revisions.folder, heads[0] if heads else "base")
    # Alembic would import them too, but report an error in one with a traceback
    revisions.import_all()
    # Alembic reports the file it writes on stdout, which is for data
    with contextlib.redirect_stdout(io.StringIO()):
        made = command.revision(revisions.config, message=message, rev_id=_next_id(revisions.script, message))
    assert isinstance(made, Script)  # noqa: S101 - Alembic returns a list only where it is given several heads
    return Path(made.path)


def snapshot(invocation: Invocation) -> list[Path]:
    """Write `alembic/schema/`, the catalog after each revision, and return the files that changed.

    The revisions run in a scratch database on the configured server, for which the role needs CREATEDB.
    """
    revisions = graph.load(invocation.settings)
    snapshots = Snapshots(revisions.script)
    folder = snapshots.folder
    folder.mkdir(exist_ok=True)
    # one that cannot be read is written anew; until then the runs below would be refused
    for path in folder.glob("*.json"):
        if not snapshot_file.is_readable(folder, path.stem):
            path.unlink()
    taken = _take(invocation, revisions.script)
    texts = {folder / f"{revision}.json": snapshots.render(revision, made) for revision, made in taken}
    stale = [path for path in folder.glob("*.json") if path not in texts]
    for path in stale:
        path.unlink()
    changed = [path for path, text in texts.items() if not path.exists() or path.read_text("utf-8") != text]
    for path in changed:
        path.write_text(texts[path], encoding="utf-8")
    return sorted(changed + stale)


def _next_id(script: ScriptDirectory, message: str) -> str:
    """Return the next id, such as `018_add_score` for "add score" after `017_…`.

    It is cut after a word to what the version table holds. Raises `InvalidPayload` for a message without words.
    """
    # NFKD parts a letter from its accent, so that `ação` becomes `acao` and not `ao`
    ascii_only = unicodedata.normalize("NFKD", message).encode("ascii", "ignore").decode().lower()
    words = re.findall(r"[a-z0-9]+", ascii_only)
    if not words:
        raise InvalidPayload(
            "The message has no letter or digit, so it cannot name a revision.", "Describe the change in the message."
        )
    ids = [revision.revision for revision in script.walk_revisions()]
    numbers = [int(revision[:3]) for revision in ids if NUMBERED.match(revision)]
    name = f"{max(numbers, default=0) + 1:03d}"
    for word in words:
        if len(name) + 1 + len(word) > REVISION_LENGTH and "_" in name:
            break
        name += f"_{word}"
    return name[:REVISION_LENGTH]


def _refuse_stale_branch(versions: Path, head: str) -> None:
    """Raise `StaleBranch` where the default branch, as last fetched, has a revision that is missing here.

    Without git or a remote nothing is compared.
    """
    # `origin/HEAD` is set by a clone, not by `git remote add`
    default = _git(versions, "rev-parse", "--abbrev-ref", "origin/HEAD")
    for upstream in [*default, "origin/main", "origin/master"]:
        if _git(versions, "rev-parse", "--verify", "--quiet", upstream):
            # three dots: what the branch has gained since this one left it
            added = _git(versions, "diff", "--diff-filter=A", "--name-only", f"HEAD...{upstream}", "--", "*.py")
            if added:
                raise StaleBranch(upstream, Path(added[-1]).stem, head)
            return


def _git(folder: Path, *arguments: str) -> list[str]:
    return git.run(folder, *arguments).decode().split()


def _take(invocation: Invocation, script: ScriptDirectory) -> Iterator[tuple[str, Catalog]]:
    """Yield each revision with the catalog of a database in which only its ancestors and itself have run."""
    with contextlib.ExitStack() as scratch:
        at: set[str] | None = None
        for revision in reversed(list(script.walk_revisions())):
            # a branch or a merge does not follow the revision that ran last, so it needs a database of its own
            if at is None or set(graph.parents(revision)) != at:
                scratch.close()
                inside = scratch.enter_context(_scratch_database(invocation))
            yield revision.revision, _upgraded(inside, revision.revision)
            at = {revision.revision}


def _upgraded(invocation: Invocation, revision: str) -> Catalog:
    """Upgrade the database to a revision and return its catalog."""
    # loaded anew each time: a run leaves itself in the configuration
    run = Run(invocation, Draft("snapshot", invocation.request_id), Terms())
    migrate.change(run, graph.load(invocation.settings, runs=True), "upgrade", revision)
    with session.reading(invocation) as connection:
        return catalog.read(connection)


@contextlib.contextmanager
def _scratch_database(invocation: Invocation) -> Iterator[Invocation]:
    """Create an empty database on the configured server, yield an invocation for it, and drop it."""
    settings = invocation.settings
    name = f"snapshot_{os.getpid()}"
    server = connect.open_engine(settings, invocation.request_id, invocation.deadline)
    # CREATE DATABASE and DROP DATABASE cannot run inside a transaction block
    with server.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        # template1 may have objects of the site, which the snapshot would then contain
        connection.exec_driver_sql(f"create database {name} template template0")
        try:
            url = conninfo.as_url({**conninfo.source(settings).read(False), "dbname": name})
            scratch = replace(invocation, settings=replace(settings, database_url=url), tell=lambda *_, **__: None)
            _create_schema(scratch)
            yield scratch
        finally:
            # FORCE: after a failure the run's own sessions may still be connected
            connection.exec_driver_sql(f"drop database {name} with (force)")


def _create_schema(invocation: Invocation) -> None:
    """Create the schema of the version table, which a project's own databases have before the first run."""
    schema = quote(invocation.settings.version_table.schema)
    engine = connect.open_engine(invocation.settings, invocation.request_id, invocation.deadline)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"create schema if not exists {schema}".replace("%", "%%"))
