"""Whoever reaches a database only through the tool sees who blocks it, and ends that session and no other."""

import json
import os
import re
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg2
import pytest

from runner import policy
from support import old_runner, waiting
from support.postgres import Database
from support.project import UNTIL_TOLD, Project

ALTER = "op.execute('alter table leads add column note text')"
PERSON = "Ana Planted +5511987654321"
GONE = "select count(*) from pg_stat_activity where pid = {}"


@contextmanager
def session(database: Database, *statements: str, name: str = "billing", login: str | None = None) -> Iterator[int]:
    """Yield the pid of a session with an open transaction."""
    named = {"user": login, "password": "x"} if login else {}
    with closing(psycopg2.connect(database.url, application_name=name, **named)) as opened, opened.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        yield opened.info.backend_pid


@pytest.fixture
def at_work(migrated: Database) -> Database:
    """A database at 017, with a login of an application and an ordinary one."""
    for login in ("app_login", "plain_login"):
        migrated.execute(f"""
            do $$ begin create role {login} login password 'x'; exception when duplicate_object then null; end $$;
            grant all on leads to {login}
        """)
    return migrated


def as_login(database: Database, login: str) -> str:
    return re.sub(r"//[^@]*@", f"//{login}:x@", database.url)


def the_session(answer: dict, pid: int) -> dict:
    return next(one for one in answer["sessions"] if one["pid"] == pid)


def test_who_holds_and_blocks_what(project: Project, at_work: Database) -> None:
    """The blocker comes first, with its age in words, its locks, and the command that ends it; no text of a person."""
    project.add("018_note", ALTER)
    held = session(at_work, "lock table leads in share mode", f"select '{PERSON}', 4711 as n", login="app_login")
    with held as pid, session(at_work, f"select '{PERSON}'", name="idle one"):
        process = project.start("migrate", "upgrade", url=at_work.url, LOCK_TIMEOUT_MS="60000")
        waiting.until(at_work, waiting.BLOCKED, 1)
        answer = project.ask(at_work.url, {"action": "activity"})
        shown = project.run("migrate", "activity", url=at_work.url)
        process.kill()
        process.communicate()
    first = answer["sessions"][0]
    (waits,) = [one for one in answer["sessions"] if one["waits_for"]]
    assert (first["pid"], first["login"], first["application"]) == (pid, "app_login", "billing")
    assert re.fullmatch(r"idle in transaction for \d+ s", first["doing"])
    assert (first["locks"], first["blocks"], first["statement"]) == (
        {"leads": "ShareLock"}, [waits["pid"]], "select '…', … as n",
    )  # fmt: skip
    assert (waits["waits_for"], waits["blocked_by"]) == ("leads", [pid])
    assert waits["statement"] == "ALTER TABLE leads ADD COLUMN note text" or "alter table leads" in waits["statement"]
    assert [one["pid"] for one in answer["sessions"] if one["holds_migration_lock"]] != []
    assert re.search(rf"Pid {pid} \(billing, idle in transaction for \d+ s\) blocks 1 other\.", answer["message"])
    assert f"migrate end-session {pid} --confirm {first['session']}" in shown.stdout
    for text in (json.dumps(answer), shown.stdout, shown.stderr):
        assert not {"Ana", "4711", "987654321"} & set(re.findall(r"\w+", text))


def test_a_prepared_transaction_is_named_with_its_end(project: Project, at_work: Database) -> None:
    """No session has its locks any more, so no session can be ended for them."""
    with closing(psycopg2.connect(at_work.url)) as opened, opened.cursor() as cursor:
        cursor.execute("begin; lock table leads in share mode; prepare transaction 'o''dd one'")
    try:
        project.add("018_note", ALTER)
        blocked = project.ask(at_work.url, {"action": "upgrade"}, ends_in="018_note", left_s=2, LOCK_TIMEOUT_MS="300")
        (prepared,) = project.ask(at_work.url, {"action": "activity"})["prepared"]
    finally:
        at_work.execute("rollback prepared 'o''dd one'")
    assert (prepared["name"], prepared["ending"]) == ("o'dd one", "ROLLBACK PREPARED 'o''dd one'")
    assert prepared["locks"] == {"leads": "ShareLock"}
    assert "`leads`, held by a prepared transaction" in blocked["error"]
    assert "`migrate activity` shows the statement that ends it" in blocked["error"]


def test_an_ordinary_login_is_told_the_grant(project: Project, at_work: Database) -> None:
    """Without it neither state nor statement is visible; with it, which is the printed one, they are."""
    ordinary = as_login(at_work, "plain_login")
    with session(at_work, "select 1") as pid:
        answer = project.ask(ordinary, {"action": "activity"})
        hidden = the_session(answer, pid)
        assert (hidden["doing"], hidden["statement"], hidden["session"]) == ("not visible", None, None)
        assert answer["grant"] == 'GRANT pg_monitor TO "plain_login"'
        assert answer["grant"] in answer["message"]
        at_work.execute(answer["grant"])
        try:
            seen = project.ask(ordinary, {"action": "activity"})
        finally:
            at_work.execute("revoke pg_monitor from plain_login")
    assert the_session(seen, pid)["doing"].startswith("idle in transaction")
    assert seen["grant"] is None


def test_from_the_message_to_the_ended_session(project: Project, at_work: Database) -> None:
    """The command that `lock-timeout` names is run as it stands; the ledger has who ran it."""
    project.add("018_note", ALTER)
    with session(at_work, "lock table leads", login="app_login") as pid:
        blocked = project.ask(at_work.url, {"action": "upgrade"}, ends_in="018_note", left_s=2, LOCK_TIMEOUT_MS="300")
        command = re.search(r"`(migrate end-session .*)`", blocked["hint"])
        assert command, blocked["hint"]
        ended = project.run(*command[1].split(), "--actor", "Maria", url=at_work.url)
        assert ended.returncode == 0, ended.stderr
        assert ended.stderr.startswith(f"Ended the session of pid {pid} (`billing`, login `app_login`, idle in")
        assert at_work.query(GONE.format(pid)) == [(0,)]
        again = project.run(*command[1].split(), url=at_work.url)
    assert (again.returncode, again.stderr) == (0, f"Nothing to do: there is no session with pid {pid} any more.\n")
    recorded = at_work.query("""
        select actor, target, status, planned from runner.migration_run where action = 'end-session'
    """)
    assert recorded == [("Maria", f"app_login billing {command[1].split()[-1]}", "success", [])]
    # the newest run of an image is still that of a change: a promotion looks at it
    assert project.ask(at_work.url, {"action": "upgrade"})["status"] == "success"


def test_the_payload_of_a_hint_names_nobody(project: Project, at_work: Database) -> None:
    """It is accepted as it is; the ledger has the login that ended the session, which is what is known."""
    with session(at_work, "select 1", login="app_login") as pid:
        event = project.ask(at_work.url, {"action": "end-session", "pid": pid})["next"]
        assert set(event) == {"action", "pid", "confirm"}
        assert project.ask(at_work.url, event)["recorded"] is True
    ((login,),) = at_work.query("select session_user")
    recorded = at_work.query("select actor from runner.migration_run where action = 'end-session'")
    assert recorded == [(f"not named, login {login}",)]


def test_an_older_image_does_not_take_it_for_a_run(project: Project, at_work: Database) -> None:
    """By the last run of an image a promotion of that time decides, and it would find one that was no upgrade."""
    image = {"IMAGE_DIGEST": f"sha256:{'7' * 64}"}
    assert project.ask(at_work.url, {"action": "upgrade"}, **image)["status"] == "success"
    with session(at_work, "select 1", login="app_login") as pid:
        event = project.ask(at_work.url, {"action": "end-session", "pid": pid})["next"]
        assert project.ask(at_work.url, event, **image)["ended"] is True
    stored = at_work.query("select answer from runner.migration_run where action = 'end-session'")
    assert stored == [({"image_digest": image["IMAGE_DIGEST"]},)]
    newer = project.ask(at_work.url, {"action": "history"})["images"]
    old_runner.install(project)
    output, errors = old_runner.start(project, "--json", "history", url=at_work.url).communicate()
    assert errors == "" or "Traceback" not in errors, errors
    for images in (newer, json.loads(output)["images"]):
        assert [(one["image_digest"], one["action"]) for one in images] == [(image["IMAGE_DIGEST"], "upgrade")]


def test_a_session_that_obeys_later(project: Project, at_work: Database) -> None:
    """One within a system call has the signal, and so nobody may say that nothing was changed."""
    with session(at_work, "select 1", login="app_login") as pid:
        event = project.ask(at_work.url, {"action": "end-session", "pid": pid})["next"]
        os.kill(pid, signal.SIGSTOP)
        try:
            answer = project.ask(at_work.url, event)
        finally:
            os.kill(pid, signal.SIGCONT)
        waiting.until(at_work, GONE.format(pid), 0)
    assert (answer["code"], answer["next"]) == ("session-kept", {"action": "activity"})
    assert "it has not ended within 5 s. The signal to end was sent, and" in answer["message"]
    assert "Nothing was changed" not in answer["message"]
    assert at_work.query("select count(*) from runner.migration_run where action = 'end-session'") == [(1,)]


def test_only_the_session_that_was_looked_at_is_ended(project: Project, at_work: Database) -> None:
    with session(at_work, "select 1", login="app_login") as pid:
        asked = project.ask(at_work.url, {"action": "end-session", "pid": pid})
        right = asked["hint"].split("--confirm ")[1].rstrip("`.")
        assert right == the_session(project.ask(at_work.url, {"action": "activity"}), pid)["session"]
        other = f"{int(right.split('.')[0], 16) - 1:x}.{pid:x}"
        wrong = project.ask(at_work.url, {"action": "end-session", "pid": pid, "confirm": other})
        assert (asked["code"], wrong["code"], wrong["hint"]) == ("confirm-needed", "confirm-needed", asked["hint"])
        assert at_work.query(GONE.format(pid)) == [(1,)]


def test_what_is_never_ended(project: Project, at_work: Database, server: object) -> None:
    """A run's own two sessions, a superuser's, one of RDS Proxy, the server's own, and those of another database."""
    project.add("018_note", UNTIL_TOLD + ALTER)
    process = project.start("migrate", "upgrade", url=at_work.url)
    waiting.until(at_work, waiting.UNTOLD, 1)
    runs = [pid for (pid,) in at_work.query("select pid from pg_stat_activity where application_name like 'migrate %'")]
    own = at_work.query("select pid from pg_stat_activity where backend_type = 'checkpointer'")[0][0]
    elsewhere = Database(at_work.server, "postgres")
    with (
        session(at_work, "select 1") as superusers,
        session(at_work, "select 1", name="RDS Proxy", login="app_login") as proxys,
        session(elsewhere, "select 1", login="app_login") as others,
    ):
        expected = {
            **dict.fromkeys(runs, "it is a superuser's"),
            superusers: "it is a superuser's",
            proxys: "it is one of RDS Proxy, which gives it to other clients",
            others: "it is connected to another database",
            own: "it is one of the server's own processes",
        }
        for pid, reason in expected.items():
            answer = project.ask(at_work.url, {"action": "end-session", "pid": pid, "confirm": "1.1"})
            assert answer["code"] == "session-kept", answer
            assert reason in answer["error"]
    assert len(runs) == 2
    at_work.execute("create table told ()")
    _, errors = process.communicate()
    assert process.returncode == 0, errors


def test_a_run_of_an_ordinary_login_is_never_ended(project: Project, at_work: Database) -> None:
    """Known by the name that runs give their sessions."""
    with session(at_work, "select 1", name="migrate 1234 host:1", login="app_login") as pid:
        answer = project.ask(at_work.url, {"action": "end-session", "pid": pid, "confirm": "1.1"})
        assert answer["code"] == "session-kept"
        assert "it is a migration's" in answer["error"]


def test_a_stranger_with_the_migration_lock_is_ended_by_what_the_message_says(
    project: Project, at_work: Database
) -> None:
    """A session that is no migration keeps runs out, and nobody can reach the database to end it by SQL."""
    project.add("018_note", ALTER)
    key = waiting.SESSIONS["the lock's"]
    with session(at_work, f"select pg_advisory_lock({key})", login="app_login"):
        held = project.run("migrate", "--timeout", "4", "upgrade", url=at_work.url)
        assert "lock-held: A session that is not a migration" in held.stderr
        unconfirmed = project.run(*command(held.stderr, "migrate end-session"), url=at_work.url)
        assert project.run(*command(unconfirmed.stderr, "migrate end-session"), url=at_work.url).returncode == 0
    assert project.run(*command(held.stderr, "migrate upgrade"), url=at_work.url).returncode == 0


def command(message: str, beginning: str) -> list[str]:
    """Return the words of the command in a message that begins so."""
    return next(one for one in re.findall("`([^`]+)`", message) if one.startswith(beginning)).split()


def test_production_is_told_where_the_verb_is_allowed(project: Project, at_work: Database) -> None:
    """A command that the environment refuses is not the next step."""
    project.add("018_note", ALTER)
    prod = {"ENVIRONMENT": "prod", "LOCK_TIMEOUT_MS": "300"}
    plan = project.ask(at_work.url, {"action": "plan"}, **prod)["plan"]
    with session(at_work, "lock table leads in share mode", login="app_login"):
        blocked = project.ask(at_work.url, {"action": "upgrade", "plan": plan}, ends_in="018_note", left_s=2, **prod)
    assert "where `ALLOWED_ACTIONS` names `end-session`" in blocked["hint"]
    assert blocked["next"] is None


def test_without_the_right_and_without_a_ledger(project: Project, database: Database) -> None:
    """The missing right is named with its GRANT; a database without a ledger says that nothing was recorded."""
    for login in ("app_login", "plain_login"):
        database.execute(f"""
            do $$ begin create role {login} login password 'x'; exception when duplicate_object then null; end $$
        """)
    ordinary = as_login(database, "plain_login")
    with session(database, "select 1", login="app_login") as pid:
        event = {"action": "end-session", "pid": pid}
        unseen = project.ask(ordinary, event)
        assert 'GRANT pg_monitor, pg_signal_backend TO "plain_login"' in unseen["hint"]
        database.execute("grant pg_monitor to plain_login")
        confirm = project.ask(ordinary, event)["hint"].split("--confirm ")[1].rstrip("`.")
        refused = project.ask(ordinary, {**event, "confirm": confirm})
        assert refused["code"] == "session-kept"
        assert 'GRANT pg_signal_backend TO "plain_login"' in refused["hint"]
        database.execute("grant pg_signal_backend to plain_login")
        try:
            ended = project.ask(ordinary, {**event, "confirm": confirm})
        finally:
            database.execute("revoke pg_monitor, pg_signal_backend from plain_login")
    assert (ended["status"], ended["ended"], ended["recorded"]) == ("success", True, False)
    assert ended["message"].endswith("It was not recorded: this database has no ledger yet.")


def test_production_looks_and_does_not_end() -> None:
    assert "activity" in policy.PROTECTED
    assert "end-session" not in policy.PROTECTED


def test_a_long_build_tells_how_far_it_is_and_what_it_waits_for(project: Project, at_work: Database) -> None:
    """The live line names the phase; a build waits for old transactions without a time-out, so it names the oldest."""
    index = "op.execute('create index concurrently leads_nome on leads (nome)')"
    project.add("018_index", f"with op.get_context().autocommit_block():\n    {index}")
    snapshot = "set transaction isolation level repeatable read; select count(*) from tenants"
    at_work.execute("grant select on tenants to app_login")
    with session(at_work, snapshot, login="app_login") as pid:
        process = project.start("migrate", "upgrade", url=at_work.url)
        said = waiting.until_said(process, "To end the wait: ")
        # while it waits, the session that asks sees the same
        answer = project.ask(at_work.url, {"action": "activity"})
    _, rest = process.communicate(timeout=60)
    assert process.returncode == 0, said + rest
    assert re.search(
        r"`018_index`: CREATE INDEX CONCURRENTLY on `leads`: waiting for old snapshots\.\n"
        rf"It waits for the transaction of pid {pid} \(billing\), idle in transaction for \d+ s\.\n"
        rf"To end the wait: `migrate end-session {pid} --confirm ",
        said,
    ), said
    (builds,) = [one["progress"] for one in answer["sessions"] if one["progress"]]
    assert (builds["command"], builds["phase"]) == ("CREATE INDEX CONCURRENTLY", "waiting for old snapshots")
