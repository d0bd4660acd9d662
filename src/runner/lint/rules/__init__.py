"""The rules, one file a rule: its name is the rule's id with underscores, its docstring the rule's page."""

import pkgutil
from functools import cache
from importlib import import_module

from runner.lint.rule import Rule


@cache
def load() -> tuple[Rule, ...]:
    """Return the rules, in the order of their ids."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return tuple(import_module(f"{__name__}.{name}").RULE for name in names)
