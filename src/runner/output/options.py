"""The options and arguments of `migrate`, with their help."""

import getpass
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from runner import __version__
from runner.deadline import Deadline
from runner.invocation import DEFAULT_TIMEOUT_S
from runner.output.command_line import DatabaseChoice

COMMON = "Every command also takes --local, --env NAME, --function NAME, --json, --timeout SECONDS and --debug."
WITHOUT_FUNCTION = "It also takes --local, --json, --timeout SECONDS and --debug."
WITHOUT_PLACE = "It also takes --json, --timeout SECONDS and --debug."


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"migrate {__version__}")
        raise typer.Exit


Version = Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the raw answer.")]
Debug = Annotated[bool, typer.Option("--debug", help="Print Alembic's log and the frames of a failure.")]
Timeout = Annotated[float | None, typer.Option(min=0.1, help="Stop after this many seconds; default: 900.")]
Env = Annotated[str | None, typer.Option(metavar="NAME", help="Invoke the function of NAME in migrate.toml.")]
Function = Annotated[str | None, typer.Option(metavar="NAME", help="Invoke this function, a name or an ARN.")]
Up = Annotated[str, typer.Argument(metavar="TARGET", help="A revision or a prefix of one, head, or +1.")]
Down = Annotated[str, typer.Argument(metavar="TARGET", help="A revision or a prefix of one, base, or -1.")]
Either = Annotated[str, typer.Argument(metavar="TARGET", help="A revision, head or base, +1 or -1: up or down.")]
Named = Annotated[str, typer.Argument(metavar="TARGET", help="A revision or a prefix of one.")]
Actor = Annotated[str | None, typer.Option("--actor", help="Your name for the ledger; default: the login name.")]
Confirm = Annotated[str | None, typer.Option("--confirm", help="The current revision, to confirm the change.")]
Plan = Annotated[str | None, typer.Option("--plan", help="The id of a plan, which must still hold.")]
Markdown = Annotated[bool, typer.Option("--markdown", help="Print Markdown, for a comment on a pull request.")]
Offline = Annotated[
    str | None,
    typer.Option("--offline", metavar="FROM:TO", help="Plan between two revisions of the files, without a database."),
]
Sizes = Annotated[
    Path | None, typer.Option("--sizes", metavar="FILE", help="With --offline: what `migrate sizes --json` wrote.")
]
Sarif = Annotated[bool, typer.Option("--sarif", help="Print the findings as SARIF, for GitHub's code scanning.")]
Key = Annotated[str | None, typer.Option("--idempotency-key", help="A repeated key returns the first answer again.")]


@dataclass(frozen=True)
class Options(DatabaseChoice):
    """The options that every command takes."""

    form: str
    """The form of the output: `tables`, `json`, `markdown` or `sarif`."""
    timeout_s: float | None
    """`--timeout`, None where it is not given."""
    env: str | None
    function: str | None

    @property
    def words(self) -> list[str]:
        """Return the options that a command needs to do its work in the same place."""
        named = {"--env": self.env, "--function": self.function}
        given = [word for name, value in named.items() if value is not None for word in (name, value)]
        return [*(["--local"] if self.local else []), *given]

    def deadline(self) -> Deadline:
        """Return the deadline of a command that runs on this machine."""
        return Deadline.after(self.timeout_s or DEFAULT_TIMEOUT_S)


def actor(name: str | None) -> str:
    """Return the actor for the ledger: `--actor`, else the login name, else the user id."""
    if name:
        return name
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        # a container may run with a user id that has no account
        return f"uid {os.getuid()}"
