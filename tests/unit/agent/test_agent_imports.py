"""The agent's Lambda loads what it needs, when it needs it."""

import subprocess
import sys

LIBRARIES = {
    "alembic", "aws_lambda_powertools", "boto3", "email_validator", "faker", "holidays", "phonenumbers", "plotext",
    "psycopg2", "pydantic", "rich", "sqlalchemy", "typer",
}  # fmt: skip


def loaded(module: str) -> set[str]:
    """Return the libraries, and the packages of ours, that a fresh interpreter loads with a module."""
    program = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    names = done.stdout.split()
    return {name.split(".")[0] for name in names} & LIBRARIES | {
        ".".join(name.split(".")[:2]) for name in names if name.startswith("runner.")
    }


def test_importing_the_handler_loads_no_library() -> None:
    assert loaded("dispatch_agent.handler") == set()


def test_a_run_loads_neither_a_command_line_nor_the_runner() -> None:
    """Of the runner only what connections need; what few leads need, those load."""
    assert loaded("dispatch_agent.run") == {
        "psycopg2", "pydantic", "sqlalchemy",
        "runner.deadline", "runner.errors", "runner.invocation", "runner.postgres", "runner.project", "runner.settings",
    }  # fmt: skip
