"""The constraints and defaults of a table as a revision writes them.

PostgreSQL keeps an expression as a tree, and prints a text that may become another tree: `status IN ('a', 'b')` on a
varchar is printed with one cast around the list, and read again it is printed with a cast around each element. So what
a table lacks is made from the text of the revision, also of a CREATE TABLE IF NOT EXISTS that found the table there.

Which text is which is not left to the reader here: PostgreSQL prints each of them on a scratch copy of the table. A
text that it refuses there counts for nothing, so the reader may take more for a definition than is one.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from runner.postgres import queries, sql, sqlstate, tokens
from runner.postgres.tokens import Token

SECTIONS = ("constraints", "defaults", "not_null")
"""The sections of a catalog that CREATE TABLE writes."""
# A foreign key has no expression, so it is made from its printed text.
TABLE_CONSTRAINTS = frozenset({"check", "exclude", "primary", "unique"})
KINDS = frozenset({"global", "local", "temp", "temporary", "unlogged"})
# What begins a part of a column, unless one of the words of WITHIN stands before it, as in SET NULL or BY DEFAULT.
PARTS = frozenset({
    "check", "collate", "compression", "constraint", "default", "generated", "not", "null", "primary", "references",
    "storage", "unique",
})  # fmt: skip
WITHIN = frozenset({"by", "default", "is", "not", "nulls", "set", "storage"})
DEPTHS = {"(": 1, "[": 1, ")": -1, "]": -1}
QUERY = "queries/scratch.sql"


@dataclass(frozen=True)
class Definition:
    """A constraint or a default, as a statement writes it."""

    section: str
    thing: str | None
    """The constraint's name, None where PostgreSQL chooses it; the column of a default or of a NOT NULL."""
    text: str


@dataclass(frozen=True)
class Definitions:
    """The definitions of one table, each after the text that PostgreSQL prints of it."""

    printed: tuple[tuple[str, Definition], ...] = ()

    def of(self, section: str, thing: str, wanted: str) -> str:
        """Return the text of which PostgreSQL prints `wanted`, which is returned itself where there is none.

        `thing` is a name in SQL. A text under that name is taken before one without a name.
        """
        name = sql.read_name(thing)[1]
        texts = {
            one.thing: one.text
            for printed, one in self.printed
            if one.section == section and sql.spread_casts(printed) == wanted
        }
        return texts.get(name) or texts.get(None) or wanted


def find(connection: Connection, table: str, statements: Iterable[str]) -> Definitions:
    """Return what `statements` define of `table`, a name as in a catalog.

    The scratch copy of the table is rolled back. Without the right to create a temporary table nothing is returned.
    """
    name = sql.read_name(table)
    found = [one for statement in statements if _may_define(statement) for one in read(statement, name)]
    return Definitions(tuple(_print(connection, table, found)) if found else ())


def read(source: str, table: sql.Name) -> Iterator[Definition]:
    """Yield what a text defines of `table` by CREATE TABLE or ALTER TABLE, in strings and bodies too."""
    found = list(tokens.read(source))
    for at, token in enumerate(found):
        if token.kind in ("dollar", "string"):
            if _may_define(token.value):
                yield from read(token.value, table)
        elif token.keyword in ("create", "alter"):
            elements = _elements(found, at, table)
            yield from (one for element in elements for one in _definitions(source, element))


def _may_define(source: str) -> bool:
    # a text with a million rows is not read for what is not in it
    lower = source.lower()
    return "table" in lower and any(word in lower for word in (*TABLE_CONSTRAINTS, "constraint", "default"))


def _elements(found: Sequence[Token], at: int, table: sql.Name) -> Iterator[Sequence[Token]]:
    """Yield the columns and constraints of the statement that begins at a place, if it makes or alters `table`."""
    creates = found[at].keyword == "create"
    at = _skip(found, at + 1, KINDS)
    if _keyword(found, at) != "table":
        return
    at = _skip(found, at + 1, {"if", "not", "exists", "only"})
    named, at = sql.name_at(found, at), tokens.after_name(found, at)
    if named != table:
        return
    if not creates:
        yield from (_added(action) for action in _split(found, at) if _keyword(action, 0) == "add")
        return
    if _keyword(found, at) in ("of", "partition"):
        # OF a type, or PARTITION OF a table
        at = tokens.after_name(found, _skip(found, at, {"of", "partition"}))
    if _keyword(found, at) == "(":
        yield from _split(found, at + 1)


def _added(action: Sequence[Token]) -> Sequence[Token]:
    return action[_skip(action, 1, {"column", "if", "not", "exists"}) :]


def _split(found: Sequence[Token], at: int) -> Iterator[Sequence[Token]]:
    """Yield the tokens between the commas from a place up to the parenthesis or semicolon that ends the list."""
    depth, start = 0, at
    for place in range(at, len(found)):
        mark = found[place].text
        if depth == 0 and mark in (",", ")", ";"):
            yield found[start:place]
            start = place + 1
            if mark != ",":
                return
        depth += DEPTHS.get(mark, 0)
    yield found[start:]


def _definitions(source: str, element: Sequence[Token]) -> Iterator[Definition]:
    """Yield the definitions in a column or a constraint of a table."""
    name = element[1].value if _keyword(element, 0) == "constraint" and len(element) > 1 else None
    constraint = element if name is None else element[2:]
    if _keyword(constraint, 0) in TABLE_CONSTRAINTS:
        yield Definition("constraints", name, _cut(source, constraint))
    elif name is None and element:
        yield from _of_column(source, element[0], list(_parts(element[1:])))


def _of_column(source: str, column: Token, parts: Sequence[Sequence[Token]]) -> Iterator[Definition]:
    for before, part in zip([(), *parts], parts, strict=False):
        name = before[1].value if _keyword(before, 0) == "constraint" and len(before) > 1 else None
        match _keyword(part, 0):
            case "check":
                yield Definition("constraints", name, _cut(source, part))
            case "unique" | "primary" as kind:
                # the constraint of a table names the columns behind these words
                words = 2 if kind == "primary" else 1
                more = _cut(source, part[words:])
                yield Definition("constraints", name, f"{_cut(source, part[:words])} ({column.text}) {more}".strip())
            case "default":
                yield Definition("defaults", column.value, _cut(source, part[1:]))
            case "not" if name is not None:
                named = _cut(source, before[:2])
                yield Definition("not_null", column.value, f"{named} NOT NULL {column.text}")


def _parts(found: Sequence[Token]) -> Iterator[Sequence[Token]]:
    """Yield the parts of a column: its type, and what follows."""
    depth = start = 0
    before = ""
    for place, token in enumerate(found):
        word = token.keyword
        within = before in WITHIN
        if depth == 0 and word in PARTS and not within:
            yield found[start:place]
            start = place
        depth += DEPTHS.get(token.text, 0)
        # the second word of SET DEFAULT is none of these itself
        before = "" if within else word
    yield found[start:]


def _cut(source: str, found: Sequence[Token]) -> str:
    return source[found[0].start : found[-1].start + len(found[-1].text)] if found else ""


def _keyword(found: Sequence[Token], at: int) -> str:
    return found[at].keyword if at < len(found) else ""


def _skip(found: Sequence[Token], at: int, words: Iterable[str]) -> int:
    while _keyword(found, at) in words:
        at += 1
    return at


def _print(connection: Connection, table: str, definitions: Sequence[Definition]) -> Iterator[tuple[str, Definition]]:
    """Yield each definition after the text that PostgreSQL prints of it, without those that it refuses."""
    # of the same name, by which an expression may qualify a column
    scratch = f"pg_temp.{list(tokens.read(table))[-1].text}"
    _send(connection, "SAVEPOINT scratch_table")
    added = {}
    rows: Sequence[Any] = ()
    if _succeeds(connection, f"CREATE TEMPORARY TABLE {scratch} (LIKE {table})"):
        for number, one in enumerate(definitions):
            if _succeeds(connection, f"ALTER TABLE {scratch} {_action(f'c{number}', one)}"):
                added[one.section, f"c{number}" if one.section == "constraints" else one.thing] = one
        # PostgreSQL leaves out the schema of a name that `search_path` finds
        _send(connection, "SET LOCAL search_path = ''")
        rows = connection.execute(text(queries.load("runner.schema", QUERY)), {"scratch": scratch}).all()
    _send(connection, "ROLLBACK TO SAVEPOINT scratch_table; RELEASE SAVEPOINT scratch_table")
    yield from ((row.printed, added[row.section, row.thing]) for row in rows if (row.section, row.thing) in added)


def _action(name: str, definition: Definition) -> str:
    """Return the action of ALTER TABLE that adds a definition, a constraint under `name`."""
    if definition.section == "constraints":
        return f"ADD CONSTRAINT {name} {definition.text}"
    if definition.section == "not_null":
        # has a name since PostgreSQL 18, before which this is refused
        return f"ADD {definition.text}"
    column = str(definition.thing).replace('"', '""')
    return f'ALTER COLUMN "{column}" SET DEFAULT {definition.text}'


def _succeeds(connection: Connection, statement: str) -> bool:
    """Send a statement, and return whether it succeeds; if not, it is rolled back."""
    # apart, since PostgreSQL parses the whole of a message before it runs any of it
    _send(connection, "SAVEPOINT scratch")
    try:
        _send(connection, f"{statement}; RELEASE SAVEPOINT scratch")
    except DBAPIError as error:
        if sqlstate.is_lost(error) or sqlstate.is_contention(error) or sqlstate.is_cancelled(error):
            raise
        _send(connection, "ROLLBACK TO SAVEPOINT scratch; RELEASE SAVEPOINT scratch")
        return False
    return True


def _send(connection: Connection, statement: str) -> None:
    # psycopg2 would read a `%` as a placeholder
    connection.exec_driver_sql(statement.replace("%", "%%"))
