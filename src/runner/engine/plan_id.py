"""A plan's id: a hash of all that the plan rests on, with a hint for each part, so that what changed has a name.

A hash alone would say that something changed, and not what. So three bytes of each part's name and of its
value follow; they serve the message only, the hash decides.
"""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence

from sqlalchemy import Connection

from runner.postgres import sql, tokens
from runner.schema.catalog import Catalog
from runner.script.offline import Rendered

Part = tuple[str, str]
"""What sort of thing it is (`heads`, `target`, `image`, `file`, `SQL` or a kind of the catalog), and its name."""
Parts = dict[Part, str]

PLACE, HEADS, TARGET, IMAGE, REST = ("place", ""), ("heads", ""), ("target", ""), ("image", ""), ("rest", "")
MOST_HINTS = 60
"""A plan of a thousand revisions would have an id of 16 kB; the parts beyond these share one hint."""
HINT_BYTES = 3


def place(environment: str, connection: Connection) -> str:
    """Return where a plan holds: the environment's name and the database's."""
    return f"{environment}, {connection.exec_driver_sql('select current_database()').scalar_one()}"


def collect(
    place: str, heads: Sequence[str], target: str, rendered: Iterable[Rendered], catalog: Catalog, image: str | None
) -> Parts:
    """Return the text of each part that a plan rests on, the most telling ones first.

    `place` names the environment and the database: what is no error in one may be one in the other.
    """
    parts = {PLACE: place, HEADS: ",".join(heads) or "base", TARGET: target, IMAGE: image or "none"}
    for one in rendered:
        parts["file", one.revision] = one.checksum
        parts["SQL", one.revision] = "\n".join(one.statements or ())
    for part in sorted({part for one in rendered for part in touched(catalog, one)}):
        parts[part] = json.dumps(catalog[part[0]][part[1]], sort_keys=True)
    return parts


def identify(parts: Parts) -> str:
    """Return the id of the plan that rests on `parts`."""
    digest = hashlib.sha256(json.dumps([*parts.items()]).encode()).hexdigest()[:16]
    hints = b"".join(_hint(*part) + _hint(text) for part, text in _hinted(parts).items())
    return f"{digest}-{base64.urlsafe_b64encode(hints).decode()}".rstrip("=")


def changes(plan: str, parts: Parts, known: Iterable[str]) -> list[str]:
    """Say in words what is not as it was when `plan` was made; empty where it still holds.

    `known` are the revisions among which a former one is looked for.
    """
    if plan == identify(parts):
        return []
    then, now = _read_hints(plan), _hinted(parts)
    if not {_hint(*part) for part in (PLACE, HEADS, TARGET, IMAGE)} <= then.keys():
        return ["the id is incomplete"]
    formerly = {_hint(name): f"`{name}`" for name in [*known, "base"]}
    differing = [part for part in now if then.get(_hint(*part)) != _hint(now[part])]
    for part in (PLACE, HEADS):
        if part in differing:
            # what else differs follows from it
            differing = [part]
    differing = [part for part in differing if part[0] != "SQL" or ("file", part[1]) not in differing]
    told = [_tell(part, now[part], then.get(_hint(*part)), formerly) for part in differing]
    gone = [] if differing in ([PLACE], [HEADS]) else [f"`{name}` no longer exists" for name in _gone(parts, then)]
    return list(dict.fromkeys([*told, *gone])) or ["the id is that of another plan"]


def touched(catalog: Catalog, rendered: Rendered) -> Iterator[Part]:
    """Yield the things of a catalog that a revision names: in its SQL, or in its file where nobody knows its SQL.

    A thing counts as named by its own name and by that of a part of it, such as an index; a function also by
    a trigger of a table that is named. Too many may count, for a column can have a table's name; a plan is
    then refused that would have held.
    """
    words = _words(rendered)
    for name, table in catalog.get("tables", {}).items():
        if _is_named(name, table, words):
            words |= {token.value for text in table.get("triggers", {}).values() for token in tokens.read(text)}
    for kind, things in catalog.items():
        for name, thing in things.items():
            if _is_named(name, thing, words):
                yield kind, name


def _is_named(name: str, thing: dict[str, dict[str, str]], words: set[str]) -> bool:
    parts = (part for section in ("constraints", "indexes", "triggers") for part in thing.get(section, ()))
    return sql.read_name(name)[1] in words or any(sql.read_name(part)[1] in words for part in parts)


def _words(rendered: Rendered) -> set[str]:
    """Return all that a revision has which may be a name."""
    if rendered.statements is None:
        # in Python's text a quote begins a string, and not a name
        raw = set(re.findall(r"[^\W\d][\w$]*", rendered.source))
        return raw | {word.lower() for word in raw}
    return {word for statement in rendered.statements for word in sql.names_in(statement)}


def _hinted(parts: Parts) -> Parts:
    """Return the parts that have a hint of their own, and one for all others."""
    if len(parts) <= MOST_HINTS:
        return parts
    items = [*parts.items()]
    return {**dict(items[:MOST_HINTS]), REST: json.dumps(items[MOST_HINTS:])}


def _hint(*texts: str) -> bytes:
    return hashlib.sha256("\n".join(texts).encode()).digest()[:HINT_BYTES]


def _read_hints(plan: str) -> dict[bytes, bytes]:
    """Return the hints of an id, values by names; none from a text that is not one."""
    encoded = plan.partition("-")[2]
    try:
        data = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
    except binascii.Error:
        return {}
    if len(data) % (2 * HINT_BYTES):
        return {}
    pairs = range(0, len(data), 2 * HINT_BYTES)
    return {data[at : at + HINT_BYTES]: data[at + HINT_BYTES : at + 2 * HINT_BYTES] for at in pairs}


def _tell(part: Part, now: str, then: bytes | None, formerly: dict[bytes, str]) -> str:
    before = formerly.get(then or b"", "another revision")
    match part:
        case ("place", _):
            return f"it was made for another environment or database than `{now}`"
        case ("heads", _):
            return f"it was made at {before}, and the database is at `{now}`"
        case ("target", _):
            return f"it leads to {before}, and the target is `{now}`"
        case ("image", _):
            return f"the image is now `{now}`"
        case ("file", name):
            return f"`{name}` was edited" if then else f"`{name}` is new"
        case ("SQL", name):
            return f"the SQL of `{name}` has changed"
        case ("rest", _):
            return f"something beyond its first {MOST_HINTS} parts has changed"
        case (_, name):
            return f"`{name}` was altered" if then else f"`{name}` now exists"


def _gone(parts: Parts, then: dict[bytes, bytes]) -> Iterator[str]:
    """Yield the tables that the plan's SQL names, that were there then, and are not now."""
    words = {word for part, text in parts.items() if part[0] == "SQL" for word in sql.names_in(text)}
    for name in sorted(f"public.{word}" for word in words):
        if ("tables", name) not in parts and _hint("tables", name) in then:
            yield name
