"""What a finding advises instead makes the schema that the user's own statement would have made."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from runner.lint import findings, rules
from runner.schema import catalog
from runner.schema.catalog import Catalog
from support import examples
from support.dangers import DANGERS
from support.postgres import Database, Server, read_catalog

BODIES = {
    **{f"{rule.id}-{number}": body for rule in rules.load() for number, body in enumerate(rule.bad)},
    **{name: danger.body for name, danger in DANGERS.items()},
}
# Differences that are meant, by the rules whose remedies make them.
FOREIGN_KEYS = "adding-foreign-key-constraint|foreign-key-without-index|adding-checked-column"
DESIGNED = (
    (FOREIGN_KEYS, r"_idx\"?` \(indexes\): expected none", "a foreign key gets the index that it lacks"),
    ("partitioned-needs-parts", r"_idx` \(indexes\): expected none", "and so do the parts of a partitioned table"),
    ("require-concurrent-partition-detach", r"_check` \(constraints\): expected none", "PostgreSQL leaves the bound"),
    ("attach-partition-scan", r"_(bound|without_\w+)` \(constraints\): expected none", "the CHECK is the proof"),
    ("adding-field-with-default|rewrites-table", r"\(not null\): expected `not null`", "when the rows are filled"),
    ("adding-field-with-default", r"as identity`|found `nextval|`PRIMARY KEY", "an identity when the rows are filled"),
    ("adding-required-field", r"\(not null\): expected `not null`", "when the rows are filled"),
    ("rewrites-table", r"expected `public\.\w+`|_check` \(constraints\)", "a domain's type and CHECK instead of it"),
    ("adding-serial-primary-key-field", r"\(indexes\): expected `CREATE UNIQUE.* found none", "the index is the key's"),
    ("disallowed-unique-constraint", r"\(indexes\): expected `CREATE UNIQUE.* found none", "the index is the key's"),
    ("changing-column-type", r"\((columns|defaults|constraints|indexes)\)", "a new column, or a CHECK of the length"),
    ("domain-constraint-scan", r".", "a constraint of each table, and one of the domain that is NOT VALID"),
    ("renaming-table|ban-set-schema", r"\(views\): expected none, found a view", "a view of the old name"),
    ("renaming-object", r"\(views\)", "a second view instead of another name"),
    ("require-concurrent-index-creation", r"_idx` \(indexes\): expected none", "a partition's own index stays its own"),
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


def replaces_all(finding: dict[str, Any], statements: list[str]) -> bool:
    """Return whether a remedy stands for all that its revision does."""
    return finding["rule"] in WHOLE or (len(statements) == 1 and findings.REST not in finding["help"])


def is_designed(finding: dict[str, Any], difference: str) -> bool:
    return any(re.fullmatch(rule, finding["rule"]) and re.search(told, difference) for rule, told, _ in DESIGNED)


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
        own = made_by(small, [*earlier, *sent[one["revision"]]]) if replaces_all(one, sent[one["revision"]]) else None
        with examples.copy(small, f"remedies_copy_{os.getpid()}") as mine:
            for text in earlier:
                mine.execute(text)
            advised = examples.project(tmp_path / str(number))
            examples.add(advised, "\n---\n".join(one["instead"]))
            done = advised.ask(mine.url, {"action": "upgrade"})
            assert done["status"] == "success", done["message"]
            told = [] if own is None else [str(found) for found in catalog.compare(own, read_catalog(mine))]
        assert [found for found in told if not is_designed(one, found)] == [], one["rule"]
