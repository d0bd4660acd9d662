"""Whether the version table, the ledger and the files agree on what was applied.

The version table says where the database is. The ledger testifies: what ran, and with which text.
"""

from collections.abc import Iterable, Iterator

from alembic.script import Script, ScriptDirectory
from sqlalchemy import Connection

from runner.engine import ledger
from runner.errors import HistoryChanged, HistoryContradicted
from runner.script import graph


def refuse(script: ScriptDirectory, heads: tuple[str, ...], connection: Connection, *, stamps: bool = False) -> None:
    """Raise the first of `problems`; a run that `stamps` settles a contradiction."""
    for problem in problems(script, heads, connection):
        if not (stamps and isinstance(problem, HistoryContradicted)):
            raise problem


def problems(
    script: ScriptDirectory, heads: tuple[str, ...], connection: Connection
) -> Iterator[HistoryContradicted | HistoryChanged]:
    """Yield an error where version table and ledger contradict each other, and one for each edited revision."""
    scripts = graph.applied_scripts(script, heads)
    contradicted = _contradiction(script, heads, {revision.revision for revision in scripts}, connection)
    if contradicted is not None:
        yield contradicted
    yield from _changed(scripts, connection)


def contradicts(script: ScriptDirectory, heads: tuple[str, ...], connection: Connection) -> bool:
    """Return whether the version table, whose rows are `heads`, contradicts the ledger or itself."""
    return _contradiction(script, heads, graph.applied(script, heads), connection) is not None


def _contradiction(
    script: ScriptDirectory, heads: tuple[str, ...], applied: set[str], connection: Connection
) -> HistoryContradicted | None:
    """Return the error for a version table that contradicts the ledger or itself, None for one that does not.

    `applied` are the revisions that its rows, `heads`, imply. It contradicts the ledger where the newest row of a
    revision says that it was applied, nothing has reverted or stamped it since, and it is not among `applied`. A
    version without a row in the ledger was adopted. Of a revision without a file, which is in no graph, nothing can be
    said.
    """
    extra = graph.implied_rows(script, heads)
    kept = tuple(head for head in heads if head not in extra)
    missing = {name: at for name, at in ledger.applied(connection).items() if name not in applied}
    if missing:
        known = graph.ids(script)
        missing = {name: at for name, at in missing.items() if name in known}
    if missing:
        were = f"{_list(missing)} was applied on" if len(missing) == 1 else f"{_list(missing)} were, the last one on"
        newest = _ends(script, applied | missing.keys())
        said = f"the ledger says that {were} {max(missing.values())}"
        return HistoryContradicted(_at(heads), said, f"{_stamps(newest)} or {_stamps(kept)}")
    if extra:
        return HistoryContradicted(_at(heads), f"the revisions say that the others imply {_list(extra)}", _stamps(kept))
    return None


def _changed(scripts: Iterable[Script], connection: Connection) -> Iterator[HistoryChanged]:
    """Yield an error for each applied revision whose text is not what ran, in the order of their ids."""
    recorded = ledger.checksums(connection)
    for revision in sorted(scripts, key=lambda revision: revision.revision):
        row, checksum = recorded.get(revision.revision), graph.checksum(revision)
        # without a row it was stamped over, or ran before there was a ledger; what ran is then unknown
        if row is not None and checksum != row["checksum"]:
            yield HistoryChanged(revision.revision, row["ran_at"], row["checksum"], checksum)


def _ends(script: ScriptDirectory, names: Iterable[str]) -> tuple[str, ...]:
    """Return the revisions among `names` that no other of them follows."""
    names = set(names)
    return tuple(sorted(names - graph.implied_rows(script, tuple(names))))


def _list(names: Iterable[str]) -> str:
    shown = sorted(names)
    few = ", ".join(f"`{name}`" for name in shown[:3])
    return few if len(shown) <= 3 else f"{few} and {len(shown) - 3} more"


def _at(heads: tuple[str, ...]) -> str:
    return ", ".join(sorted(heads)) or "base"


def _stamps(heads: tuple[str, ...]) -> str:
    return ", then ".join(f"`migrate stamp {head}`" for head in heads or ("base",))
