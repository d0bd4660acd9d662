"""The objects that a statement removes, or moves away from their names, and those that it makes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from runner.postgres import sql, tokens
from runner.postgres.sql import Name
from runner.postgres.tokens import Token

KINDS = {
    # who reads a view does not see whether it is one
    "table": "relation", "view": "relation", "type": "type", "domain": "type", "sequence": "sequence",
    "function": "function", "procedure": "procedure", "aggregate": "aggregate", "extension": "extension",
}  # fmt: skip
"""The kinds of objects by their keywords."""
ROUTINES = ("function", "procedure", "aggregate")
# The words between CREATE, DROP or ALTER and the keyword of the kind, and between that and the name.
BEFORE_KIND = frozenset({
    "foreign", "global", "local", "materialized", "or", "recursive", "replace", "temp", "temporary", "unlogged",
})  # fmt: skip
BEFORE_NAME = ("if", "not", "exists")
# Two names of one type; an argument with another name is left as a finding.
TYPES = {"int": "integer", "int4": "integer", "int8": "bigint", "bool": "boolean", "float8": "double precision"}
HEAD, LONGEST_HEAD = 20, 500
"""The most tokens of a statement up to its new name, and up to the end of names or of a routine's arguments."""


@dataclass(frozen=True)
class Argument:
    """An argument of a routine."""

    words: tuple[str, ...]
    """Its name, where it has one, and its type."""
    optional: bool


@dataclass(frozen=True)
class Made:
    """An object under a name; `arguments` are those of a routine, None where the statement has none."""

    kind: str
    name: Name
    arguments: tuple[Argument, ...] | None = None

    def is_named_like(self, old: "Made") -> bool:
        """Return whether the other has the same kind and name."""
        return (self.kind, self.name) == (old.kind, old.name)

    def replaces(self, old: "Made") -> bool:
        """Return whether who uses the other finds this one instead."""
        if not self.is_named_like(old):
            return False
        if old.arguments is None or self.arguments is None:
            return old.arguments == self.arguments
        pairs = zip(self.arguments, old.arguments, strict=False)
        # a name may stand before the type in either
        same = all(_ends_alike(one.words, other.words) for one, other in pairs)
        further = self.arguments[len(old.arguments) :]
        return same and len(self.arguments) >= len(old.arguments) and all(one.optional for one in further)


def _ends_alike(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    shorter = min(len(one), len(other))
    return shorter > 0 and one[-shorter:] == other[-shorter:]


def removed(statement: str) -> list[Made]:
    """Return the objects that are no longer found under their names; none where not all of them are known."""
    found = list(islice(tokens.read(statement), LONGEST_HEAD))
    verb = found[0].keyword if found else ""
    if verb not in ("drop", "alter"):
        return []
    objects, rest = _objects(found)
    words = [token.keyword for token in rest]
    if verb == "drop":
        # CASCADE drops others as well, which the statement does not name
        return objects if words in ([], [";"], ["restrict"], ["restrict", ";"]) else []
    return objects if words[:2] in (["rename", "to"], ["set", "schema"]) else []


def complete(one: Made, routines: Mapping[Name, str]) -> Made:
    """Return an object with the arguments that the database has, where a statement names a routine without them."""
    if one.kind not in ROUTINES or one.arguments is not None or one.name not in routines:
        return one
    return replace(one, arguments=removed(f"drop function {routines[one.name]}")[0].arguments)


def made(statement: str) -> Made | None:
    """Return the object that is found under its name from now on, None where there is none."""
    verb = next((token.keyword for token in tokens.read(statement)), "")
    if verb not in ("create", "alter"):
        return None
    found = list(islice(tokens.read(statement), HEAD))
    if any(token.keyword in ROUTINES for token in found):
        found = list(islice(tokens.read(statement), LONGEST_HEAD))
    objects, rest = _objects(found)
    if not objects or verb == "create":
        return objects[0] if objects else None
    schema, name = objects[0].name
    match [token.keyword for token in rest[:2]], [token.value for token in rest[2:3]]:
        case ["rename", "to"], [new]:
            return replace(objects[0], name=(schema, new))
        case ["set", "schema"], [new]:
            return replace(objects[0], name=(new, name))
    return None


def _objects(found: Sequence[Token]) -> tuple[list[Made], Sequence[Token]]:
    """Return the objects that a CREATE, DROP or ALTER names, and the tokens after them."""
    at = 1
    while at < len(found) and found[at].keyword in BEFORE_KIND:
        at += 1
    word = found[at].keyword if at < len(found) else ""
    if word not in KINDS:
        return [], found[at:]
    at += 1
    while at < len(found) and found[at].keyword in BEFORE_NAME:
        at += 1
    objects = []
    while (name := sql.name_at(found, at)) is not None:
        at = tokens.after_name(found, at)
        arguments = None
        if word in ROUTINES and at < len(found) and found[at].text == "(":
            end = _closing(found, at)
            arguments, at = tuple(_arguments(found[at + 1 : end])), end + 1
        objects.append(Made(KINDS[word], name, arguments))
        if at >= len(found) or found[at].text != ",":
            break
        at += 1
    return objects, found[at:]


def _closing(found: Sequence[Token], at: int) -> int:
    depth = 0
    for place in range(at, len(found)):
        depth += found[place].depth
        if depth == 0:
            return place
    return len(found)


def _arguments(found: Sequence[Token]) -> Iterator[Argument]:
    """Yield the arguments by which a routine is called, not those that only return something."""
    for part in _parted(found):
        words = [token.keyword for token in part]
        if words[:1] == ["out"]:
            continue
        default = next((place for place, word in enumerate(words) if word in ("default", "=")), len(words))
        values = [TYPES.get(token.value, token.value) for token in part[:default]]
        yield Argument(tuple(values[words[:1] in (["in"], ["inout"], ["variadic"]) :]), default < len(words))


def _parted(found: Sequence[Token]) -> Iterator[list[Token]]:
    """Yield the tokens between commas outside of parentheses and brackets."""
    part: list[Token] = []
    depth = 0
    for token in found:
        depth += token.depth
        if depth == 0 and token.text == ",":
            yield part
            part = []
        else:
            part.append(token)
    if part:
        yield part
