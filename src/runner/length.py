"""The limit of an answer's length: whatever is long in a document is cut, wherever it stands in it."""

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate

from runner.answer import Json

# Lambda itself would return 6 MB, but the state machine passes an answer on as its state. Step Functions fails an
# execution whose state exceeds 256 KiB, and no Catch of the state machine handles that:
# https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
LONGEST_ANSWER = 200_000
"""The most bytes of an answer as JSON."""
LONGEST_TEXT = 10_000
"""The most bytes of a text that is raised, and of a sentence in an answer that is cut."""
ROOM = LONGEST_ANSWER - 2_000
"""What is left for an answer beside the sentence that says what is missing."""
MOST_FIELDS = 50
"""An object with more keys is a map, such as one of locks by table, and is cut like a list."""
SHORTEST_FIELD = 50
KEPT = ("applied", "pending")
"""The lists by which a caller counts the revisions of a run: they are cut only where the rest is not enough."""
SHOWN = 5
"""The most places that the sentence about the missing parts names."""

Lost = dict[str, int]
"""The number of missing entries by the place of the list, 0 for a text without its middle."""


def fit(document: dict[str, Json]) -> dict[str, Json]:
    """Return an answer of at most 200 kB: a longer one without its SQL, then without the ends of what is longest.

    The field `left_out` says what is missing. Short fields, among them those that say how a call ended, stay whole.
    """
    if _size(document) <= LONGEST_ANSWER:
        return document
    lost: Lost = {}
    bare = _without_sql(document)
    fitted = bare if _size(bare) <= ROOM else _cut_document(bare, lost)
    return {**fitted, "left_out": _say(bare is not document, lost)}


def cut_text(text: str, room: int = LONGEST_TEXT) -> str:
    """Return a text of at most `room` bytes as JSON; a longer one lacks its middle, since its end has the next step."""
    size, keep = _size(text), len(text)
    while size > room:
        # characters have one to twelve bytes
        keep = min(keep * 9 // 10, keep * room // size)
        end = keep // 3
        if not end:
            return ""
        cut = f"{text[: keep - end]} […{len(text) - keep} characters are left out…] {text[len(text) - end :]}"
        size = _size(cut)
    return text if keep == len(text) else cut


def _without_sql(document: dict[str, Json]) -> dict[str, Json]:
    """Return a plan without its SQL, any other answer itself."""
    revisions = document.get("revisions")
    if not isinstance(revisions, list) or not any(isinstance(one, dict) and one.get("sql") for one in revisions):
        return document
    bare = [one | {"sql": None} if isinstance(one, dict) and "sql" in one else one for one in revisions]
    return {**document, "revisions": bare}


def _cut_document(document: dict[str, Json], lost: Lost) -> dict[str, Json]:
    short = {key: cut_text(value) if isinstance(value, str) else value for key, value in document.items()}
    lost |= {key: 0 for key in short if short[key] is not document[key]}
    whole = {key: value for key, value in short.items() if key in KEPT}
    kept = _size(whole)
    if kept > ROOM // 2:
        return _cut_object(short, ROOM, "", lost)
    rest = {key: value for key, value in short.items() if key not in KEPT}
    fitted = _cut_object(rest, ROOM - kept, "", lost)
    return {key: whole[key] if key in whole else fitted[key] for key in short if key in whole or key in fitted}


def _cut(value: Json, room: int, place: str, lost: Lost) -> Json:
    """Return a value of at most `room` bytes, of the same type unless it is neither a text, a list nor an object."""
    if _size(value) <= room:
        return value
    match value:
        case str():
            lost.setdefault(place, 0)
            return cut_text(value, room)
        case list() | tuple():
            return _cut_list(value, room, place, lost)
        case dict():
            return _cut_object(value, room, place, lost)
    lost.setdefault(place, 0)
    return None


def _cut_object(fields: dict[str, Json], room: int, place: str, lost: Lost) -> dict[str, Json]:
    """Return an object with its short fields whole, the long ones sharing the rest; a map loses its last entries."""
    keys = sum(_size(str(key)) + len(": , ") for key in fields)
    if len(fields) > MOST_FIELDS or room - keys < SHORTEST_FIELD * len(fields):
        return _cut_map(fields, room, place, lost)
    share = _share([_size(value) for value in fields.values()], room - keys)
    return {key: _cut(value, share, f"{place}.{key}" if place else key, lost) for key, value in fields.items()}


def _share(sizes: Iterable[int], room: int) -> int:
    """Return the most bytes that a field may have, so that all of them fit into `room`."""
    ascending = sorted(sizes)
    for place, size in enumerate(ascending):
        fair = room // (len(ascending) - place)
        if size > fair:
            return fair
        room -= size
    return max(ascending, default=0)


def _cut_map(entries: Mapping[str, Json], room: int, place: str, lost: Lost) -> dict[str, Json]:
    pairs = _cut_list([{key: value} for key, value in entries.items()], room, place, lost)
    return {key: value for pair in pairs for key, value in pair.items()}


def _cut_list(items: Sequence[Json], room: int, place: str, lost: Lost) -> list[Json]:
    """Return the first entries: those that fit whole, or, where these are few, more of them, cut inside."""
    room -= len("[]")
    sizes = [_size(item) + len(", ") for item in items]
    whole = sum(total <= room for total in accumulate(sizes))
    few = min(len(items), MOST_FIELDS, room // SHORTEST_FIELD)
    number = max(whole, few)
    if number < len(items):
        lost[place] = lost.get(place, 0) + len(items) - number
    if whole >= few:
        return list(items[:number])
    share = _share(sizes[:number], room)
    return [_cut(item, share - len(", "), place, lost) for item in items[:number]]


def _say(sql: bool, lost: Lost) -> str:
    named = ["the SQL"] if sql else []
    for place, number in [*lost.items()][:SHOWN]:
        name = f"`{cut_text(place, 100)}`"
        named.append(f"the last {number} of {name}" if number > 0 else f"a part of {name}")
    if len(lost) > SHOWN:
        named.append(f"parts of {len(lost) - SHOWN} other fields")
    listed = " and ".join(filter(None, [", ".join(named[:-1]), named[-1]]))
    are = "is" if len(named) == 1 and not listed.startswith(("the last", "parts")) else "are"
    return f"{listed} {are} left out because the answer would exceed 200 kB"


def _size(value: Json) -> int:
    # with its defaults `json` writes ASCII only, so that characters are bytes
    return len(json.dumps(value, default=str))
