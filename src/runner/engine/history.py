"""Whether the applied revisions are still the text that ran."""

from collections.abc import Iterator

from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from runner.engine import ledger
from runner.errors import HistoryChanged
from runner.script import graph


def refuse_changed(script: ScriptDirectory, heads: tuple[str, ...], connection: Connection) -> None:
    """Raise `HistoryChanged` when an applied revision's text is not what ran."""
    for problem in changed(script, heads, connection):
        raise problem


def changed(script: ScriptDirectory, heads: tuple[str, ...], connection: Connection) -> Iterator[HistoryChanged]:
    """Yield the applied revisions whose text is not what ran; one without a checksum was adopted."""
    recorded = ledger.checksums(connection)
    for revision in sorted(graph.applied_scripts(script, heads), key=lambda one: one.revision):
        known, found = recorded.get(revision.revision), graph.checksum(revision)
        if known is not None and found != known.checksum:
            yield HistoryChanged(revision.revision, known.ran_at, known.checksum, found)
