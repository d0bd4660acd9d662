"""Guards against mistakes: what is dear is asked twice, what was asked twice is done once."""

import threading

import pytest

from support import waiting
from support.postgres import Database
from support.project import UNTIL_TOLD, Project

ROW = "insert into dry_run_log (tenant_id, canal_decidido, motivo_decisao) values (gen_random_uuid(), 'none', 'x')"


@pytest.mark.usefixtures("migrated")
def test_a_downgrade_that_loses_rows(project: Project, database: Database) -> None:
    """How many is said, everywhere; confirmed with the current revision, it goes through."""
    database.execute(f"{ROW}; {ROW}")
    database.execute("insert into tenants (company_name) values ('a')")
    answer = project.ask(database.url, {"action": "downgrade", "target": "016"})
    assert answer["message"] == (
        "confirm-needed: Downgrading to `016_platform_baseline` drops `public.dry_run_log` and its 2 rows. "
        "Nothing was changed. Run the same command with `--confirm 017_dry_run_log`."
    )
    base = project.ask(database.url, {"action": "downgrade", "target": "base"})
    assert base["error"] == (
        "Downgrading to `base` drops `public.dry_run_log` and its 2 rows and `public.tenants` and its 1 row."
    )
    wrong = project.ask(database.url, {"action": "downgrade", "target": "016", "confirm": "016_platform_baseline"})
    assert wrong["code"] == "confirm-needed"
    plain = project.run("alembic", "-x", "note=kept", "downgrade", "016_platform_baseline", url=database.url)
    assert "FAILED: confirm-needed" in plain.stderr + plain.stdout
    # what it says is to be typed, with the options of the call
    confirmed = "alembic -x note=kept -x confirm=017_dry_run_log downgrade 016_platform_baseline"
    assert f"Run `{confirmed}`." in plain.stderr + plain.stdout
    assert database.query("select count(*) from dry_run_log") == [(2,)]
    done = project.run(*confirmed.split(), url=database.url)
    assert done.returncode == 0, done.stderr
    assert database.query("select to_regclass('dry_run_log')") == [(None,)]


def test_a_column_with_values(project: Project, database: Database) -> None:
    project.add(
        "018_note",
        "op.add_column('tenants', sa.Column('note', sa.Text()))",
        downgrade="op.drop_column('tenants', 'note')",
    )
    assert project.run("migrate", "snapshot", url=database.url).returncode == 0
    project.ask(database.url, {"action": "upgrade"})
    database.execute("insert into tenants (company_name, note) values ('a', 'kept'), ('b', null)")
    answer = project.ask(database.url, {"action": "downgrade", "target": "-1"})
    assert answer["error"] == "Downgrading to `017_dry_run_log` drops `public.tenants.note` and its 1 row."
    database.execute("update tenants set note = null")
    assert project.ask(database.url, {"action": "downgrade", "target": "-1"})["status"] == "success"


@pytest.mark.usefixtures("migrated")
@pytest.mark.parametrize("action", ["downgrade", "stamp", "repair", "rehearse"])
def test_only_some_actions_are_allowed_in_prod(project: Project, database: Database, action: str) -> None:
    answer = project.ask(database.url, {"action": action, "target": "016"}, ENVIRONMENT="prod")
    assert answer["message"] == (
        f"action-not-allowed: `{action}` is not among the actions allowed in `prod` (`activity`, `check`, `current`, "
        "`heads`, `history`, `list-migrations`, `plan`, `run-migration`, `show`, `sizes`, `upgrade`). "
        "Nothing was changed. Use another action, or name it in `ALLOWED_ACTIONS`, which replaces that list."
    )


@pytest.mark.usefixtures("migrated")
def test_plain_alembic_is_guarded_too(project: Project, database: Database) -> None:
    done = project.run("alembic", "downgrade", "-1", url=database.url, ENVIRONMENT="prod")
    assert "FAILED: action-not-allowed" in done.stderr + done.stdout


@pytest.mark.usefixtures("migrated")
def test_what_is_dear_in_prod_wants_the_current_revision(project: Project, database: Database) -> None:
    allowed = {"ENVIRONMENT": "prod", "ALLOWED_ACTIONS": "upgrade, downgrade,stamp,repair"}
    for action in ("downgrade", "stamp", "repair"):
        answer = project.ask(database.url, {"action": action, "target": "016"}, **allowed)
        assert answer["code"] in ("confirm-needed", "drift"), answer["message"]
    answer = project.ask(database.url, {"action": "downgrade", "target": "016"}, **allowed)
    assert answer["message"] == (
        "confirm-needed: `downgrade` in `prod` requires confirmation. Nothing was changed. "
        "Run the same command with `--confirm 017_dry_run_log`."
    )
    confirmed = {"action": "downgrade", "target": "016", "confirm": "017_dry_run_log"}
    assert project.ask(database.url, confirmed, **allowed)["status"] == "success"


def test_allowed_actions_limit_any_environment(project: Project, database: Database) -> None:
    answer = project.ask(database.url, {"action": "upgrade"}, ALLOWED_ACTIONS="current")
    assert answer["code"] == "action-not-allowed"
    assert project.ask(database.url, {"action": "current"}, ALLOWED_ACTIONS="current")["status"] == "success"


def test_the_same_key_answers_the_same(project: Project, database: Database) -> None:
    """A repeated call gives the first one's successful answer; another payload under that key runs anew."""
    first = project.ask(database.url, {"action": "upgrade", "target": "016", "idempotency_key": "k"})
    again = project.ask(database.url, {"action": "upgrade", "target": "016", "idempotency_key": "k"})
    assert again == first
    assert [one["revision"] for one in again["applied"]] == ["016_platform_baseline"]
    other = project.ask(database.url, {"action": "upgrade", "target": "017", "idempotency_key": "k"})
    assert [one["revision"] for one in other["applied"]] == ["017_dry_run_log"]
    another_key = project.ask(database.url, {"action": "upgrade", "target": "017", "idempotency_key": "l"})
    assert another_key["message"] == "Nothing to do: the database is at `017_dry_run_log`."


def test_a_failed_call_runs_anew_under_its_key(project: Project, database: Database) -> None:
    path = project.add("018_bad", "op.execute('select 1/0')")
    asked = {"action": "upgrade", "idempotency_key": "k"}
    assert project.ask(database.url, asked)["code"] == "revision-failed"
    path.write_text(path.read_text().replace("1/0", "1"))
    assert project.ask(database.url, asked)["to"] == "018_bad"


def test_a_call_that_arrives_while_the_first_runs(project: Project, database: Database) -> None:
    """The SDK gives up after 60 s and invokes again: the second waits, applies nothing, and answers the same."""
    project.add("018_slow", f"op.execute('create table once ()')\n{UNTIL_TOLD}")
    asked = {"action": "run-migration", "target": "all", "idempotency_key": "k"}
    answers: list[dict] = []
    first = threading.Thread(target=lambda: answers.append(project.ask(database.url, asked)))
    first.start()
    waiting.until(database, waiting.UNTOLD, 1)
    second = project.start("migrate", "--json", "upgrade", "--idempotency-key", "other", url=database.url)
    said = waiting.until_said(second, "Waiting for the migration lock")
    database.execute("create table told ()")
    said += second.communicate(timeout=60)[1]
    first.join()
    assert second.returncode == 0, said
    assert answers[0]["executedMigrations"] == ["016_platform_baseline", "017_dry_run_log", "018_slow"]
    assert project.ask(database.url, asked) == answers[0]


@pytest.mark.usefixtures("migrated")
def test_mixed_revisions_are_refused_before_anything_is_committed(project: Project, database: Database) -> None:
    """An autocommit block would commit what came before it."""
    project.add(
        "018_mixed",
        "op.execute('create table half ()')\nwith op.get_context().autocommit_block():\n    op.execute('select 1')",
    )
    answer = project.ask(database.url, {"action": "upgrade"})
    assert answer["message"] == (
        "mixed-revision: `018_mixed` has an autocommit block after other statements. The block would commit those "
        "statements, and a failure would leave the revision partly applied. Nothing was applied. The database is at "
        "`017_dry_run_log`, and the failed revision was rolled back. Move the block into a revision of its own."
    )
    assert database.query("select to_regclass('half')") == [(None,)]
    plain = project.run("alembic", "upgrade", "head", url=database.url)
    assert "FAILED: mixed-revision" in plain.stderr + plain.stdout
    assert database.query("select to_regclass('half')") == [(None,)]
