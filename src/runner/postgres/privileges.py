"""The right that a role lacks, and the statement that grants it.

Only errors of PostgreSQL's own checks are read: their message names an object and nothing else. An English one is
matched; of the others only the SQLSTATE is known, as of a message that a function raises by hand.
https://www.postgresql.org/docs/current/ddl-priv.html
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from runner.postgres import sqlstate, tokens
from runner.postgres.catalog_lookup import LookUp
from runner.postgres.tokens import Token
from runner.project import quote

# PostgreSQL's own files; a function of the database raises from `pl_exec.c` or another language's file.
SOURCES = frozenset({"acl.c", "aclchk.c", "dbcommands.c", "extension.c", "guc.c", "namespace.c", "sequence.c"})
DENIED = r"permission denied for (?P<kind>[a-z -]+?) (?P<name>.+)"
NOT_OWNER = r"must be owner of (?P<kind>[a-z -]+?) (?P<name>.+)"
# The words of a message for a kind of object, and our own, which are those of GRANT.
KINDS = {
    "table": "relation",
    "view": "relation",
    "materialized view": "relation",
    "foreign table": "relation",
    "relation": "relation",
    "index": "relation",
    "sequence": "sequence",
    "function": "routine",
    "procedure": "routine",
    "aggregate": "routine",
    "routine": "routine",
    "type": "type",
    "domain": "type",
    "schema": "schema",
    "database": "database",
    "tablespace": "tablespace",
    "language": "language",
    "foreign server": "foreign server",
    "foreign-data wrapper": "foreign data wrapper",
}
RIGHTS = {
    "routine": ("EXECUTE",),
    "type": ("USAGE",),
    "database": ("CREATE",),
    "tablespace": ("CREATE",),
    "language": ("USAGE",),
    "foreign server": ("USAGE",),
    "foreign data wrapper": ("USAGE",),
}
# The word before a table's name, and what the statement does with it; READS are also the words after a comma.
BEFORE = {
    "into": "INSERT",
    "update": "UPDATE",
    "truncate": "TRUNCATE",
    "references": "REFERENCES",
    "lock": "UPDATE",
    "on": "TRIGGER",
}
SKIPPED = frozenset({"only", "table"})
CREATING = frozenset({"alter", "create", "do"})
# What a message says without a kind of object: the reason, and the next step. Nobody is told to become a member of a
# role that may be a superuser's.
MEMBER = "Set `DB_ROLE` to a role that is a member of `{name}`, or leave this statement to one"
OTHERS = {
    r'permission denied to create extension "(?P<name>.+)"': (
        "may not create the extension `{name}`",
        "Run `CREATE EXTENSION IF NOT EXISTS {quoted}` as an administrator, and leave that clause in the revision",
    ),
    r'permission denied to set parameter "(?P<name>.+)"': (
        "may not set the parameter `{name}`",
        "Run `GRANT SET ON PARAMETER {quoted} TO {role}` as a superuser (from PostgreSQL 15 on)",
    ),
    r'permission denied to create temporary tables in database "(?P<name>.+)"': (
        "lacks `TEMPORARY` on database `{name}`",
        "Run `GRANT TEMPORARY ON DATABASE {quoted} TO {role}` as its owner",
    ),
    r'must be (?:a )?member of role "(?P<name>.+)"': ("is no member of `{name}`", MEMBER),
    r'must be able to SET ROLE "(?P<name>.+)"': ("may not become `{name}`", MEMBER),
}
SOMEBODY = (
    "Grant the right to the role that needs it, which is the owner of a view or a function that the statement uses"
)


@dataclass(frozen=True)
class Lack:
    """What a role lacks, as a clause, and the statement by which somebody else gives it."""

    reason: str
    remedy: str


def find(error: BaseException, look_up: LookUp) -> Lack | None:
    """Return what the role lacks, without its right where the catalog does not tell; None for another error."""
    if sqlstate.diagnosis(error, "source_file") not in SOURCES:
        return None
    message, statement = sqlstate.diagnosis(error, "message_primary"), sqlstate.statement(error)
    for pattern, (reason, remedy) in OTHERS.items():
        if matched := re.fullmatch(pattern, message, re.DOTALL):
            return _of_other(matched["name"], reason, remedy, look_up)
    for pattern in (DENIED, NOT_OWNER):
        matched = re.fullmatch(pattern, message, re.DOTALL)
        if matched and matched["kind"] in KINDS:
            texts = [statement, *_inner(sqlstate.diagnosis(error, "context"))]
            return _of_object(matched["kind"], matched["name"], texts, look_up, owned=pattern == NOT_OWNER)
    return None


def _of_other(name: str, reason: str, remedy: str, look_up: LookUp) -> Lack | None:
    row = look_up("lacking", {"kinds": [], "name": name, "rights": [], "schemas": []})
    if not row:
        return None
    role = row[0]["role"]
    names = {"name": name, "quoted": quote(name), "role": quote(role)}
    return Lack(f"the role `{role}` {reason.format(**names)}", remedy.format(**names))


def _of_object(shown: str, name: str, texts: Sequence[str], look_up: LookUp, *, owned: bool) -> Lack | None:
    kind = KINDS[shown]
    read = [list(tokens.read(text)) for text in texts]
    rights = () if owned else tuple(dict.fromkeys(_rights(kind, name, read)))
    unknown = Lack(f"{'it must be the owner of' if owned else 'permission is denied for'} {shown} `{name}`", SOMEBODY)
    if not owned and not rights:
        return unknown
    # the message of an owner calls a sequence a table where the statement does
    kinds = ["relation", "sequence"] if kind == "relation" and owned else [kind]
    schemas = [parts[-2] for found in read for parts in _names(found) if parts[-1] == name and len(parts) > 1]
    rows = look_up("lacking", {"kinds": kinds, "name": name, "rights": list(rights), "schemas": schemas})
    if not rows or rows[0]["kind"] is None:
        return unknown
    row = rows[0]
    parts = [part for part in (row["schema"], row["name"]) if part is not None]
    full, quoted = ".".join(parts), ".".join(map(quote, parts))
    role, owner = row["role"], row["owner"]
    if owned:
        return _not_owner(shown, full, quoted, role, owner, row["rolsuper"])
    listed = ", ".join(row["lacking"])
    arguments = f"({row['signature']})" if kind == "routine" else ""
    what = "TABLE" if kind == "relation" else kind.upper()
    command = f"GRANT {listed} ON {what} {quoted}{arguments} TO {quote(role)}"
    return Lack(f"the role `{role}` lacks `{listed}` on {shown} `{full}`", f"Run `{command}` as its owner `{owner}`")


def _not_owner(shown: str, full: str, quoted: str, role: str, owner: str, owner_is_superuser: bool) -> Lack:
    reason = f"the role `{role}` is not the owner of {shown} `{full}`, which is `{owner}`"
    # whoever becomes a member of a superuser's role may do all that it may
    if owner_is_superuser:
        return Lack(reason, f"Run `ALTER {shown.upper()} {quoted} OWNER TO {quote(role)}` as `{owner}`")
    become = f"or set `DB_ROLE` to `{owner}` where it may be set already"
    return Lack(reason, f"Run `GRANT {quote(owner)} TO {quote(role)}` as an administrator, {become}")


def _inner(context: str) -> Iterator[str]:
    """Yield the statements that a function of the database had sent, from the error's CONTEXT, innermost first."""
    for line in context.split("\n"):
        if '"' in line:
            yield line[line.index('"') + 1 :].removesuffix('"')


def _names(found: Sequence[Token]) -> Iterator[list[str]]:
    at = 0
    while at < len(found):
        if parts := tokens.name_parts(found, at):
            yield parts
        at = max(at + 1, tokens.after_name(found, at))


def _rights(kind: str, name: str, read: Iterable[Sequence[Token]]) -> Iterator[str]:
    """Yield the rights on an object that the statements may need."""
    if kind in RIGHTS:
        yield from RIGHTS[kind]
        return
    for found in read:
        words = [token.keyword for token in found]
        match kind:
            case "schema":
                yield from ("USAGE", "CREATE") if CREATING.intersection(words[:1]) else ("USAGE",)
            case "sequence":
                yield "UPDATE" if "setval" in words else "SELECT" if {"currval", "lastval"} & {*words} else "USAGE"
            case _:
                yield from _rights_on_table(name, found, words)
        # the body of a DO block
        bodies = [list(tokens.read(token.value)) for token in found if token.kind == "dollar"]
        if kind == "relation":
            yield from _rights(kind, name, bodies)


def _rights_on_table(name: str, found: Sequence[Token], words: Sequence[str]) -> Iterator[str]:
    for at in range(len(found)):
        starts = bool(tokens.name_parts(found, at)) and (at == 0 or words[at - 1] != ".")
        if not starts or tokens.name_parts(found, at)[-1] != name:
            continue
        before = [word for word in words[:at] if word not in SKIPPED]
        last, earlier = before[-1] if before else "", before[-2] if len(before) > 1 else ""
        if (last, earlier) == ("from", "delete"):
            yield from ("DELETE", "SELECT")
        elif last == "copy":
            yield "INSERT" if "from" in words[at:] else "SELECT"
        elif last == "on" and "trigger" not in words[:at]:
            continue
        else:
            right = BEFORE.get(last, "SELECT")
            # to find the rows that it changes, an UPDATE reads them
            yield from ("UPDATE", "SELECT") if last == "update" else (right,)
