"""What a plan finds where nothing is known of the database: no snapshot and no file of sizes."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from runner import settings
from runner.lint import findings, rules
from runner.lint.state.database import describe
from runner.lint.state.statement import arrange
from runner.results import Finding
from runner.script import graph, offline
from support import examples
from support.dangers import DANGERS
from support.safe_revisions import SAFE

RULES = {rule.id: rule for rule in rules.load()}


def ids(rule: str | tuple[str, ...]) -> set[str]:
    return {rule} if isinstance(rule, str) else {*rule}


# what squawk finds in the text is the same without a database
BAD = {
    **{f"bad {rule.id} {n}": ({rule.id}, body) for rule in RULES.values() for n, body in enumerate(rule.bad)},
    **{name: (ids(one.rule), one.body) for name, one in DANGERS.items() if ids(one.rule) <= RULES.keys()},
}
GOOD = {
    **{f"safe {rule.id} {n}": body for rule in RULES.values() for n, body in enumerate(rule.safe)},
    **SAFE,
}


# What is silent where nothing is known, by what the answer then says that it does not know.
UNKNOWABLE = {
    "whether a table has a DEFAULT partition": ["bad attach-partition-scan 7", "a partition beside a default one"],
    "which types columns have": [
        *(f"bad foreign-key-type-mismatch {number}" for number in range(5)),
        "a reference of another type, whose column cannot hold all keys",
        "a reference of a type that cannot be compared",
    ],
    "whether a table is partitioned": [
        *(f"bad partitioned-needs-parts {number}" for number in range(7)),
        "bad not-in-transaction 5",
        "CONCURRENTLY on a partitioned table",
        # built on ONLY it, the index of a partitioned table reads nothing
        "bad require-concurrent-index-creation 13",
    ],
    "which types are domains": [
        *(f"bad rewrites-table {number}" for number in range(4, 8)),
        "a column of a domain with a constraint",
    ],
    "whether other tables inherit from a table": ["bad adding-not-nullable-field 0"],
    # but `renaming-table` finds it
    "whether ALTER TABLE renames a view": ["bad renaming-object 4"],
}
# What is found in safe examples, since what makes them safe is not known.
NECESSARY = {
    "whether what is dropped or made IF EXISTS or IF NOT EXISTS is there": {
        "adding-checked-column": ["safe adding-checked-column 2"],
        "adding-required-field": ["safe adding-required-field 2"],
        "ban-drop-column": ["safe ban-drop-column 3"],
        "ban-drop-constraint": ["safe ban-drop-constraint 2"],
        "ban-drop-domain": ["safe ban-drop-domain 2"],
        "ban-drop-extension": ["safe ban-drop-extension 2"],
        "ban-drop-function": ["safe ban-drop-function 5"],
        "ban-drop-schema": ["safe ban-drop-schema 2"],
        "ban-drop-sequence": ["safe ban-drop-sequence 2"],
        "ban-drop-table": ["safe ban-drop-table 3", "safe cascade-drops 2", "drops of what is not there"],
        "ban-drop-type": ["safe ban-drop-type 4"],
        "ban-drop-view": ["safe ban-drop-view 4", "drops of what is not there"],
        "cascade-drops": [
            "safe ban-drop-constraint 2",
            "safe ban-drop-schema 2",
            "safe cascade-drops 2",
            "drops of what is not there",
        ],
        "concurrently-left-blind": ["safe concurrently-left-blind 3"],
        "enum-value-used": ["safe enum-value-used 3"],
        "require-concurrent-index-creation": ["safe require-concurrent-index-creation 2"],
        "require-concurrent-index-deletion": ["safe require-concurrent-index-deletion 2", "drops of what is not there"],
    },
    "which columns are a key": {
        "unbounded-write": [
            "safe adding-required-field 1",
            *(f"safe enum-value-used {number}" for number in (0, 2, 3)),
            "safe replication-role 1",
            *(f"safe unbounded-write {number}" for number in (0, 1, 2, 3, 4, 5, 6, 8, 9, 11)),
            "safe work-under-lock 4",
            "a value of an enum, then its use",
            "a few rows by key",
            "a batch by key",
            "batches by key, each committed",
            "expand: the first half of a rename",
        ],
        "work-under-lock": ["safe replication-role 1", "safe work-under-lock 4"],
    },
    "which type a column has": {
        "changing-column-type": [
            *(f"safe changing-column-type {number}" for number in range(9)),
            "a longer varchar",
            "varchar to text",
            "more digits, the same scale",
            "numeric without limits",
            "text to varchar without a length",
            "the same type",
        ],
        "enum-value-used": ["safe enum-value-used 2"],
    },
    "whether a column is NOT NULL, or a CHECK proves it": {
        "adding-not-nullable-field": [
            *(f"safe adding-not-nullable-field {number}" for number in (2, 3)),
            "NOT NULL under a proven check",
            "NOT NULL of what is already",
        ],
        "ban-drop-not-null": ["safe ban-drop-not-null 1"],
        "key-on-nullable": [
            *(f"safe adding-serial-primary-key-field {number}" for number in range(2)),
            "a primary key by its index",
        ],
    },
    "whether a column has a default": {"ban-drop-default": ["safe ban-drop-default 2"]},
    "which indexes and keys there are": {
        "adding-foreign-key-constraint": ["safe partitioned-needs-parts 1"],
        "foreign-key-without-index": [
            *(f"safe adding-foreign-key-constraint {number}" for number in (0, 3)),
            "safe partitioned-needs-parts 1",
            "safe work-under-lock 2",
        ],
    },
    "what a constraint says": {"ban-drop-constraint": ["safe ban-drop-constraint 1"]},
    "by what a table is partitioned": {
        "attach-partition-scan": ["safe attach-partition-scan 1", "a partition attached under a proven check"],
    },
    "what a function does, and whether a trigger calls it": {
        "adding-field-with-default": ["safe adding-field-with-default 2"],
        "ban-drop-function": ["safe ban-drop-function 1", "safe ban-drop-function 4"],
        "renaming-object": ["safe renaming-object 3"],
    },
    "whether ALTER TABLE renames an index": {"renaming-table": ["safe renaming-object 3"]},
    "whether columns of a domain are there": {"domain-constraint-scan": ["safe domain-constraint-scan 1"]},
    "whether a view has rows": {"refresh-blocks-reads": ["safe refresh-blocks-reads 1"]},
    "which policies a table has": {
        "disabling-row-security": ["safe rls-without-policy 1"],
        "rls-without-policy": ["safe disabling-row-security 0"],
    },
    "which privileges a role has": {
        "revoking-privileges": [*(f"safe revoking-privileges {number}" for number in (0, 1, 3, 5, 6, 7)), "rights"],
    },
    "whether CREATE RULE is about a view": {"adding-rule": ["safe adding-rule 4"]},
    "whether a table is logged": {"rewrites-table": ["safe rewrites-table 3"]},
}


def find(folder: Path, bodies: Mapping[str, str]) -> dict[str, list[Finding]]:
    """Return what our rules find in each of many examples, each as a branch of its own, in one pass."""
    project = examples.bare(folder)
    project.add("001_start", "pass", after=None)
    names: dict[str, list[str]] = {}
    after = "001_start"
    for place, (case, body) in enumerate(bodies.items()):
        names[case] = []
        for number, one in enumerate(body.split("\n---\n")):
            name = f"{place:03d}_{number:03d}_example"
            project.add(name, f"from runner.operations import {examples.HELPERS}\n{one}", after=after)
            names[case].append(name)
            after = name
    known = {"ALEMBIC_CONFIG": str(project.folder / "alembic.ini")}
    revisions = graph.load(settings.read(known), runs=True)
    offline.run_env_offline(revisions.config, revisions.script)
    steps = graph.route(revisions.script, "upgrade", "head", ("001_start",)).steps
    rendered = {one.revision: one for one in offline.render(revisions.config, revisions.script, steps)}
    nothing = describe({"tables": {}}, {}, "16.4", complete=False)
    found: dict[str, list[Finding]] = {}
    for case, own in names.items():
        parts = [rendered[name] for name in own]
        arranged = arrange(parts, map(findings._sent, parts), nothing)
        found[case] = [one for revision in arranged for one in findings._find(revision)]
    return found


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Finding]]:
    """What is found in each example, the bad and the good ones."""
    return find(tmp_path_factory.mktemp("examples"), {**{case: body for case, (_, body) in BAD.items()}, **GOOD})


def test_a_bad_example_is_found_where_nothing_is_known(found: dict[str, list[Finding]]) -> None:
    """What the plan did not make counts as there."""
    silent = {case for case, (rule, _) in BAD.items() if rule.isdisjoint(one.rule for one in found[case])}
    assert silent == {case for cases in UNKNOWABLE.values() for case in cases}


def test_a_safe_example_has_a_finding_only_for_what_is_not_known(found: dict[str, list[Finding]]) -> None:
    """None of them is about what the plan itself makes."""
    wolves = {(one.rule, case) for case in GOOD for one in found[case] if one.level != "note"}
    expected = {(rule, case) for table in NECESSARY.values() for rule, cases in table.items() for case in cases}
    assert wolves == expected
