"""PostgreSQL's text, read as far as safety needs it: tokens, statements, names.

What is in a string, a comment or a dollar-quoted body is no keyword and no name.
https://www.postgresql.org/docs/current/sql-syntax-lexical.html
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

TOKEN = re.compile(
    r"""(?P<space>\s+|--[^\n]*)
      | (?P<comment>/\*)
      | (?P<string>[eE]'(?:[^'\\]|\\.|'')*'? | (?:[bBxXnN]|[uU]&)?'(?:[^']|'')*'?)
      | (?P<dollar>\$(?P<tag>(?:[^\W\d]\w*)?)\$.*?(?:\$(?P=tag)\$|\Z))
      | (?P<quoted>(?:[uU]&)?"(?:[^"]|"")*"?)
      | (?P<word>[^\W\d][\w$]*)
      | (?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
COMMENT_EDGE = re.compile(r"/\*|\*/")


Name = tuple[str, str]
"""A schema and what is in it."""
DML = frozenset({"select", "insert", "update", "delete", "merge"})
# The words that say what a statement does to what, and those between that change nothing of it.
VERBS = DML | frozenset({
    "alter", "cluster", "comment", "copy", "create", "database", "do", "domain", "drop", "full", "function", "grant",
    "index", "lock", "materialized", "reindex", "revoke", "schema", "sequence", "table", "temp", "temporary",
    "truncate", "type", "unique", "unlogged", "vacuum", "view",
})  # fmt: skip
NOISE = frozenset({
    "analyze", "concurrently", "exists", "from", "global", "if", "into", "local", "not", "on", "only", "or", "replace",
    "verbose",
})  # fmt: skip
TABLE_VERBS = frozenset({"cluster", "delete", "lock", "truncate", "update", "vacuum full"})


@dataclass(frozen=True)
class Token:
    """One token: `word`, `quoted` (a name), `string`, `dollar`, or `other`; spaces and comments are none."""

    kind: str
    text: str
    start: int

    @property
    def value(self) -> str:
        """Return a name as PostgreSQL folds it, a string's content, and anything else as it is."""
        match self.kind:
            case "word":
                return self.text.lower()
            case "quoted":
                return self.text.strip('"').replace('""', '"')
            case "string":
                return self.text.partition("'")[2].removesuffix("'").replace("''", "'")
            case "dollar":
                tag = self.text[: self.text.index("$", 1) + 1]
                return self.text.removeprefix(tag).removesuffix(tag)
        return self.text


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
            depth += {"(": 1, ")": -1}.get(token.text, 0)
            if depth == 0 and token.kind == "word" and token.value == word:
                return True
        return False


def tokens(text: str) -> Iterator[Token]:
    """Yield the tokens of a text."""
    at = 0
    while found := TOKEN.match(text, at):
        at = found.end()
        if found.lastgroup == "comment":
            at = _end_of_comment(text, at)
        elif found.lastgroup == "tag" or found["dollar"] is not None:
            yield Token("dollar", found[0], found.start())
        elif found.lastgroup != "space":
            yield Token(str(found.lastgroup), found[0], found.start())


def split(text: str) -> list[str]:
    """Return the statements of a text, each with its comments and without its semicolon."""
    ends = [token.start for token in tokens(text) if token.text == ";"]
    starts = [0, *(end + 1 for end in ends)]
    pieces = (text[start:end].strip() for start, end in zip(starts, [*ends, len(text)], strict=True))
    return [piece for piece in pieces if next(tokens(piece), None)]


def read(statement: str) -> "Statement":
    """Return what a statement does to what, as far as its first words say it."""
    found = list(tokens(statement))
    at = _skip_with(found)
    verb: list[str] = []
    while at < len(found) and found[at].kind == "word" and found[at].value in VERBS | NOISE:
        if verb[-1:] == ["index"] and found[at].value == "on":
            break
        if found[at].value in VERBS:
            verb.append(found[at].value)
        at += 1
    if verb[:1] == ["create"] and verb[-1] == "index":
        # the table stands after ON, with the index's name before it or without one
        at = next((place for place in range(at, len(found)) if found[place].value == "on"), len(found)) + 1
        at += at < len(found) and found[at].value == "only"
    names: list[Name] = []
    while (name := name_at(found, at)) is not None:
        names.append(name)
        at = _after_name(found, at)
        if at >= len(found) or found[at].text != ",":
            break
        at += 1
    return Statement(" ".join(verb), tuple(names), tuple(found[at:]))


def name_at(found: Sequence[Token], at: int) -> Name | None:
    """Return the schema (`public` where none is said) and the name that begin at a token."""
    parts = [token.value for token in found[at : _after_name(found, at)] if token.kind in ("word", "quoted")]
    return None if not parts else (parts[-2] if len(parts) > 1 else "public", parts[-1])


def _after_name(found: Sequence[Token], at: int) -> int:
    """Return the place after a name and its dots."""
    while at < len(found) and found[at].kind in ("word", "quoted"):
        at += 1
        if at >= len(found) or found[at].text != ".":
            break
        at += 1
    return at


def _skip_with(found: Sequence[Token]) -> int:
    """Return where a statement's verb stands: behind the queries of a WITH."""
    if not found or found[0].value != "with":
        return 0
    depth = 0
    for at, token in enumerate(found):
        depth += {"(": 1, ")": -1}.get(token.text, 0)
        if depth == 0 and token.kind == "word" and token.value in DML:
            return at
    return len(found)


def is_name(text: str) -> bool:
    """Tell whether a text is a name and nothing else, with or without its schema."""
    found = list(tokens(text))
    return (
        bool(found)
        and len(found) <= 3
        and all(token.kind in ("word", "quoted") or token.text == "." for token in found)
    )


def read_name(text: str) -> Name:
    """Return the schema and the name of `public.leads`, `"Odd"."Name"` or `public.f(integer)`."""
    return name_at(list(tokens(text)), 0) or ("public", text)


def _end_of_comment(text: str, at: int) -> int:
    """Return where a block comment ends whose first edge is before `at`; comments nest."""
    depth = 1
    while depth and (edge := COMMENT_EDGE.search(text, at)):
        at = edge.end()
        depth += 1 if edge[0] == "/*" else -1
    return at if not depth else len(text)
