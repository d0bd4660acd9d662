"""Errors of code show their text, as far as it consists of code; what may hold a row stays inside."""

import json
from collections.abc import Callable

import pytest

from support.postgres import Database
from support.project import Project

PLANTED = "maria.silva@example.com"
NAMED = "plantedbynobody"
"""A value of a row that could be a name in a program."""
READ = "email, name = op.get_bind().execute(sa.text('select email, name from people')).one()\n"
# A body of `upgrade()`, and what is said of it.
SHOWN = {
    "attribute": ("op.add_colum('leads')", "AttributeError: module 'alembic.op' has no attribute 'add_colum'"),
    "attribute of a value": ("'text'.uppercase()", "AttributeError: 'str' object has no attribute 'uppercase'"),
    "name": ("create_table('leads')", "NameError: name 'create_table' is not defined"),
    "local name": (
        "print(later)\nlater = 1",
        "UnboundLocalError: cannot access local variable 'later' where it is not associated with a value",
    ),
    "module": ("import geometry.shapes", "ModuleNotFoundError: No module named 'geometry'"),
    "name of a module": (
        "from sqlalchemy import Colum",
        "ImportError: cannot import name 'Colum' from 'sqlalchemy'",
    ),
    "missing argument": (
        "op.create_index('name')",
        "TypeError: create_index() missing 2 required positional arguments: 'table_name' and 'columns'",
    ),
    "too many arguments": (
        "op.get_bind(1)",
        "TypeError: AbstractOperations.get_bind() takes 1 positional argument but 2 were given",
    ),
    "of a function in C": ("len('a', 'b')", "TypeError: len() takes exactly one argument (2 given)"),
    "unknown keyword": (
        "op.execute('select 1', option=1)",
        "TypeError: execute() got an unexpected keyword argument 'option'",
    ),
    "keyword of a column": (
        "sa.Column('a', sa.Text, nullabel=True)",
        "TypeError: Additional arguments should be named <dialectname>_<argument>, got 'nullabel'",
    ),
    "rows of a bulk insert": ("op.bulk_insert(sa.table('t'), 1)", "TypeError: List expected"),
    "Alembic's own": (
        "op.alter_column('leads', 'nome', postgresql_using='nome::text')",
        "CommandError: postgresql_using must be used with the type_ parameter",
    ),
}


@pytest.fixture
def people(project: Project, migrated: Database) -> Project:
    """A project at 017, whose database has a row that nobody else may see."""
    migrated.execute("create table people (email text, name text)")
    migrated.execute("insert into people values (%s, %s)", (PLANTED, NAMED))
    return project


@pytest.mark.parametrize(("body", "said"), SHOWN.values(), ids=SHOWN)
def test_the_text_of_an_error_of_code(people: Project, database: Database, body: str, said: str) -> None:
    people.add("018_bad", body)
    for action in ("upgrade", "rehearse"):
        answer = people.ask(database.url, {"action": action})
        assert answer["code"] == "revision-failed"
        assert answer["error"].endswith(f" of `018_bad.py`: {said}."), answer["error"]


# What a revision raises with a row in it, and the exception's type, which is all that is shown.
HIDDEN = {
    "value": ("int(email)", "ValueError"),
    "key": ("{}[email]", "KeyError"),
    "attribute": ("getattr(op, name)", "AttributeError"),
    "attribute by hand": ("raise AttributeError(f\"module '{email}' has no attribute 'x'\")", "AttributeError"),
    "attribute of an object that raises": (
        "class Row:\n    def __getattr__(self, key):\n        raise AttributeError(f'{email}: {key}')\nRow().size",
        "AttributeError",
    ),
    "name": ("eval(name)", "NameError"),
    "name by hand": ("raise NameError(f\"name '{name}' is not defined\")", "NameError"),
    "module": ("__import__(name)", "ModuleNotFoundError"),
    "import by hand": ("raise ImportError(f\"cannot import name '{name}' from 'sqlalchemy'\")", "ImportError"),
    "keyword": ("(lambda: 1)(**{name: 1})", "TypeError"),
    "keyword of an operation": ("op.execute('select 1', **{name: 1})", "TypeError"),
    "keyword of a column": ("sa.Column('a', sa.Text, **{name: 1})", "TypeError"),
    "type by hand": ("raise TypeError(f\"f() got an unexpected keyword argument '{name}'\")", "TypeError"),
    "syntax": ("exec(f'{email} = 1')", "SyntaxError"),
    "syntax by hand": ("raise SyntaxError(email)", "SyntaxError"),
    "Alembic's error by hand": ("from alembic.util import CommandError\nraise CommandError(email)", "CommandError"),
    "any other": ("raise RuntimeError(email)", "RuntimeError"),
}


@pytest.mark.parametrize(("body", "kind"), HIDDEN.values(), ids=HIDDEN)
def test_a_row_is_in_no_text(
    people: Project, database: Database, caplog: pytest.LogCaptureFixture, body: str, kind: str
) -> None:
    people.add("018_bad", READ + body)
    answer = people.ask(database.url, {"action": "upgrade"})
    assert answer["error"].endswith(f" of `018_bad.py`: {kind}."), answer["error"]
    told = people.run("alembic", "upgrade", "head", url=database.url)
    seen = f"{json.dumps(answer)}{caplog.text}{told.stdout}{told.stderr}"
    assert (PLANTED in seen, NAMED in seen) == (False, False)


def test_a_file_that_does_not_compile(people: Project, database: Database) -> None:
    """The line is that of the file that is wrong, also where another one imports it."""
    path = people.add("018_bad", "pass")
    good = path.read_text()
    for broken, said in {
        "values = (1,\n": "in line 1 of `018_bad.py`: its import raised SyntaxError: '(' was never closed",
        "def f():\npass\n": "in line 2 of `018_bad.py`: its import raised IndentationError: expected an indented block "
        "after function definition on line 1",
        "def f():\n\tif 1:\n        pass\n": "in line 3 of `018_bad.py`: its import raised TabError: inconsistent use "
        "of tabs and spaces in indentation",
    }.items():
        path.write_text(broken)
        assert people.ask(database.url, {"action": "upgrade"})["error"] == f"`018_bad` failed {said}."
    (people.folder / "shared_names.py").write_text("\n\nx = = 1\n")
    path.write_text(f"import sys; sys.path.insert(0, {str(people.folder)!r}); import shared_names\n{good}")
    assert people.ask(database.url, {"action": "upgrade"})["error"] == (
        "`018_bad` failed in line 1 of `018_bad.py`: its import raised SyntaxError: invalid syntax, in line 3 of "
        "`shared_names.py`."
    )


def test_an_operation_at_the_top_of_a_file(people: Project, database: Database) -> None:
    path = people.add("018_bad", "pass")
    path.write_text(f"{path.read_text()}\nop.drop_table('leads')\n")
    done = people.run("migrate", "check", url=database.url)
    assert (
        "its import raised NameError: Can't invoke function 'drop_table', as the proxy object has not yet been "
        "established for the Alembic 'Operations' class. Try placing this code inside a callable."
    ) in done.stderr


ENVIRONMENTS: dict[str, tuple[Callable[[str], str], str]] = {
    "a name": (lambda text: text + "\nconfigure_loging()\n", "NameError: name 'configure_loging' is not defined"),
    "a module": (
        lambda text: text.replace("from runner import signals", "from runner import signals\nimport our_loging"),
        "ModuleNotFoundError: No module named 'our_loging'",
    ),
    "its syntax": (lambda text: f"{text}\ndef f(:\n", "SyntaxError: invalid syntax"),
    "a row": (lambda text: f"{text}\nraise ValueError('{PLANTED}')\n", "ValueError"),
    "its call": (
        lambda text: text.replace("environment.run(context, load_metadata)", "environment.run(context)"),
        "TypeError: run() missing 1 required positional argument: 'load_metadata'",
    ),
}


@pytest.mark.parametrize(("edit", "said"), ENVIRONMENTS.values(), ids=ENVIRONMENTS)
def test_an_env_py_that_fails(project: Project, database: Database, edit: Callable[[str], str], said: str) -> None:
    """It is the project's, and no bug of the runner's."""
    path = project.folder / "alembic" / "env.py"
    path.write_text(edit(path.read_text()))
    answer = project.ask(database.url, {"action": "upgrade"})
    assert answer["code"] == "environment-failed", answer["message"]
    assert answer["error"].startswith("`env.py` failed in line ")
    assert answer["error"].endswith(f": {said}.")
    assert answer["hint"] == "Correct it, then run the same command again."
    done = project.run("migrate", "upgrade", url=database.url)
    assert done.stderr.startswith(f"environment-failed: {answer['error']}")
    assert PLANTED not in done.stderr + json.dumps(answer)


def test_models_that_fail(project: Project, database: Database) -> None:
    """`check` compares them, and says which line of `env.py` loads them."""
    project.ask(database.url, {"action": "upgrade"})
    path = project.folder / "alembic" / "env.py"
    path.write_text(path.read_text().replace("return Base.metadata", "return Base.metadat"))
    answer = project.ask(database.url, {"action": "check"})
    assert (answer["code"], answer["error"].partition(": ")[2]) == (
        "environment-failed",
        "AttributeError: type object 'Base' has no attribute 'metadat'.",
    )


def test_an_env_py_that_does_not_call_the_runner(project: Project, database: Database) -> None:
    """Nothing ran, which is no success."""
    path = project.folder / "alembic" / "env.py"
    path.write_text(path.read_text().replace("environment.run(context, load_metadata)", ""))
    for event in ({"action": "upgrade"}, {"action": "stamp", "target": "017"}):
        assert project.ask(database.url, event)["message"] == (
            "environment-failed: `env.py` failed: it does not call `environment.run`, so nothing ran. Nothing was "
            "changed. Correct it, then run the same command again."
        )


def test_both_command_lines_show_it(people: Project, database: Database) -> None:
    people.add("018_bad", "op.add_colum('leads')")
    for command in (("migrate", "upgrade"), ("alembic", "upgrade", "head")):
        done = people.run(*command, url=database.url)
        assert (
            "`018_bad.py`: AttributeError: module 'alembic.op' has no attribute 'add_colum'. Nothing was applied."
            in (done.stdout + done.stderr)
        )
        assert "Traceback" not in done.stderr


def test_an_alembic_ini_without_revisions(project: Project) -> None:
    """Alembic's error names the setting; a parser's would quote a line, which may be a URL with a password."""
    path = project.folder / "alembic.ini"
    good = path.read_text()
    path.write_text(good.replace("script_location", "script_place"))
    assert (
        "CommandError: No 'script_location' key found in configuration)."
        in project.ask(None, {"action": "heads"})["error"]
    )
    path.write_text(f"postgresql://u:{PLANTED}@h/d\n{good}")
    refused = project.ask(None, {"action": "heads"})
    assert "(MissingSectionHeaderError)." in refused["error"]
    assert PLANTED not in json.dumps(refused)
