"""The image at work as Lambda runs it: both handlers, the command lines, TLS, bytecode."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url

from support import certificates, containers, emulator, postgres
from support.postgres import Cluster, Database

BUNDLE = "/opt/rds-ca.pem"
TASK = "/var/task"


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A task without revisions, so that the image's own are run."""
    folder = tmp_path / "task"
    folder.mkdir()
    return folder


def test_upgrade_on_any_other_compute(database: Database) -> None:
    """`docker run IMAGE migrate upgrade` is all: afterwards nothing is pending and nothing differs."""
    done = containers.run("migrate", "upgrade", DATABASE_URL=database.url)
    assert done.returncode == 0, done.stderr
    checked = containers.run("migrate", "--json", "check", DATABASE_URL=database.url)
    assert checked.returncode == 0, checked.stdout
    assert json.loads(checked.stdout)["findings"] == []


def test_the_agent_on_any_other_compute(database: Database) -> None:
    containers.run("migrate", "upgrade", DATABASE_URL=database.url)
    database.execute("insert into tenants (slug, company_name) values ('test-001', 'Teste')")
    done = containers.run("dispatch-agent", "--json", "dry-run", "--tenant", "test-001", DATABASE_URL=database.url)
    assert (done.returncode, json.loads(done.stdout)["success"]) == (0, True), done.stderr


def test_both_handlers(own: Path, database: Database) -> None:
    """One image, two functions: each applies to the database what the other one sees."""
    with emulator.start(own, {"DATABASE_URL": database.url}) as function:
        answer = function.invoke({"action": "upgrade"})
        planned = function.invoke({"action": "plan", "target": "base"})
    assert answer["status"] == "success", answer
    assert "was not linted" not in planned["message"]
    agent = "dispatch_agent.handler.handler"
    with emulator.start(own, {"DATABASE_URL": database.url}, handler=agent) as function:
        unknown = function.invoke({"tenantId": "nobody"})
    assert unknown["code"] == "unknown-tenant"


def test_a_cold_start_compiles_nothing(own: Path, database: Database) -> None:
    """Every module of the first answer comes from bytecode; Python would name the source where it did not."""
    verbose = {"DATABASE_URL": database.url, "PYTHONVERBOSE": "1"}
    with emulator.start(own, verbose) as function:
        assert function.invoke({"action": "upgrade"})["status"] == "success"
        told = [line for line in function.log.read_text().splitlines() if line.startswith("# code object from")]
    loaded = [line for line in told if "/var/task/" in line or "/opt/python/" in line]
    assert [line for line in loaded if "023_agent_purge" in line]
    assert [line for line in loaded if ".pyc" not in line] == []


def test_an_edited_revision_is_compiled_anew(tmp_path: Path) -> None:
    """What Alembic runs is the text whose checksum is recorded, though the bytecode beside it is of another text."""
    name = "alembic/versions/016_platform_baseline.py"
    edited = tmp_path / "edited.py"
    text = containers.python(f"print(open('{TASK}/{name}').read(), end='')")
    edited.write_text(text.replace('"""', '"""Edited: ', 1))
    edited.chmod(0o644)
    done = containers.run("migrate", "--json", "show", "016", options=[f"--volume={edited}:{TASK}/{name}:ro"])
    assert "Edited: " in done.stdout, done.stderr


def test_a_handler_without_lambda() -> None:
    """Who starts the image without a command learns what to type."""
    done = containers.run()
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "settings: `runner.handler.handler` is a handler, which only Lambda invokes, and `AWS_LAMBDA_RUNTIME_API` is "
        "not set. Nothing was done. Name a command line, such as `migrate upgrade` or `dispatch-agent --help`.\n"
    )


@pytest.mark.parametrize("program", ["migrate", "dispatch-agent"])
def test_usage_names_the_program(program: str) -> None:
    """In a container too a wrong word is answered with the name that was typed."""
    done = containers.run(program, "nonsense")
    assert done.returncode == 2
    assert done.stderr.startswith(f"Usage: {program} [OPTIONS] COMMAND [ARGS]...\nTry '{program} -h' for help.")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A server with a certificate for `db.example.com`, of the authority that the build was given."""
    made = Path(os.environ["TEST_CERTIFICATES"])
    with postgres.cluster(postgres.binaries()) as running:
        certificates.serve_with(running, made / "db.example.com.crt", made / "db.example.com.key")
        yield running


@pytest.mark.parametrize(
    ("host", "trusted", "code"),
    [("db.example.com", True, 0), ("other.example.com", True, 1), ("db.example.com", False, 1)],
)
def test_tls(cluster: Cluster, tmp_path: Path, host: str, trusted: bool, code: int) -> None:
    """The server's name and its authority are verified by the bundle that is in the image, with no setting."""
    certificates.certify(tmp_path, "stranger", None)
    options = [f"--add-host={host}:127.0.0.1"]
    if not trusted:
        options.append(f"--volume={tmp_path / 'stranger.crt'}:{BUNDLE}:ro")
    url = make_url(cluster.database().url).set(host=host).render_as_string(hide_password=False)
    done = containers.run("migrate", "--timeout", "20", "--json", "current", options=options, DATABASE_URL=url)
    assert done.returncode == code, done.stderr
    assert ("certificate" in json.loads(done.stdout)["message"]) == bool(code)
