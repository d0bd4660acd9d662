"""Both doors, the payloads and the documents know the same verbs, codes and settings."""

import dataclasses
import re
import subprocess
import sys

import pytest

from runner import cli, commands, errors, payloads, settings
from support.project import ROOT

LISTS = ("README.md", "docs/commands.md")
"""The documents that list every command."""
HERE_ONLY = {"new", "snapshot", "reset", "doctor", "promote"}


def test_one_registry_of_verbs() -> None:
    on_the_command_line = {command.name or command.callback.__name__ for command in cli.app.registered_commands}
    assert set(commands.VERBS) == set(payloads.KINDS)
    assert on_the_command_line == set(commands.VERBS) | HERE_ONLY


@pytest.mark.parametrize("document", LISTS)
def test_the_documents_list_every_verb(document: str) -> None:
    listed = set(re.findall(r"^\| `migrate ([a-z-]+)", (ROOT / document).read_text(), re.MULTILINE))
    assert listed == set(commands.VERBS) | HERE_ONLY


def error_classes() -> list[type[errors.MigrationError]]:
    known = errors.MigrationError.__subclasses__() + errors.Differs.__subclasses__()
    return [kind for kind in known if kind is not errors.Differs and kind.__module__ == errors.__name__]


def test_the_operate_table_lists_every_code() -> None:
    listed = set(re.findall(r"^\| `([a-z-]+)` \|", (ROOT / "docs" / "errors.md").read_text(), re.MULTILINE))
    assert {kind.code for kind in error_classes()} <= listed


@pytest.mark.parametrize("document", ["README.md", "docs/settings.md"])
def test_the_documents_list_every_setting(document: str) -> None:
    source = (ROOT / "src" / "runner" / "settings.py").read_text()
    read = set(re.findall(r'get\("([A-Z_]+)"', source)) - {"AWS_LAMBDA_FUNCTION_VERSION", "LAMBDA_TASK_ROOT"}
    assert len(read) >= 11
    for name in read:
        assert f"`{name}`" in (ROOT / document).read_text(), name


@pytest.mark.parametrize("kind", error_classes(), ids=lambda kind: kind.__name__)
def test_sentences_use_the_fields_that_there_are(kind: type[errors.MigrationError]) -> None:
    """A placeholder without a field would fail in the middle of a failure."""
    values = {str: "value", float: 1.0, int: 3, int | None: 3, list[str]: ["x"], tuple[str, ...]: ("a_1", "b_2")}
    made = kind(**{field.name: values.get(field.type, "value") for field in dataclasses.fields(kind)})
    for sentence in (made.sentence, made.advice):
        assert sentence
        assert "{" not in sentence


def test_a_password_is_not_in_the_settings_repr() -> None:
    known = settings.read({"DATABASE_URL": "postgresql://u:s3cret@h/d"})
    assert "s3cret" not in repr(known)


def test_importing_the_handler_reads_nothing_and_loads_little() -> None:
    """Nothing happens on import, not even of the libraries."""
    program = "import sys; import runner.handler; print(sorted(n for n in sys.modules if n.split('.')[0] in " + (
        "('alembic', 'sqlalchemy', 'psycopg2', 'pydantic', 'boto3', 'aws_lambda_powertools', 'typer', 'rich')))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
