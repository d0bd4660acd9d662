"""Over random graphs of revisions, with failures at random places, nothing ever disagrees."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.postgres import Database
from support.project import Project

KINDS = ("transactional", "non-transactional", "failing", "failing non-transactional")
BODIES = {
    "transactional": "op.execute('create table m_{name} ()')",
    "non-transactional": (
        "with op.get_context().autocommit_block():\n    op.execute('create table if not exists m_{name} ()')"
    ),
    "failing": "op.execute('create table m_{name} ()')\nop.execute('select 1/0')",
    "failing non-transactional": (
        "with op.get_context().autocommit_block():\n"
        "    op.execute('select 1/0')\n"
        "    op.execute('create table if not exists m_{name} ()')"
    ),
}


@dataclass(frozen=True)
class Node:
    """One revision of a random graph: what it follows, and how it behaves."""

    name: str
    parents: tuple[str, ...]
    kind: str


@st.composite
def graphs(draw: st.DrawFn) -> list[Node]:
    """Draw revisions that follow none, one or two earlier ones: lines, branches, merges, several bases."""
    nodes: list[Node] = []
    for number in range(draw(st.integers(min_value=1, max_value=7))):
        earlier = [node.name for node in nodes]
        parents = draw(st.lists(st.sampled_from(earlier), max_size=2, unique=True)) if earlier else []
        kind = draw(st.sampled_from(KINDS[:2] * 3 + KINDS[2:]))
        nodes.append(Node(f"{number:03d}_n", tuple(parents), kind))
    return nodes


Walk = tuple[list[Node], list[tuple[str, str]]]


@st.composite
def walks(draw: st.DrawFn) -> Walk:
    """Draw a graph and a walk over it: up and down to random revisions, to base, to head."""
    nodes = draw(graphs())
    names = [node.name for node in nodes]
    up = st.tuples(st.just("upgrade"), st.sampled_from([*names, "head", "+1"]))
    down = st.tuples(st.just("downgrade"), st.sampled_from([*names, "base", "-1"]))
    return nodes, draw(st.lists(st.one_of(up, up, down), min_size=1, max_size=5))


def write(project: Project, nodes: list[Node]) -> None:
    for path in (project.folder / "alembic").glob("*/*"):
        if path.suffix in (".py", ".json"):
            path.unlink()
    for node in nodes:
        down = f"op.execute('drop table m_{node.name}')"
        path = project.add(node.name, BODIES[node.kind].format(name=node.name), after=None, downgrade=down)
        parents = repr(node.parents) if node.parents else "None"
        path.write_text(path.read_text().replace("down_revision = None", f"down_revision = {parents}"))


def applied_by_version(database: Database, nodes: list[Node]) -> set[str]:
    """Return what the version table says has been applied: its rows and all before them."""
    by_name = {node.name: node for node in nodes}
    found: set[str] = set()
    if database.query("select to_regclass('alembic_version')") == [(None,)]:
        return found
    todo = [row[0] for row in database.query("select version_num from alembic_version")]
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += by_name[name].parents
    return found


def applied_by_schema(database: Database) -> set[str]:
    rows = database.query("select relname from pg_class where relname like 'm\\_%' and relkind = 'r'")
    return {row[0].removeprefix("m_") for row in rows}


def applied_by_ledger(database: Database) -> set[str]:
    if database.query("select to_regclass('runner.migration_log')") == [(None,)]:
        return set()
    rows = database.query(
        "select distinct on (revision) revision, direction from runner.migration_log where status = 'success' "
        "order by revision, log_id desc"
    )
    return {revision for revision, direction in rows if direction == "upgrade"}


def take(folder: Path, database: Database, walk: Walk) -> None:
    """Take a walk in an empty schema; after each step, whether it went well or not, all three tell the same."""
    nodes, steps = walk
    database.execute("drop schema if exists runner, public cascade; create schema public")
    project = Project.copy(folder)
    write(project, nodes)
    for action, target in steps:
        answer = project.ask(database.url, {"action": action, "target": target})
        version = applied_by_version(database, nodes)
        assert applied_by_schema(database) == version, (nodes, action, target, answer)
        assert applied_by_ledger(database) == version, (nodes, action, target, answer)
        assert answer.get("code") in (None, "revision-failed", "unknown-revision", "multiple-heads"), answer
        if answer["status"] == "success":
            assert set((answer["to"] or "").split(",")) - {""} <= version


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(walk=walks())
def test_version_ledger_and_schema_never_disagree(tmp_path_factory, database: Database, walk: Walk) -> None:
    """On a few dozen walks, other ones in each run."""
    take(tmp_path_factory.mktemp("graph"), database, walk)


@pytest.mark.long
@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(walk=walks())
def test_they_never_disagree_on_many_walks(tmp_path_factory, database: Database, walk: Walk) -> None:
    take(tmp_path_factory.mktemp("graph"), database, walk)
