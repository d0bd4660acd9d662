"""Whether the version table, the ledger and the files agree on what was applied.

The version table says where the database is. The ledger testifies: what ran, and with which text.
"""

import os
import shlex
from collections.abc import Iterable, Iterator, Sequence

from alembic.script import Script, ScriptDirectory
from sqlalchemy import Connection

from runner import policy
from runner.engine import ledger
from runner.engine.ledger import Testimony
from runner.errors import DowngradeChanged, HistoryChanged, HistoryContradicted
from runner.script import git, graph, syntax
from runner.settings import Settings


def refuse(
    script: ScriptDirectory,
    heads: tuple[str, ...],
    connection: Connection,
    settings: Settings,
    *,
    stamps: bool = False,
    reverted: str | None = None,
) -> None:
    """Raise the first of `problems`; a run that `stamps` settles a contradiction.

    The text of a revision that is `reverted` first, by a `redo`, may be another one; its `downgrade()` may not.
    """
    for problem in problems(script, heads, connection, settings):
        if stamps and isinstance(problem, HistoryContradicted):
            continue
        if isinstance(problem, HistoryChanged) and problem.revision == reverted:
            _refuse_downgrade(graph.get(script, reverted), connection, settings)
            continue
        raise problem


def problems(
    script: ScriptDirectory, heads: tuple[str, ...], connection: Connection, settings: Settings
) -> Iterator[HistoryContradicted | HistoryChanged]:
    """Yield an error where version table and ledger contradict each other, and one for each edited revision."""
    scripts = graph.applied_scripts(script, heads)
    contradicted = _contradiction(script, heads, {revision.revision for revision in scripts}, connection, settings)
    if contradicted is not None:
        yield contradicted
    yield from _changed(scripts, heads, connection, settings)


def find_contradiction(
    script: ScriptDirectory, rows: tuple[str, ...], connection: Connection, settings: Settings
) -> HistoryContradicted | None:
    """Return the error for a version table, with these rows, that contradicts the ledger or itself, else None."""
    return _contradiction(script, rows, graph.applied(script, rows), connection, settings)


def find_lost_branches(
    script: ScriptDirectory, rows: tuple[str, ...], connection: Connection, settings: Settings
) -> tuple[str, ...]:
    """Return the heads that only the ledger has, where the database has others beside; else none."""
    # rows that no file has are those of a purge
    if not set(rows) <= graph.ids(script):
        return ()
    found = find_contradiction(script, rows, connection, settings)
    lost = () if found is None else found.lost
    return lost if len(_ends(script, {*lost, *rows})) > 1 else ()


def _contradiction(
    script: ScriptDirectory, rows: tuple[str, ...], applied: set[str], connection: Connection, settings: Settings
) -> HistoryContradicted | None:
    """Return the error for a version table that contradicts the ledger or itself, None for one that does not.

    `applied` are the revisions that its rows imply. It contradicts the ledger where that says that another one is
    applied. A version without a row in the ledger was adopted.
    """
    extra = graph.implied_rows(script, rows)
    kept = tuple(row for row in rows if row not in extra)
    missing = _missing(script, applied, ledger.testimonies(connection))
    if missing:
        were = f"{_list(missing)} was applied on" if len(missing) == 1 else f"{_list(missing)} were, the last one on"
        newest = _ends(script, applied | missing.keys())
        said = f"the ledger says that {were} {max(missing.values())}"
        lost = tuple(name for name in newest if name in missing)
        return HistoryContradicted(_at(rows), said, f"{_stamps(lost, settings)}; or {_stamps(kept, settings)}", lost)
    if extra:
        said = f"the revisions say that the others imply {_list(extra)}"
        return HistoryContradicted(_at(rows), said, _stamps(kept[:1], settings))
    return None


def _missing(script: ScriptDirectory, applied: set[str], testimonies: Sequence[Testimony]) -> dict[str, str]:
    """Return the revisions that the ledger says are applied and that are not among `applied`, with the day.

    The newest row of a revision counts, unless a later stamp spoke of it: one of a revision before or behind it, one of
    base, or one without a step. Of a revision without a file, which is in no graph, nothing can be said.
    """
    newest: dict[str, Testimony] = {}
    for one in testimonies:
        if not one.settles and one.revision != "base":
            newest[one.revision] = max(newest.get(one.revision, one), one, key=lambda each: each.run_id)
    claimed = {name: one for name, one in newest.items() if name not in applied and one.direction != "downgrade"}
    if not claimed:
        return {}
    known = graph.ids(script)
    stamps = [one for one in testimonies if one.direction == "stamp"]
    return {
        name: one.ran_at
        for name, one in claimed.items()
        if name in known and not any(_overrides(script, stamp, one) for stamp in stamps)
    }


def _overrides(script: ScriptDirectory, stamp: Testimony, earlier: Testimony) -> bool:
    if stamp.run_id <= earlier.run_id:
        return False
    line = graph.before(script, [stamp.revision]), graph.before(script, [earlier.revision])
    return stamp.settles or stamp.revision == "base" or earlier.revision in line[0] or stamp.revision in line[1]


def _changed(
    scripts: Iterable[Script], heads: tuple[str, ...], connection: Connection, settings: Settings
) -> Iterator[HistoryChanged]:
    """Yield an error for each applied revision whose text is not what was recorded, in the order of their ids."""
    can_redo = policy.is_allowed(settings, "redo")
    recorded = ledger.checksums(connection)
    for revision in sorted(scripts, key=lambda revision: revision.revision):
        row, checksum = recorded.get(revision.revision), graph.checksum(revision)
        # without a row it was stamped over, or ran before there was a ledger; what ran is then unknown
        if row is not None and checksum != row.checksum:
            same = row.runs_the_same(graph.checksums(revision))
            # git is asked only where the old text comes first
            old = None if same else git.find(revision.path, row.checksum)
            command = f"git restore --source={old.commit} {shlex.quote(old.path)}" if old else None
            # `redo` reverts the one newest revision
            redo = can_redo and heads == (revision.revision,) and not settings.is_protected
            repair = policy.offer(settings, "repair", revision.revision)
            yield HistoryChanged(revision.revision, row.ran_at, row.checksum, checksum, repair, same, command, redo)


def _refuse_downgrade(revision: Script, connection: Connection, settings: Settings) -> None:
    """Raise `DowngradeChanged` for an edited revision unless its `downgrade()` is the one of the recorded text."""
    row = ledger.checksums(connection)[revision.revision]
    old = git.find(revision.path, row.checksum)
    known = row.downgrade_checksum or (syntax.checksums(old.content).downgrade if old else None)
    if known is None or known != graph.checksums(revision).downgrade:
        path = os.path.relpath(revision.path)
        accepting = policy.offer(settings, "repair", revision.revision)
        raise DowngradeChanged(revision.revision, known is not None, path, accepting, old.commit if old else None)


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


def _stamps(heads: tuple[str, ...], settings: Settings) -> str:
    return ", then ".join(policy.offer(settings, "stamp", head) for head in heads or ("base",))
