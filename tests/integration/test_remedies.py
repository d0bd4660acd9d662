"""What a finding advises instead makes the schema that the user's own statement would have made."""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from runner.errors import MigrationError
from runner.lint import findings, rules
from runner.lint.report import excerpt
from runner.postgres import sql
from runner.schema import catalog
from runner.schema.catalog import Catalog
from support import examples
from support.dangers import DANGERS
from support.postgres import Database, Server, read_catalog

BODIES = {
    **{f"{rule.id}-{number}": body for rule in rules.load() for number, body in enumerate(rule.bad)},
    **{name: danger.body for name, danger in DANGERS.items()},
}
# Differences that are meant, whole, by the rules whose remedies make them; `@` is a name.
FOREIGN_KEYS = "adding-foreign-key-constraint|foreign-key-without-index|adding-checked-column"
NOT_NULL = r"@` \(not null\): expected `not null`, found none"
MADE = "expected none, found"
DESIGNED = (
    (
        FOREIGN_KEYS,
        rf"@_idx\"?` \(indexes\): {MADE} `CREATE INDEX .* USING btree \([\w\"]+\)`",
        "the index that it lacks",
    ),
    ("partitioned-needs-parts", rf"@_idx` \(indexes\): {MADE} `CREATE INDEX .*`", "and so do the parts of a table"),
    (
        "require-concurrent-partition-detach",
        rf"@_check` \(constraints\): {MADE} `CHECK \(\(\(at IS NOT NULL\) AND .*`",
        "PostgreSQL leaves the bound",
    ),
    (
        "attach-partition-scan",
        rf"@_(bound|without_\w+_check)` \(constraints\): {MADE} `CHECK \(.*\)`",
        "the CHECK is the proof",
    ),
    ("adding-field-with-default|rewrites-table|adding-required-field", NOT_NULL, "when the rows are filled"),
    (
        "adding-field-with-default",
        r"@` \(columns\): expected `(\w+) generated (always|by default) as identity`, found `\1`",
        "an identity when the rows are filled",
    ),
    (
        "adding-field-with-default",
        rf"@` \(defaults\): {MADE} `nextval\('public\.\w+_seq'::regclass\)`",
        "until then its numbers",
    ),
    (
        "adding-field-with-default",
        r"@` \(constraints\): expected `PRIMARY KEY \(\w+\)`, found none",
        "a key when the rows are filled",
    ),
    ("rewrites-table", r"@` \(columns\): expected `public\.(positive|tall)`, found `integer`", "the domain's type"),
    ("rewrites-table", rf"@_check` \(constraints\): {MADE} `CHECK \(\(\w+ > 0\)\)`", "and its CHECK"),
    (
        "adding-serial-primary-key-field|disallowed-unique-constraint",
        r"@` \(indexes\): expected `CREATE UNIQUE INDEX .*`, found none",
        "the index is the key's",
    ),
    (
        "changing-column-type",
        rf"@_length` \(constraints\): {MADE} `CHECK \(\(length\(.*\) <= \d+\)\)`",
        "a CHECK of the length",
    ),
    (
        "changing-column-type",
        r"@` \(columns\): expected `character varying\(\d+\)`, found `(text|character varying\(50\))`",
        "and so no other type",
    ),
    ("changing-column-type", rf"@_new` \(columns\): {MADE} `[\w(,)]+`", "a new column, to be filled"),
    (
        "changing-column-type",
        r"@(account_id|balance|number|quantity|mood)` \(columns\): expected `[\w(,)]+`, found `[\w(,).]+`",
        "beside the old one",
    ),
    (
        "changing-column-type",
        r"@items_number_check` \(constraints\): expected `CHECK \(\(number > \(0\)::numeric\)\) NOT VALID`, "
        r"found `CHECK \(\(number > 0\)\) NOT VALID`",
        "of which the CHECKs stay",
    ),
    (
        "domain-constraint-scan",
        r"@` \(types, constraints\): expected `(CHECK \(.*\))`, found `\1 NOT VALID`",
        "NOT VALID for the domain",
    ),
    (
        "domain-constraint-scan",
        rf"@_check` \(constraints\): {MADE} `CHECK \(.*\)`",
        "and a CHECK of each table",
    ),
    (
        "domain-constraint-scan",
        r"@` \(types\): expected `domain ([\w(), ]+) not null`, found `domain \1`",
        "each column is NOT NULL",
    ),
    ("domain-constraint-scan", r"@` \(not null\): expected none, found `not null`", "not the domain"),
    ("renaming-table|ban-set-schema", r"@` \(views\): expected none, found a view", "a view of the old name"),
    ("renaming-object", r"@(cheap_items|cheapest_items)` \(views\): expected none, found a view", "a second view"),
    (
        "renaming-object",
        r"@(bargains|cheapest_items)` \(views\): expected ` SELECT .*`, found ` SELECT .*`",
        "which reads the first",
    ),
    (
        "require-concurrent-index-creation",
        rf"@events_2026_kind_idx` \(indexes\): {MADE} `CREATE INDEX .* \(kind\)`",
        "a partition's own index stays its own",
    ),
    (
        "require-concurrent-index-creation",
        r"@depots_(oslo|rome)_city_id_idx1?` \(indexes\): expected .*, found .*",
        "parts have other names, since the old index is there meanwhile",
    ),
)
# The remedy replaces the revision as a whole, also where it has several statements.
WHOLE = ("work-under-lock", "enum-value-used")


@pytest.fixture(scope="module")
def small(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A database with rows, for plans and copies."""
    with examples.database(server, f"remedies_{os.getpid()}", tmp_path_factory.mktemp("small"), 30) as database:
        yield database


def made_by(original: Database, statements: list[str]) -> Catalog | None:
    """Return the schema after statements that commit each, None where PostgreSQL refuses one."""
    with examples.copy(original, f"remedies_own_{os.getpid()}") as mine:
        try:
            for one in statements:
                mine.execute(one)
        except psycopg2.Error:
            return None
        return read_catalog(mine)


def around(finding: dict[str, Any], statements: list[str]) -> tuple[list[str], list[str]] | None:
    """Return the statements of a revision around the one of a finding, None where a remedy lacks a part of it.

    A remedy that stands for the whole revision has nothing around it.
    """
    if findings.REST in finding["help"]:
        return None
    found = (finding["statement"] or "").rstrip(";")
    # one in a DO block stands in its text
    places = [
        place
        for place, one in enumerate(statements)
        if excerpt(one).rstrip(";") == found or (one[:3].lower() == "do " and found in one)
    ]
    if finding["rule"] in WHOLE or len(statements) == 1 or len(places) != 1:
        return [], []
    return statements[: places[0]], statements[places[0] + 1 :]


def advised(original: Database, folder: Path, bodies: list[str], before: list[str], after: list[str]) -> Catalog | str:
    """Return the schema after revisions that are between statements, or the message of what fails."""
    with examples.copy(original, f"remedies_copy_{os.getpid()}") as mine:
        project = examples.project(folder)
        examples.add(project, "\n---\n".join(bodies))
        try:
            for one in before:
                mine.execute(one)
            done = project.ask(mine.url, {"action": "upgrade"})
            for one in after:
                with suppress(psycopg2.errors.DuplicateColumn):
                    mine.execute(one)
        except (psycopg2.Error, MigrationError) as error:
            return str(error)
        return read_catalog(mine) if done["status"] == "success" else str(done["message"])


def is_designed(finding: dict[str, Any], difference: str) -> bool:
    return any(
        re.fullmatch(rule, finding["rule"]) and re.fullmatch(told.replace("@", r"`[\w.\"]*"), difference, re.DOTALL)
        for rule, told, _ in DESIGNED
    )


def undesigned(finding: dict[str, Any], own: Catalog, other: Catalog) -> list[str]:
    found = [str(one) for one in catalog.compare(own, other)]
    return [one for one in found if not is_designed(finding, one)]


@pytest.mark.long
@pytest.mark.parametrize("case", BODIES)
def test_what_is_advised_makes_the_same_schema(small: Database, tmp_path: Path, case: str) -> None:
    project = examples.project(tmp_path / "own")
    examples.add(project, BODIES[case])
    answer = examples.plan(project, small)
    sent = {one["revision"]: one["sql"] for one in answer["revisions"]}
    # where the key cannot be made at all, another finding says so
    refused = {one["statement"] for one in answer["findings"] if one["rule"] == "foreign-key-type-mismatch"}
    for number, one in enumerate(one for one in answer["findings"] if one["instead"]):
        if one["statement"] in refused:
            continue
        names = list(sent)
        earlier = [text for name in names[: names.index(one["revision"])] for text in sent[name]]
        own = made_by(small, [*earlier, *sent[one["revision"]]])
        alone = advised(small, tmp_path / f"{number}", one["instead"], earlier, [])
        assert not isinstance(alone, str), alone
        parts = around(one, [piece for text in sent[one["revision"]] for piece in sql.split(text)])
        if own is None or parts is None:
            continue
        told = undesigned(one, own, alone)
        if told and any(parts):
            # it is one statement's, the others of the revision stay; it has the column itself that one of them adds
            for name, before, after in (("within", *parts), ("first", [], [*parts[0], *parts[1]])):
                within = advised(small, tmp_path / f"{number}_{name}", one["instead"], [*earlier, *before], after)
                told = told if isinstance(within, str) else undesigned(one, own, within)
                if not isinstance(within, str):
                    break
        assert told == [], one["rule"]
