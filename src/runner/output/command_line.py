"""What the command lines of both programs have in common: options on either side of the verb.

Typer is loaded here, so nothing but a command line imports this.
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
class Place:
    """Say where the database is that a command is about."""

    local: bool

    @property
    def environ(self) -> dict[str, str]:
        return {**os.environ, "DATABASE_URL": "embedded:"} if self.local else dict(os.environ)


class OptionsAnywhere(TyperGroup):
    """Take the options that every verb knows on either side of the verb."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        known = {
            name: parameter
            for parameter in self.params
            if parameter.param_type_name == "option" and parameter.name != "help"
            for name in parameter.opts
        }
        mine: list[str] = []
        rest: list[str] = []
        words = iter(args)
        for word in words:
            option = known.get(word.partition("=")[0])
            (mine if option else rest).append(word)
            if option and not getattr(option, "is_flag", False) and "=" not in word:
                mine.extend(itertools.islice(words, 1))
        return super().parse_args(ctx, [*mine, *map(self.spell, rest)])

    def spell(self, word: str) -> str:
        """Return a word as the verb is to get it."""
        return word


class TargetsToo(OptionsAnywhere):
    """Take `-1` for a target and not for an option; the verb gets it with a minus sign in place of the hyphen."""

    def spell(self, word: str) -> str:
        return word.replace("-", MINUS) if STEPS_DOWN.fullmatch(word) else word


def as_typed(value: object) -> object:
    """Return what a verb got as it was typed."""
    return value.replace(MINUS, "-") if isinstance(value, str) else value


def create(kind: type[OptionsAnywhere], purpose: str, exit_codes: str) -> typer.Typer:
    """Return a command line without any commands yet."""
    return typer.Typer(
        cls=kind,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        rich_markup_mode=None,
        help=purpose,
        epilog=f"Exit codes: {exit_codes}.",
    )
