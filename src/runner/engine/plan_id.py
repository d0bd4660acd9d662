"""A plan's id: a hash of all parts of the plan, followed by a hint for each kind of part.

The hash alone decides whether a plan holds. It would not say what changed, and the parts are not stored anywhere; so a
hint of three bytes for each kind follows, from which the message names the kinds that changed. The length of an id does
not depend on the number of revisions.
"""

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence, Set

from sqlalchemy import Connection

from runner.postgres import sql, tokens
from runner.schema.catalog import Catalog
from runner.script.offline import Rendered

Part = tuple[str, str]
"""A kind, such as `heads`, `file` or `tables`, and a name."""
Parts = dict[Part, str]
"""The text of each part."""

PLACE, HEADS, TARGET, IMAGE = ("place", ""), ("heads", ""), ("target", ""), ("image", "")
LINT = ("lint", "")
"""Whether the plan was linted. A run does not lint again: it knows the texts for both, and takes the one that holds."""
LINTED, NOT_LINTED = "linted", "not linted"
CHANGED = {
    "place": "it was made for another environment or database than `{now}`",
    "heads": "it was made at {before}, and the database is at `{now}`",
    "target": "it leads to {before}, and the target is `{now}`",
    "image": "the image is now `{now}`",
    "lint": "it was {other}",
    "file": "the file of a revision was edited, added or removed",
    "SQL": "the SQL of a revision has changed",
    "tables": "a table that it touches was altered, made or dropped",
    "views": "a view that it touches was altered, made or dropped",
    "sequences": "a sequence that it touches was altered, made or dropped",
    "types": "a type that it touches was altered, made or dropped",
    "functions": "a function that it touches was altered, made or dropped",
    "others": "another object that it touches was altered, made or dropped",
}
"""What a changed kind is called, in the order of the hints; `others` stands for every kind that is not listed."""

FOLLOWING = {
    "place": CHANGED.keys() - {"place"},
    "heads": CHANGED.keys() - {"heads"},
    "target": CHANGED.keys() - {"target"},
    "file": CHANGED.keys() - {"image", "lint", "file"},
    "SQL": CHANGED.keys() - {"image", "lint", "SQL"},
}
"""The kinds that are not named beside a changed kind, since another plan names other objects."""

VERSION = "2"
"""The character that begins the hints of an id, the version of its format."""
HINT = 4
"""The characters of a hint, which stand for three bytes. A change is not named once in 16 million times."""
EARLIER = "it was made by an earlier version of the runner"


def place(environment: str, connection: Connection) -> str:
    """Return the place where a plan holds: the names of the environment and of the database."""
    return f"{environment}, {connection.exec_driver_sql('select current_database()').scalar_one()}"


def collect(
    place: str,
    heads: Sequence[str],
    target: str,
    rendered: Sequence[Rendered],
    catalog: Catalog,
    image: str | None,
    *,
    linted: bool = True,
) -> Parts:
    """Return the parts of a plan.

    `place` comes from the function of that name: a finding that is a warning in one place may be an error in another.
    """
    parts = {PLACE: place, HEADS: ",".join(heads) or "base", TARGET: target, IMAGE: image or "none"}
    parts[LINT] = LINTED if linted else NOT_LINTED
    for revision in rendered:
        parts["file", revision.revision] = revision.checksum
        # sorted: SQLAlchemy keeps a table's indexes in a set, and the checksum has the order that the file says
        parts["SQL", revision.revision] = "\n".join(sorted(revision.statements or ()))
    # sorted: the order decides the hash, and a set has none
    for part in sorted({part for found in touched(catalog, rendered).values() for part in found}):
        parts[part] = json.dumps(catalog[part[0]][part[1]], sort_keys=True)
    return parts


def identify(parts: Parts) -> str:
    """Return the id of the plan that consists of `parts`, in URL-safe characters.

    16 hex digits of the hash, a hyphen, the version of the format, and a hint for each kind: 70 characters.
    """
    # 64 bits: an id is compared with one other, so no collision has to be feared
    digest = hashlib.sha256(json.dumps([*parts.items()]).encode()).hexdigest()[:16]
    return f"{digest}-{VERSION}{''.join(_hints(parts).values())}"


def changes(plan: str, parts: Parts, known: Iterable[str]) -> list[str]:
    """Return in words what changed since `plan` was made; empty if the plan still holds.

    `known` are the ids of revisions: a hint is only a hash, so the name of a former head is looked up among these.
    """
    if plan == identify(parts):
        return []
    then, now = _read_hints(plan), _hints(parts)
    if then is None:
        return [EARLIER if _is_of_version_1(plan) else "the id is incomplete"]
    differing = [kind for kind in CHANGED if then[kind] != now[kind]]
    for kind, following in FOLLOWING.items():
        if kind in differing:
            differing = [other for other in differing if other not in following]
    told = [_describe_change(kind, parts.get((kind, ""), ""), then[kind], known) for kind in differing]
    return told or ["the id is that of another plan"]


def touched(catalog: Catalog, rendered: Iterable[Rendered]) -> dict[str, set[Part]]:
    """Return the objects of a catalog that each revision names in its SQL, or in its file if its SQL is not known.

    A revision names an object by the object's name or by that of a part, such as an index. Naming a table also names
    the functions of its triggers. There may be too many objects, since a column can have a table's name; then a plan is
    refused that would have held.
    """
    # once for all revisions: there may be thousands of them, and of objects
    named, behind = _by_name(catalog), _of_triggers(catalog)
    return {revision.revision: _reach(revision.words, named, behind) for revision in rendered}


def _reach(words: Set[str], named: Mapping[str, set[Part]], behind: Mapping[Part, set[str]]) -> set[Part]:
    found: set[Part] = set()
    while words:
        new = {part for word in words & named.keys() for part in named[word]} - found
        found |= new
        words = {word for part in new for word in behind.get(part, ())}
    return found


def _by_name(catalog: Catalog) -> dict[str, set[Part]]:
    """Return the objects by each word that names them, without the schema, which `search_path` may supply."""
    named: dict[str, set[Part]] = {}
    for kind, objects in catalog.items():
        for name, sections in objects.items():
            parts = [part for section in ("constraints", "indexes", "triggers") for part in sections.get(section, ())]
            for one in (name, *parts):
                named.setdefault(sql.read_name(one)[1], set()).add((kind, name))
    return named


def _of_triggers(catalog: Catalog) -> dict[Part, set[str]]:
    """Return the words of the triggers of each table that has one."""
    return {
        ("tables", name): {token.value for text in table["triggers"].values() for token in tokens.read(text)}
        for name, table in catalog.get("tables", {}).items()
        if "triggers" in table
    }


def _hints(parts: Parts) -> dict[str, str]:
    """Return the hint of each kind, also of one that has no part."""
    texts: dict[str, list[tuple[str, str]]] = {kind: [] for kind in CHANGED}
    for (kind, name), text in parts.items():
        texts[kind if kind in CHANGED else "others"].append((name, text))
    return {kind: _hint(found) for kind, found in texts.items()}


def _hint(texts: list[tuple[str, str]]) -> str:
    digest = hashlib.sha256(json.dumps(texts).encode()).digest()
    return base64.urlsafe_b64encode(digest[: HINT * 3 // 4]).decode()


def _read_hints(plan: str) -> dict[str, str] | None:
    """Return the hint of each kind, None for a text that is no id of this version."""
    hints = plan.partition("-")[2]
    if not hints.startswith(VERSION) or len(hints) != len(VERSION) + HINT * len(CHANGED):
        return None
    return {kind: hints[(at := len(VERSION) + HINT * place) : at + HINT] for place, kind in enumerate(CHANGED)}


def _is_of_version_1(plan: str) -> bool:
    """Return whether a text has the form of the ids before version 2: six bytes in base64 for each part, at least four.

    Those ids have no character for a version, so that the length of their hints is a multiple of 8, and never ours.
    """
    length = len(plan.partition("-")[2])
    return length >= 4 * 8 and length % 8 == 0


def _describe_change(kind: str, now: str, then: str, known: Iterable[str]) -> str:
    formerly = {_hint([("", name)]): f"`{name}`" for name in [*known, "base"]}
    other = NOT_LINTED if now == LINTED else LINTED
    return CHANGED[kind].format(now=now, before=formerly.get(then, "another revision"), other=other)
