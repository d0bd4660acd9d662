"""The one reader of SQL: a statement's verb and names, as far as the checks need them.

It reads tokens, so that nothing in a string, a comment or a dollar-quoted body counts as a keyword or a name.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

from runner.postgres import tokens
from runner.postgres.tokens import Token

Name = tuple[str, str]
"""A schema and the name of an object in it."""
Target = tuple[str, str]
"""What indexes are built of, `table`, `index`, `schema`, `database` or `system`, and its name."""
DML = frozenset({"select", "insert", "update", "delete", "merge"})
OBJECTS = frozenset({"database", "domain", "function", "index", "schema", "sequence", "table", "type", "view"})
# `Statement.verb` consists of these words: what is done, and to which kind of object. The words of NOISE stand between
# them or before the name, and are left out.
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
# Few texts have one of these words, and the search is much faster than reading the tokens of all the others.
MAY_END = re.compile(r"\b(?:commit|end|rollback|abort|prepare)\b", re.IGNORECASE)
# Statements that set a setting, or run code that may; a query runs some only where it calls a function.
SETTERS = frozenset({"call", "discard", "do", "execute", "explain", "fetch", "load", "reset", "set"})
QUERIES = frozenset({"select", "values", "with"})
MAY_SET = re.compile(rf"\b(?:{'|'.join(sorted(SETTERS | QUERIES))}|set_config|rollback)\b", re.IGNORECASE)
# What begins a comment, an escape or a body, in which a quote or a semicolon is none.
MAY_HIDE = re.compile(r"--|/\*|\\|\$|begin", re.IGNORECASE)
FIRST_TOKENS = 12
"""Enough for the verb and the names of nearly every statement."""
CONCURRENT = ("concurrently", "validate")
EXECUTE = re.compile("execute", re.IGNORECASE)
PREPARES = re.compile(r"\bprepare\b", re.IGNORECASE)
# PostgreSQL shows `status IN ('a', 'b')` on a varchar with one cast around the list, and after pg_dump and restore
# with a cast around each element.
CAST_LIST = re.compile(r"""\(ARRAY\[((?:'(?:[^']|'')*'::character\ varying(?:,\ )?)+)\]\)::text\[\]""", re.VERBOSE)
CAST = re.compile(r"('(?:[^']|'')*'::character varying)")


@dataclass(frozen=True)
class Statement:
    """A statement: its verb, such as `alter table`, the names after it, and the tokens after those."""

    verb: str
    names: tuple[Name, ...]
    text: str
    end: int
    """Where the names end in the text, in characters."""

    @property
    def rest(self) -> Iterator[Token]:
        """Return the tokens after the names, which are read each time: a statement may have millions of them."""
        return tokens.read(self.text, self.end)

    @property
    def table(self) -> Name | None:
        """Return the table, view or index's table that the statement names first, None for other objects."""
        of_table = self.verb.endswith(("table", "view")) or self.verb in TABLE_VERBS or "index" in self.verb.split()[1:]
        # DROP INDEX names the index only
        return self.names[0] if of_table and self.names and not self.verb.startswith("drop index") else None

    def says(self, word: str) -> bool:
        """Return whether the keyword `word` stands after the names, outside of parentheses."""
        depth = 0
        for token in self.rest:
            depth += token.depth
            if depth == 0 and token.keyword == word:
                return True
        return False

    def contains(self, *values: str) -> bool:
        """Return whether these words and names follow one another somewhere after the names."""
        rest = [token.value for token in self.rest]
        return any(rest[at : at + len(values)] == [*values] for at in range(len(rest)))

    def names_after(self, word: str) -> Iterator[str]:
        """Yield the name after each occurrence of a keyword such as `drop`, without COLUMN and IF EXISTS."""
        after = False
        for token in self.rest:
            if after and token.keyword not in BEFORE_NAME:
                yield token.value
                after = False
            after = after or token.keyword == word


def split(text: str) -> list[str]:
    """Return the statements of a text, with their comments and without their semicolons."""
    # a statement with a million rows is not read for what is not in it
    single = text if ";" not in text else _without_last_semicolon(text)
    if single is not None:
        return [single.strip()] if any(tokens.read(single)) else []
    return [*_split(text)]


def _without_last_semicolon(text: str) -> str | None:
    """Return a text without the one semicolon that ends it, None where it has others or may have it in a literal."""
    stripped = text.rstrip()
    one = stripped.find(";") == len(stripped) - 1
    plain = stripped.count("'") % 2 == stripped.count('"') % 2 == 0 and not MAY_HIDE.search(stripped)
    return stripped[:-1] if one and plain else None


# a statement is asked about several times, before it is sent and after
@lru_cache(maxsize=4)
def _split(text: str) -> tuple[str, ...]:
    found = list(tokens.read(text))
    pieces = []
    first = start = 0
    for place in (*_ends(found), len(found)):
        end = found[place].start if place < len(found) else len(text)
        if place > first:
            pieces.append(text[start:end].strip())
        first, start = place + 1, end + 1
    return tuple(pieces)


def _ends(found: Sequence[Token]) -> Iterator[int]:
    """Yield the places of the semicolons that end a statement, not of those in parentheses or in a routine's body.

    A body is BEGIN ATOMIC, statements that each end in a semicolon, and END.
    https://www.postgresql.org/docs/current/sql-createfunction.html
    """
    depth = bodies = 0
    first, creates, routine, before = True, False, False, ""
    for place, token in enumerate(found):
        word = token.keyword
        if first:
            # END as the first word is that of a body: elsewhere, as in CASE, it comes after another word
            leaves = bodies > 0 and word == "end"
            bodies -= leaves
            # after a body's END a CREATE SCHEMA may go on with another CREATE FUNCTION
            creates, routine = leaves or word == "create", False
        first = False
        # a text with a parenthesis too many, which PostgreSQL refuses, is still split
        depth = max(0, depth + token.depth)
        if depth == 0:
            routine |= creates and word in ("function", "procedure")
            first = word == ";"
            if first and not bodies:
                yield place
            # only in a routine: elsewhere, as in `select begin atomic`, the two are a name and its alias
            if routine and (before, word) == ("begin", "atomic"):
                first, bodies = True, bodies + 1
        before = word


def read(statement: str) -> Statement:
    """Return a statement's verb and names, as far as its first words show them."""
    most = FIRST_TOKENS
    while True:
        found = list(islice(tokens.read(statement), most))
        verb, names, at = _read_head(found)
        # behind its last token, more of a longer statement may belong to the names
        if at < len(found) or len(found) < most:
            return Statement(verb, names, statement, found[at].start if at < len(found) else len(statement))
        most *= 10


def _read_head(found: Sequence[Token]) -> tuple[str, tuple[Name, ...], int]:
    """Return the verb and the names at the beginning of these tokens, and the place after them."""
    at = _skip_with(found)
    verb: list[str] = []
    while at < len(found) and (word := found[at].keyword) in VERBS | NOISE:
        # the verb is whole where the next word is a name, even one like `comment` in `alter table comment`
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
        at = tokens.after_name(found, at)
        if at >= len(found) or found[at].text != ",":
            break
        at += 1
    return " ".join(verb), tuple(names), at


def added_constraints(statement: Statement) -> Iterator[str]:
    """Yield the name of each constraint that a statement adds."""
    before: tuple[str, ...] = ()
    for token in statement.rest:
        if before == ("add", "constraint"):
            yield token.value
        before = (*before[-1:], token.keyword)


def made_if_absent(text: str) -> Name | None:
    """Return the name in a CREATE … IF NOT EXISTS, None for another statement."""
    if "exists" not in text.lower():
        return None
    # CREATE, at most two words for the kind, IF NOT EXISTS, and a name of three tokens
    found = list(islice(tokens.read(text), 9))
    words = [token.keyword for token in found]
    # after OR REPLACE there is no IF NOT EXISTS, so an `if` there is a name
    if words[:1] != ["create"] or words[1:3] == ["or", "replace"] or "if" not in words:
        return None
    place = words.index("if") + 3
    return name_at(found, place) if words[place - 3 : place] == ["if", "not", "exists"] else None


def built_concurrently(text: str) -> str | None:
    """Return the name of the index that a CREATE INDEX CONCURRENTLY builds, quoted for `to_regclass`.

    Returns None for another text, and where the statement leaves the name to PostgreSQL, which takes an unused one.
    """
    if not _may_be_concurrent(text):
        return None
    found = list(islice(tokens.read(text), 20))
    words = [token.keyword for token in found]
    at = 2 if words[:2] == ["create", "unique"] else 1
    if words[:1] != ["create"] or words[at : at + 2] != ["index", "concurrently"]:
        return None
    at += 5 if words[at + 2 : at + 5] == ["if", "not", "exists"] else 2
    if len(found) <= at or words[at] == "on":
        return None
    # an index is in the schema of its table, so its own name has none
    schema = tokens.name_parts(found, _after_on(found, at))[-2:-1]
    return _quoted([*schema, found[at].value])


def target_of_build(text: str) -> Target | None:
    """Return of what a text builds or rebuilds indexes concurrently, None for another text.

    The name is quoted for `to_regclass`, but for a schema or a database.
    """
    if not is_concurrent_work(text):
        return None
    found = list(tokens.read(text))
    words = [token.keyword for token in found]
    if words[0] == "create":
        return "table", _quoted(tokens.name_parts(found, _after_on(found, 0)))
    if words[0] != "reindex":
        return None
    at = words.index(")") + 1 if words[1] == "(" else 1
    kind, at = words[at], at + 1
    name = tokens.name_parts(found, at + (words[at : at + 1] == ["concurrently"]))
    return kind, _quoted(name) if kind in ("table", "index") else ".".join(name)


def dropped_concurrently(text: str) -> str | None:
    """Return the name of the index that a text drops concurrently, quoted for `to_regclass`; None for another text."""
    if not is_concurrent_work(text):
        return None
    found = list(tokens.read(text))
    words = [token.keyword for token in found]
    if words[0] != "drop":
        return None
    # DROP INDEX CONCURRENTLY takes one name
    return _quoted(tokens.name_parts(found, 5 if words[3:5] == ["if", "exists"] else 3))


def _quoted(parts: Sequence[str]) -> str:
    return ".".join('"{}"'.format(part.replace('"', '""')) for part in parts)


def is_concurrent_work(text: str) -> bool:
    """Return whether a text does nothing but build, drop or rebuild indexes concurrently, or validate a constraint.

    Another action in the same text could hold a stronger lock.
    """
    if not _may_be_concurrent(text):
        return False
    statements = split(text)
    return len(statements) == 1 and _is_concurrent(statements[0])


def _may_be_concurrent(text: str) -> bool:
    # every statement of a run is checked several times, and few have one of these words; a regular expression takes
    # 0.1 ms for the message that ends a revision, this takes 0.003
    lower = text.lower()
    return any(word in lower for word in CONCURRENT)


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
    """Return whether an option in parentheses is given, without a value or with one that turns it on."""
    if option not in words:
        return False
    return words[words.index(option) + 1 :][:1] in ([], [","], ["on"], ["true"], ["1"])


def ends_transaction(text: str) -> bool:
    """Return whether a text commits, rolls back or prepares the transaction in which it is sent."""
    return MAY_END.search(text) is not None and any(map(_is_end, split(text)))


def only_ends_transaction(text: str) -> bool:
    """Return whether a text consists of COMMIT, ROLLBACK and BEGIN only, so that without a change it does nothing."""
    return all(_is_end(statement) or _is_begin(statement) for statement in split(text)) and not PREPARES.search(text)


def _is_begin(statement: str) -> bool:
    return [token.keyword for token in islice(tokens.read(statement), 2)][:1] in (["begin"], ["start"])


def _is_end(statement: str) -> bool:
    # as many as there are before the TO of ROLLBACK TRANSACTION TO SAVEPOINT
    found = list(islice(tokens.read(statement), 4))
    match [token.keyword for token in found]:
        case ["prepare", "transaction", *_]:
            # without a string it is a prepared statement with the name `transaction`
            return found[2:3] != [] and found[2].kind == "string"
        case ["commit" | "rollback", "prepared", *_]:
            return False
        case ["rollback" | "abort", *rest]:
            # ROLLBACK TO a savepoint
            return "to" not in rest
        case ["commit" | "end", *_]:
            return True
    return False


def may_set(text: str) -> bool:
    """Return whether a text may change a setting: by SET, RESET or ROLLBACK TO, or in a function that it calls.

    A trigger may too, which no text shows.
    """
    return MAY_SET.search(text) is not None and any(map(_may_set, split(text)))


def _may_set(statement: str) -> bool:
    words = (token.keyword for token in tokens.read(statement))
    first = next(words, "")
    if first == "rollback":
        # ROLLBACK TO a savepoint brings back the settings of that moment
        return "to" in words
    if first == "set":
        return next(words, "") not in ("constraints", "transaction")
    if first in SETTERS or (first in QUERIES and "(" in words):
        return True
    return "set_config" in statement.lower() and "set_config" in (one.keyword for one in tokens.read(statement))


def sets_transaction(text: str) -> bool:
    """Return whether a text begins with SET TRANSACTION, which has to come before any query of its transaction."""
    return [token.keyword for token in islice(tokens.read(text), 2)] == ["set", "transaction"]


def sets_constraints(text: str) -> bool:
    """Return whether a text begins with SET CONSTRAINTS."""
    return [token.keyword for token in islice(tokens.read(text), 2)] == ["set", "constraints"]


def writes(text: str) -> bool:
    """Return whether the verb of any statement in a text is another than SELECT."""
    return any(read(statement).verb.partition(" ")[0] not in ("select", "") for statement in split(text))


def names_in(text: str) -> Iterator[str]:
    """Yield whatever may be a name: words, quoted names, strings that are one, and the same of quoted bodies."""
    runs_strings = _has_execute(text)
    for token in tokens.read(text):
        if token.kind in ("word", "quoted"):
            yield token.value
        elif token.kind == "dollar" or (token.kind == "string" and runs_strings):
            yield from names_in(token.value)
        elif token.kind == "string":
            yield read_name(token.value)[1] if is_name(token.value) else token.value


def _has_execute(text: str) -> bool:
    """Return whether a text, or a string or body in it, has the word EXECUTE, with which PL/pgSQL runs a string."""
    # few texts have the word, and the search is much faster than reading the tokens
    return EXECUTE.search(text) is not None and any(
        token.keyword == "execute" or (token.kind in ("string", "dollar") and _has_execute(token.value))
        for token in tokens.read(text)
    )


def spread_casts(definition: str) -> str:
    """Return a definition by PostgreSQL with a cast around each element of a list instead of one around the list."""
    return CAST_LIST.sub(lambda cast: "ARRAY[" + CAST.sub(r"(\1)::text", cast[1]) + "]", definition)


def is_name(text: str) -> bool:
    """Return whether a text is a name, with or without a schema, and nothing else."""
    found = list(islice(tokens.read(text), 4))
    return 0 < len(found) <= 3 and all(token.kind in ("word", "quoted") or token.text == "." for token in found)


def read_name(text: str) -> Name:
    """Return the schema and the name of `public.leads`, `"Odd"."Name"` or `public.f(integer)`."""
    return name_at(list(tokens.read(text)), 0) or ("public", text)


def name_at(found: Sequence[Token], at: int) -> Name | None:
    """Return the schema, `public` where the text has none, and the name at a place; None where no name begins."""
    # not from `search_path`: the runner sets it to `public`
    parts = tokens.name_parts(found, at)
    return None if not parts else (parts[-2] if len(parts) > 1 else "public", parts[-1])


def _after_on(found: Sequence[Token], at: int) -> int:
    """Return the place of an index's table: after ON, and after ONLY where that follows."""
    at = next((place for place in range(at, len(found)) if found[place].keyword == "on"), len(found)) + 1
    return at + (at < len(found) and found[at].keyword == "only")


def _skip_with(found: Sequence[Token]) -> int:
    """Return the place of a statement's verb: 0, or after the queries of a WITH."""
    if not found or found[0].keyword != "with":
        return 0
    depth = 0
    for at, token in enumerate(found):
        depth += token.depth
        if depth == 0 and token.keyword in DML:
            return at
    return len(found)
