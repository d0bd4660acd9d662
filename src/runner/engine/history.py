"""Whether the applied revisions still have the text that ran."""

from collections.abc import Iterator

from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from runner.engine import ledger
from runner.errors import HistoryChanged
from runner.script import graph


def refuse_changed(script: ScriptDirectory, heads: tuple[str, ...], connection: Connection) -> None:
    """Raise `HistoryChanged` for the first applied revision whose text is not what ran."""
    for problem in changed(script, heads, connection):
        raise problem


def changed(script: ScriptDirectory, heads: tuple[str, ...], connection: Connection) -> Iterator[HistoryChanged]:
    """Yield an error for each applied revision whose text is not what ran, in the order of their ids."""
    recorded = ledger.checksums(connection)
    for revision in sorted(graph.applied_scripts(script, heads), key=lambda revision: revision.revision):
        row, checksum = recorded.get(revision.revision), graph.checksum(revision)
        # without a row it was stamped over, or ran before there was a ledger; what ran is then unknown
        if row is not None and checksum != row["checksum"]:
            yield HistoryChanged(revision.revision, row["ran_at"], row["checksum"], checksum)
