"""A plan's id: a hash of all parts of the plan, followed by a hint for each part.

The hash alone decides whether a plan holds. It would not say what changed, and the parts are not stored anywhere; so a
hint of three bytes for each part's name and three for its text follows, from which the message names the changed parts.
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
"""A kind (`place`, `heads`, `target`, `image`, `lint`, `file`, `SQL`, `rest` or a kind of the catalog) and a name."""
Parts = dict[Part, str]
"""The text of each part."""

PLACE, HEADS, TARGET, IMAGE, REST = ("place", ""), ("heads", ""), ("target", ""), ("image", ""), ("rest", "")
LINT = ("lint", "")
"""Whether the plan was linted. A run does not lint again: it knows the texts for both, and takes the one that holds."""
LINTED, NOT_LINTED = "linted", "not linted"
MOST_HINTS = 60
"""The parts beyond these share one hint: a plan of a thousand revisions would have an id of 16 kB."""
HINT_BYTES = 3
"""Two of 60 hints are equal once in ten thousand plans; then a message may name the wrong part."""


def place(environment: str, connection: Connection) -> str:
    """Return the place where a plan holds: the names of the environment and of the database."""
    return f"{environment}, {connection.exec_driver_sql('select current_database()').scalar_one()}"


def collect(
    place: str,
    heads: Sequence[str],
    target: str,
    rendered: Iterable[Rendered],
    catalog: Catalog,
    image: str | None,
    *,
    linted: bool = True,
) -> Parts:
    """Return the parts of a plan, in the order in which they get hints: those that explain most come first.

    `place` comes from the function of that name: a finding that is a warning in one place may be an error in another.
    """
    parts = {PLACE: place, HEADS: ",".join(heads) or "base", TARGET: target, IMAGE: image or "none"}
    parts[LINT] = LINTED if linted else NOT_LINTED
    for revision in rendered:
        parts["file", revision.revision] = revision.checksum
        parts["SQL", revision.revision] = "\n".join(revision.statements or ())
    # sorted: the order decides the hash, and a set has none
    for part in sorted({part for revision in rendered for part in touched(catalog, revision)}):
        parts[part] = json.dumps(catalog[part[0]][part[1]], sort_keys=True)
    return parts


def identify(parts: Parts) -> str:
    """Return the id of the plan that consists of `parts`: 16 hex digits, a hyphen, and the hints in URL-safe base64."""
    # 64 bits: an id is compared with one other, so no collision has to be feared
    digest = hashlib.sha256(json.dumps([*parts.items()]).encode()).hexdigest()[:16]
    hints = b"".join(_hint(*part) + _hint(text) for part, text in _hinted(parts).items())
    return f"{digest}-{base64.urlsafe_b64encode(hints).decode()}".rstrip("=")


def changes(plan: str, parts: Parts, known: Iterable[str]) -> list[str]:
    """Return in words what changed since `plan` was made; empty if the plan still holds.

    `known` are the ids of revisions: a hint is only a hash, so the name of a former head is looked up among these.
    """
    if plan == identify(parts):
        return []
    then, now = _read_hints(plan), _hinted(parts)
    # these four come first, so a whole id has them whatever its length
    if not {_hint(*part) for part in (PLACE, HEADS, TARGET, IMAGE)} <= then.keys():
        return ["the id is incomplete"]
    formerly = {_hint(name): f"`{name}`" for name in [*known, "base"]}
    differing = [part for part in now if then.get(_hint(*part)) != _hint(now[part])]
    for part in (PLACE, HEADS):
        if part in differing:
            # the other differences follow from this one
            differing = [part]
    # so does the SQL of an edited file
    differing = [part for part in differing if part[0] != "SQL" or ("file", part[1]) not in differing]
    told = [_describe_change(part, now[part], then.get(_hint(*part)), formerly) for part in differing]
    gone = (
        []
        if differing in ([PLACE], [HEADS])
        else [f"`{name}` no longer exists" for name in _dropped_tables(parts, then)]
    )
    return list(dict.fromkeys([*told, *gone])) or ["the id is that of another plan"]


def touched(catalog: Catalog, rendered: Rendered) -> Iterator[Part]:
    """Yield the objects of a catalog that a revision names in its SQL, or in its file if its SQL is not known.

    A revision names an object by the object's name or by that of a part, such as an index. Naming a table also names
    the functions of its triggers. Too many objects may be yielded, since a column can have a table's name; then a plan
    is refused that would have held.
    """
    words = _words(rendered)
    for name, table in catalog.get("tables", {}).items():
        if _is_named(name, table, words):
            words |= {token.value for text in table.get("triggers", {}).values() for token in tokens.read(text)}
    for kind, objects in catalog.items():
        for name, sections in objects.items():
            if _is_named(name, sections, words):
                yield kind, name


def _is_named(name: str, sections: dict[str, dict[str, str]], words: set[str]) -> bool:
    parts = (part for section in ("constraints", "indexes", "triggers") for part in sections.get(section, ()))
    # without the schema, which `search_path` may supply
    return sql.read_name(name)[1] in words or any(sql.read_name(part)[1] in words for part in parts)


def _words(rendered: Rendered) -> set[str]:
    """Return the words of a revision that may be names."""
    if rendered.statements is None:
        # every word, also in lower case: a quote in Python's text begins a string and does not keep a name's case
        words = set(re.findall(r"[^\W\d][\w$]*", rendered.source))
        return words | {word.lower() for word in words}
    return {word for statement in rendered.statements for word in sql.names_in(statement)}


def _hinted(parts: Parts) -> Parts:
    """Return the parts that have a hint each, and `REST` for all others."""
    if len(parts) <= MOST_HINTS:
        return parts
    items = [*parts.items()]
    return {**dict(items[:MOST_HINTS]), REST: json.dumps(items[MOST_HINTS:])}


def _hint(*texts: str) -> bytes:
    return hashlib.sha256("\n".join(texts).encode()).digest()[:HINT_BYTES]


def _read_hints(plan: str) -> dict[bytes, bytes]:
    """Return the hints of an id, each part's text by its name; empty for a text that is no id."""
    encoded = plan.partition("-")[2]
    try:
        # `identify` strips the padding
        data = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
    except binascii.Error:
        return {}
    if len(data) % (2 * HINT_BYTES):
        return {}
    pairs = range(0, len(data), 2 * HINT_BYTES)
    return {data[at : at + HINT_BYTES]: data[at + HINT_BYTES : at + 2 * HINT_BYTES] for at in pairs}


def _describe_change(part: Part, now: str, then: bytes | None, formerly: dict[bytes, str]) -> str:
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
        case ("lint", _):
            return "it was not linted" if now == LINTED else "it was linted"
        case ("file", name):
            return f"`{name}` was edited" if then else f"`{name}` is new"
        case ("SQL", name):
            return f"the SQL of `{name}` has changed"
        case ("rest", _):
            return f"something beyond its first {MOST_HINTS} parts has changed"
        case (_, name):
            return f"`{name}` was altered" if then else f"`{name}` now exists"


def _dropped_tables(parts: Parts, then: dict[bytes, bytes]) -> Iterator[str]:
    """Yield the tables that the plan's SQL names, and that existed when the plan was made and do not exist now."""
    words = {word for part, text in parts.items() if part[0] == "SQL" for word in sql.names_in(text)}
    # a hint is only a hash, so names are guessed from the SQL; `search_path` is `public`
    for name in sorted(f"public.{word}" for word in words):
        if ("tables", name) not in parts and _hint("tables", name) in then:
            yield name
