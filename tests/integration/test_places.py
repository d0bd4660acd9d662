"""A finding names the line of the revision that causes it, however the statement gets from there to Alembic."""

import json

import pytest

from support.postgres import Database
from support.project import Project

HELPERS = "from runner import operations\n"

# The line that a finding must name ends in `# here`, if it is not that of the function itself.
CASES = {
    "of one operation": ('op.add_column("leads", sa.Column("x", sa.Text()))\nop.drop_column("leads", "tags")  # here',
                         "ban-drop-column"),
    "over several lines": ('op.drop_column(  # here\n    "leads",\n    "documento",\n)', "ban-drop-column"),
    "of one statement among several": (
        'op.execute("select 1; select 2")\nop.execute("select 3; alter table leads drop contato_nome")  # here',
        "ban-drop-column"),
    "in a function of its own": (
        'def again(name):\n    op.drop_column("leads", name)  # here\nfor one in ("email_raw", "telefone_raw"):\n'
        "    again(one)",
        "ban-drop-column"),
    "in a helper of another file": (
        HELPERS + 'operations.add_check_not_valid("c", "leads", "interesse > 1")\n'
        'operations.validate_constraint("c", "leads")  # here', "work-under-lock"),
    "at the end of a batch": (
        'with op.batch_alter_table("leads") as batch:  # here\n    batch.drop_column("interesse")\n    print("done")',
        "ban-drop-column"),
    "through the connection": ('op.get_bind().execute(sa.text("truncate leads"))  # here', "truncate"),
    "of a mistake": ('op.execute("select 1")\nop.no_such_thing()  # here', "broken-code"),
    "of what needs a database": (
        'op.execute("select 1")\nop.get_bind().execute(sa.text("select 1")).scalar()  # here', "not-rendered"),
    "of a comment": ('op.execute("select 1")\n# lint-allow ban-drop-column: nothing drops it  # here',
                     "unused-suppression"),
    "of an allowed one": (
        "# lint-allow ban-drop-column: nothing reads it\nop.execute('select 1')\n"
        'op.drop_column("leads", "data_ingestao")  # here',
        "ban-drop-column"),
    "of a whole revision": ("pass", "empty-revision"),
}  # fmt: skip


@pytest.fixture
def at_017(project: Project, migrated: Database) -> tuple[Project, Database]:
    return project, migrated


def test_a_finding_names_its_line(at_017: tuple[Project, Database]) -> None:
    """A revision for each case, all in one plan; the last one is empty, as only the newest may be."""
    project, database = at_017
    names = [f"{number:03d}_change" for number in range(18, 18 + len(CASES))]
    for name, after, (body, _) in zip(names, ["017_dry_run_log", *names], CASES.values(), strict=False):
        project.add(name, body, after=after)
    answer = project.ask(database.url, {"action": "plan"})
    for name, (case, (_, rule)) in zip(names, CASES.items(), strict=True):
        lines = (project.folder / "alembic" / "versions" / f"{name}.py").read_text().splitlines()
        marked = [number for number, text in enumerate(lines, 1) if text.endswith("# here")]
        expected = marked or [lines.index("def upgrade():") + 1]
        found = [
            (one["path"], one["line"])
            for one in [*answer["findings"], *answer["allowed"]]
            if (one["revision"], one["rule"]) == (name, rule)
        ]
        assert (f"alembic/versions/{name}.py", expected[0]) in found, (case, found)


def test_indexes_are_sorted_with_their_lines(project: Project) -> None:
    """A plan shows consecutive indexes in one order, since SQLAlchemy keeps those of a table in a set."""
    project.add("018_change", 'op.create_index("b", "leads", ["nome"])\nop.create_index("a", "leads", ["nome"])')
    answer = json.loads(project.run("migrate", "plan", "--offline", "017:head", "--json").stdout)
    assert [text[:15] for text in answer["revisions"][0]["sql"]] == ["CREATE INDEX a ", "CREATE INDEX b "]
    assert [(one["statement"][:14], one["line"]) for one in answer["findings"]] == [
        ("CREATE INDEX a", 9),
        ("CREATE INDEX b", 8),
    ]


def test_a_downgrade_is_placed_in_its_own_function(at_017: tuple[Project, Database]) -> None:
    project, database = at_017
    path = project.add(
        "018_change", 'op.execute("select 1")', downgrade='op.execute("do $$ begin execute now()::text; end $$")'
    )
    assert project.ask(database.url, {"action": "upgrade"})["status"] == "success"
    (found,) = project.ask(database.url, {"action": "plan", "target": "-1"})["findings"]
    assert (found["rule"], found["line"]) == ("do-block", len(path.read_text().splitlines()))


def test_the_place_is_shown(at_017: tuple[Project, Database]) -> None:
    """As editors and terminals open it: the path, a colon, the line."""
    project, database = at_017
    project.add("018_change", 'op.drop_column("leads", "tags")')
    for form in ((), ("--markdown",)):
        printed = project.run("migrate", "plan", *form, url=database.url).stdout
        assert "alembic/versions/018_change.py:8" in printed
