"""The command line's parts that both programs share: options on either side of the verb.

Only command lines import this module, since it imports Typer.
"""

import itertools
import os
import re
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

MINUS = "\N{MINUS SIGN}"
STEPS_DOWN = re.compile(r"-[0-9]+")
LocalOption = Annotated[bool, typer.Option("--local", help="Use the embedded PostgreSQL under .postgres/.")]


@dataclass(frozen=True)
class DatabaseChoice:
    """The database of a command: the embedded one, or the one that the environment names."""

    local: bool

    @property
    def environ(self) -> dict[str, str]:
        """Return the environment variables, with the embedded server as `DATABASE_URL` where `--local` is given."""
        return {**os.environ, "DATABASE_URL": "embedded:"} if self.local else dict(os.environ)


class OptionsAnywhere(TyperGroup):
    """A group of commands whose own options may stand on either side of the command."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Move the group's options before the command, where Click expects them."""
        # not `--help`: after a command it asks for the command's help
        options = {
            name: parameter
            for parameter in self.params
            if parameter.param_type_name == "option" and parameter.name != "help"
            for name in parameter.opts
        }
        own: list[str] = []
        rest: list[str] = []
        words = iter(args)
        for word in words:
            option = options.get(word.partition("=")[0])
            (own if option else rest).append(word)
            # the option's value is the next word, even one that begins with a hyphen
            if option and not getattr(option, "is_flag", False) and "=" not in word:
                own.extend(itertools.islice(words, 1))
        return super().parse_args(ctx, [*own, *map(self.escape, rest)])

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands with their whole descriptions, which Click would cut to a line."""
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl([(name, " ".join((one.help or "").split())) for name, one in commands if one])

    def escape(self, word: str) -> str:
        """Return a word of the command in a form that Click does not take for an option."""
        return word


class StepsAllowed(OptionsAnywhere):
    """A group whose commands take `-1` as a target; the hyphen reaches the command as a minus sign."""

    def escape(self, word: str) -> str:
        return word.replace("-", MINUS) if STEPS_DOWN.fullmatch(word) else word


def as_typed(value: object) -> object:
    """Return an argument as it was typed, with its hyphen."""
    return value.replace(MINUS, "-") if isinstance(value, str) else value


def create(kind: type[OptionsAnywhere], purpose: str, exit_codes: str) -> typer.Typer:
    """Return a command line without commands."""
    return typer.Typer(
        cls=kind,
        no_args_is_help=True,
        # Typer's own tracebacks can show local variables, and so passwords
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        rich_markup_mode=None,
        help=purpose,
        epilog=f"Exit codes: {exit_codes}.",
    )
