"""The one reader of SQL: what a statement does to what, as far as safety needs it.

What is in a string, a comment or a dollar-quoted body is no keyword and no name; `tokens` knows those.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from runner.postgres import tokens
from runner.postgres.tokens import Token

Name = tuple[str, str]
"""A schema and what is in it."""
DML = frozenset({"select", "insert", "update", "delete", "merge"})
OBJECTS = frozenset({"database", "domain", "function", "index", "schema", "sequence", "table", "type", "view"})
# The words that say what a statement does to what, and those between that change nothing of it.
VERBS = DML | OBJECTS | frozenset({
    "alter", "cluster", "comment", "copy", "create", "do", "drop", "full", "grant", "lock", "materialized", "reindex",
    "revoke", "temp", "temporary", "truncate", "unique", "unlogged", "vacuum",
})  # fmt: skip
NOISE = frozenset({
    "analyze", "concurrently", "exists", "from", "global", "if", "into", "local", "not", "on", "only", "or", "replace",
    "verbose",
})  # fmt: skip
TABLE_VERBS = frozenset({"cluster", "delete", "lock", "truncate", "update", "vacuum full"})
BEFORE_NAME = frozenset({"column", "if", "exists"})
MAY_END = re.compile(r"\b(?:commit|end|rollback|abort|prepare)\b", re.IGNORECASE)
"""Hardly any text has one of these words, and to read the tokens of a long one takes long."""
# `status IN ('a', 'b')` on a varchar is shown with one cast around the list, and after pg_dump and restore
# with a cast around each element; both say the same.
CAST_LIST = re.compile(r"""\(ARRAY\[((?:'(?:[^']|'')*'::character\ varying(?:,\ )?)+)\]\)::text\[\]""", re.VERBOSE)
CAST = re.compile(r"('(?:[^']|'')*'::character varying)")


@dataclass(frozen=True)
class Statement:
    """Say what a statement does (`alter table`) to what, and hold the tokens behind that."""

    verb: str
    names: tuple[Name, ...]
    rest: tuple[Token, ...]

    @property
    def table(self) -> Name | None:
        """Return the table that it is about, None where it is about something else."""
        of_table = self.verb.endswith(("table", "view")) or self.verb in TABLE_VERBS or "index" in self.verb.split()[1:]
        return self.names[0] if of_table and self.names and not self.verb.startswith("drop index") else None

    def says(self, word: str) -> bool:
        """Tell whether a word stands outside of parentheses behind the names."""
        depth = 0
        for token in self.rest:
            depth += token.depth
            if depth == 0 and token.keyword == word:
                return True
        return False

    def contains(self, *values: str) -> bool:
        """Tell whether words and names stand one after another behind the names."""
        found = [token.value for token in self.rest]
        return any(found[at : at + len(values)] == [*values] for at in range(len(found)))

    def names_after(self, word: str) -> Iterator[str]:
        """Yield the name behind each DROP, or another word, with or without COLUMN and IF EXISTS before it."""
        for at, token in enumerate(self.rest):
            if token.keyword == word:
                yield from islice((one.value for one in self.rest[at + 1 :] if one.keyword not in BEFORE_NAME), 1)


def split(text: str) -> list[str]:
    """Return the statements of a text, each with its comments and without its semicolon."""
    found = list(tokens.read(text))
    pieces = []
    first = start = 0
    for place in (*_ends(found), len(found)):
        end = found[place].start if place < len(found) else len(text)
        if place > first:
            pieces.append(text[start:end].strip())
        first, start = place + 1, end + 1
    return pieces


def _ends(found: Sequence[Token]) -> Iterator[int]:
    """Yield the places of the semicolons that end a statement: not one in parentheses or in a routine's body.

    A body is BEGIN ATOMIC, statements with a semicolon behind each, and END.
    https://www.postgresql.org/docs/current/sql-createfunction.html
    """
    depth = bodies = 0
    first, creates, routine, before = True, False, False, ""
    for place, token in enumerate(found):
        word = token.keyword
        if first:
            leaves = bodies > 0 and word == "end"
            bodies -= leaves
            creates, routine = leaves or word == "create", False
        first = False
        depth = max(0, depth + token.depth)
        if depth == 0:
            routine |= creates and word in ("function", "procedure")
            first = word == ";"
            if first and not bodies:
                yield place
            if routine and (before, word) == ("begin", "atomic"):
                first, bodies = True, bodies + 1
        before = word


def read(statement: str) -> Statement:
    """Return what a statement does to what, as far as its first words say it."""
    found = list(tokens.read(statement))
    at = _skip_with(found)
    verb: list[str] = []
    while at < len(found) and (word := found[at].keyword) in VERBS | NOISE:
        # what follows may be a name that is such a word, as in `alter table comment`
        is_whole = bool(verb) and (verb[-1] in OBJECTS or verb[0] in DML)
        if (is_whole and word in VERBS) or (verb[-1:] == ["index"] and word == "on"):
            break
        if word in VERBS:
            verb.append(word)
        at += 1
    if verb[:1] == ["create"] and verb[-1] == "index":
        at = _after_on(found, at)
    names: list[Name] = []
    while (name := name_at(found, at)) is not None:
        names.append(name)
        at = _after_name(found, at)
        if at >= len(found) or found[at].text != ",":
            break
        at += 1
    return Statement(" ".join(verb), tuple(names), tuple(found[at:]))


def made_if_absent(text: str) -> Name | None:
    """Return what a CREATE … IF NOT EXISTS makes, None of another statement."""
    found = list(islice(tokens.read(text), 9))
    words = [token.keyword for token in found]
    if words[:1] != ["create"] or words[1:3] == ["or", "replace"] or "if" not in words:
        return None
    place = words.index("if") + 3
    return name_at(found, place) if words[place - 3 : place] == ["if", "not", "exists"] else None


def built_concurrently(text: str) -> str | None:
    """Return the index that a CREATE INDEX CONCURRENTLY names, as `to_regclass` takes it; None of another text."""
    found = list(islice(tokens.read(text), 20))
    words = [token.keyword for token in found]
    at = 2 if words[:2] == ["create", "unique"] else 1
    if words[:1] != ["create"] or words[at : at + 2] != ["index", "concurrently"]:
        return None
    at += 5 if words[at + 2 : at + 5] == ["if", "not", "exists"] else 2
    if len(found) <= at or words[at] == "on":
        return None
    # it is made in the schema of its table
    schema = _parts(found, _after_on(found, at))[-2:-1]
    return ".".join('"{}"'.format(name.replace('"', '""')) for name in [*schema, found[at].value])


def is_concurrent_work(text: str) -> bool:
    """Tell whether a text makes, drops or rebuilds indexes concurrently, or validates a constraint, and no more.

    Beside it another action could hold a stronger lock.
    """
    first = next(tokens.read(text), None)
    if first is None or first.keyword not in ("alter", "create", "drop", "reindex"):
        return False
    statements = split(text)
    return len(statements) == 1 and _is_concurrent(statements[0])


def _is_concurrent(text: str) -> bool:
    match [token.keyword for token in tokens.read(text)]:
        case ["create", "unique", "index", "concurrently", *_] | ["create" | "drop", "index", "concurrently", *_]:
            return True
        case ["reindex", "(", *words] if ")" in words:
            end = words.index(")")
            return words[end + 2 : end + 3] == ["concurrently"] or _is_on("concurrently", words[:end])
        case ["reindex", _, "concurrently", *_]:
            return True
        case ["alter", "table", *_]:
            statement = read(text)
            rest = [token.keyword for token in statement.rest]
            return len(statement.names) == 1 and rest[:2] == ["validate", "constraint"] and len(rest) == 3
    return False


def _is_on(option: str, words: list[str]) -> bool:
    """Tell whether an option among those in parentheses is said, and not with a value that turns it off."""
    if option not in words:
        return False
    return words[words.index(option) + 1 :][:1] in ([], [","], ["on"], ["true"], ["1"])


def ends_transaction(text: str) -> bool:
    """Tell whether a text commits, rolls back or prepares the transaction that it is sent in."""
    return MAY_END.search(text) is not None and any(map(_ends_it, split(text)))


def _ends_it(statement: str) -> bool:
    found = list(tokens.read(statement))
    match [token.keyword for token in found]:
        case ["prepare", "transaction", *_]:
            # a prepared statement may have that name
            return found[2:3] != [] and found[2].kind == "string"
        case ["commit" | "rollback", "prepared", *_]:
            return False
        case ["rollback" | "abort", *rest]:
            # back to a savepoint
            return "to" not in rest
        case ["commit" | "end", *_]:
            return True
    return False


def sets_constraints(text: str) -> bool:
    """Tell whether a text begins with SET CONSTRAINTS."""
    return [token.keyword for token in islice(tokens.read(text), 2)] == ["set", "constraints"]


def writes(text: str) -> bool:
    """Tell whether a text has a statement that writes, as far as its first words say it."""
    return any(read(statement).verb.partition(" ")[0] not in ("select", "") for statement in split(text))


def names_in(text: str) -> Iterator[str]:
    """Yield all that may be a name: words, quoted names, strings that hold nothing else, and what is run as SQL."""
    runs_strings = _says_execute(text)
    for token in tokens.read(text):
        if token.kind in ("word", "quoted"):
            yield token.value
        elif token.kind == "dollar" or (token.kind == "string" and runs_strings):
            yield from names_in(token.value)
        elif token.kind == "string":
            yield read_name(token.value)[1] if is_name(token.value) else token.value


def _says_execute(text: str) -> bool:
    """Tell whether a text, or one that is quoted in it, has the word with which a body runs a string."""
    return any(
        token.keyword == "execute" or (token.kind in ("string", "dollar") and _says_execute(token.value))
        for token in tokens.read(text)
    )


def spread_casts(definition: str) -> str:
    """Return PostgreSQL's text of a definition with a cast around each element in place of one around the list."""
    return CAST_LIST.sub(lambda found: "ARRAY[" + CAST.sub(r"(\1)::text", found[1]) + "]", definition)


def is_name(text: str) -> bool:
    """Tell whether a text is a name and nothing else, with or without its schema."""
    found = list(islice(tokens.read(text), 4))
    return 0 < len(found) <= 3 and all(token.kind in ("word", "quoted") or token.text == "." for token in found)


def read_name(text: str) -> Name:
    """Return the schema and the name of `public.leads`, `"Odd"."Name"` or `public.f(integer)`."""
    return name_at(list(tokens.read(text)), 0) or ("public", text)


def name_at(found: Sequence[Token], at: int) -> Name | None:
    """Return the schema (`public` where none is said) and the name that begin at a token."""
    parts = _parts(found, at)
    return None if not parts else (parts[-2] if len(parts) > 1 else "public", parts[-1])


def _parts(found: Sequence[Token], at: int) -> list[str]:
    return [token.value for token in found[at : _after_name(found, at)] if token.kind in ("word", "quoted")]


def _after_name(found: Sequence[Token], at: int) -> int:
    """Return the place after a name and its dots."""
    while at < len(found) and found[at].kind in ("word", "quoted"):
        at += 1
        if at >= len(found) or found[at].text != ".":
            break
        at += 1
    return at


def _after_on(found: Sequence[Token], at: int) -> int:
    """Return where the table of an index stands: after ON, with the index's name before it or without one."""
    at = next((place for place in range(at, len(found)) if found[place].keyword == "on"), len(found)) + 1
    return at + (at < len(found) and found[at].keyword == "only")


def _skip_with(found: Sequence[Token]) -> int:
    """Return where a statement's verb stands: behind the queries of a WITH."""
    if not found or found[0].keyword != "with":
        return 0
    depth = 0
    for at, token in enumerate(found):
        depth += token.depth
        if depth == 0 and token.keyword in DML:
            return at
    return len(found)
