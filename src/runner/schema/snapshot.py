"""A snapshot: the catalog after a revision as a file, with a hash of the texts that it was made from.

The hash is the name of an empty kind, `"made_from 9f31…": {}`. A runner from before it compares kind by kind, and takes
an empty kind for one that is missing, so it reads the same catalog.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.errors import InvalidSettings, translating
from runner.project import shown
from runner.schema import catalog
from runner.schema.catalog import Catalog

MADE_FROM = "made_from "


@dataclass(frozen=True)
class Snapshot:
    """The content of a snapshot's file."""

    catalog: Catalog
    made_from: str | None
    """The hash of the texts, see `graph.lineage`; None in a file that an older version wrote."""


def load(folder: Path, revision: str) -> Snapshot | None:
    """Return the snapshot of `revision`, or None if `migrate snapshot` has not written it yet.

    Raises `InvalidSettings` for a file that is no snapshot.
    """
    path = folder / f"{revision}.json"
    if not path.exists():
        return None
    unreadable = InvalidSettings(
        f"The snapshot `{shown(path)}` cannot be read.", "Write it again with `migrate snapshot`."
    )
    with translating((OSError, ValueError, RecursionError), lambda _: unreadable):
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict) or not all(isinstance(objects, dict) for objects in content.values()):
        raise unreadable
    marks = [kind for kind in content if kind.startswith(MADE_FROM)]
    kinds = {kind: objects for kind, objects in content.items() if kind not in marks}
    return Snapshot(kinds, marks[0].removeprefix(MADE_FROM) if marks else None)


def is_readable(folder: Path, revision: str) -> bool:
    """Return whether the snapshot of `revision` can be read."""
    try:
        load(folder, revision)
    except InvalidSettings:
        return False
    return True


def render(kinds: Catalog, made_from: str) -> str:
    """Return the text of a snapshot's file."""
    return catalog.render({f"{MADE_FROM}{made_from}": {}, **kinds})
