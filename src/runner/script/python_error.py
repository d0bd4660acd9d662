"""The texts of Python's exceptions, as far as they hold nothing but code.

A text is shown only where it is one that Python itself makes of names, and where each name that a program could choose
while it runs occurs in the source of a function of the traceback. So the text of `getattr(row, email)`, of
`function(**row)` or of an exception that a revision raises by hand is not shown. ValueError, KeyError and all other
exceptions may quote a row.
"""

import os
import re
import traceback
from collections.abc import Iterable, Iterator
from types import CodeType, ModuleType

from alembic.operations import BatchOperations, Operations
from alembic.runtime.migration import MigrationContext
from alembic.script.revision import RevisionError
from alembic.util import CommandError

LONGEST = 300
FIXED = (ModuleType, Operations, BatchOperations, MigrationContext)
"""The objects whose attributes are the same on every database, unlike those of a result that is missing."""
UNBOUND = "cannot access free variable"
"""How the text of a NameError begins that is an UnboundLocalError of an enclosing function."""
UNDEFINED = (
    r"name '(?P<name>\w+)' is not defined",
    r"cannot access (?:local|free) variable '(?P<name>\w+)' where it is not associated with a value"
    r"(?: in enclosing scope)?",
    # Alembic's own, for an operation at the top of a file
    r"Can't invoke function '\w+', as the proxy object has not yet been established for the Alembic '\w+' class\..*",
)
NOT_IMPORTED = (
    r"No module named '(?P<name>[\w.]+)'(?:; '[\w.]+' is not a package)?",
    # a path of the machine follows
    r"(?P<shown>cannot import name '(?P<name>\w+)' from (?:partially initialized module )?'[\w.]+').*",
    r"attempted relative import (?:with no known parent package|beyond top-level package)",
)
# Of the names in these, `name` is the caller's; the others are those of the function that is called.
WRONG_CALL = tuple(
    rf"(?:[\w.<>]+\(\) )?{text}"
    for text in (
        r"missing (?:\d+ )?required (?:positional|keyword-only) arguments?: '?\w+'?(?:(?:,| and|, and) '\w+')*",
        r"takes (?:from \d+ to |at (?:least|most) |exactly )?(?:\d+|one|no) (?:positional |keyword )?arguments?"
        r"(?: but \d+ (?:positional arguments? \(and \d+ keyword-only arguments?\) )?(?:was|were) given"
        r"| \(\d+ given\))?",
        r"got an unexpected keyword argument '(?P<name>\w+)'(?:\. Did you mean '\w+'\?)?",
        r"got multiple values for (?:keyword )?argument '(?P<name>\w+)'",
        r"got some positional-only arguments passed as keyword arguments: '(?P<name>\w+)(?:, \w+)*'",
        r"'(?P<name>\w+)' is an invalid keyword argument for \w+(?:\(\))?",
        r"\w+ expected (?:at (?:least|most) |exactly )?\d+ arguments?, got \d+",
        r"'[\w.]+' object is not (?:callable|iterable|subscriptable)",
        # SQLAlchemy's own, for a column or a constraint, and Alembic's own for `bulk_insert`
        r"Additional arguments should be named <dialectname>_<argument>, got '(?P<name>\w+)'",
        r"List (?:of dictionaries )?expected",
    )
)


def describe(error: BaseException) -> str:
    """Return the type of an exception, and its text where that holds nothing but code."""
    text = " ".join(_text(error).split())
    shown = text if len(text) <= LONGEST else f"{text[:LONGEST]} …"
    # our sentence has a full stop of its own
    return f"{type(error).__name__}: {shown.rstrip('.')}" if shown else type(error).__name__


def is_mistake(error: BaseException) -> bool:
    """Return whether an exception is one of the code itself, which no database would change."""
    match error:
        case AttributeError():
            return isinstance(error.obj, FIXED)
        # the variable may have its value only where there is a database to read it from
        case UnboundLocalError():
            return False
        case NameError():
            return not str(error).startswith(UNBOUND)
    return isinstance(error, SyntaxError | ImportError)


def syntax_error_place(error: BaseException) -> tuple[str, int | None] | None:
    """Return the file and the line of a syntax error, None for one that is not of a file, and for any other error."""
    if isinstance(error, SyntaxError) and error.filename and os.path.isfile(error.filename):
        return error.filename, error.lineno
    return None


def _text(error: BaseException) -> str:
    match error:
        case CommandError() | RevisionError():
            return _of_alembic(error)
        case SyntaxError():
            # what `eval` and `exec` read is no file, and may be a row
            return error.msg if syntax_error_place(error) else ""
        case AttributeError():
            return _of_attribute(error)
        case NameError():
            return _matched(error, UNDEFINED)
        case ImportError():
            return _matched(error, NOT_IMPORTED)
        case TypeError():
            return _matched(error, WRONG_CALL)
    return ""


def _of_alembic(error: BaseException) -> str:
    """Return the text of an exception that Alembic raises: of revisions, options, and names of its operations."""
    frames = list(traceback.walk_tb(error.__traceback__))
    module = frames[-1][0].f_globals.get("__name__", "") if frames else ""
    return str(error) if module.partition(".")[0] == "alembic" else ""


def _of_attribute(error: AttributeError) -> str:
    """Return the text for an attribute that does not exist, made of the object and the name that Python keeps."""
    owner, name = error.obj, error.name
    if name is None or name not in _words(error):
        return ""
    match owner:
        case ModuleType():
            kind = f"module '{owner.__name__}'"
        case type():
            kind = f"type object '{owner.__name__}'"
        case _:
            kind = f"'{type(owner).__name__}' object"
    text = f"{kind} has no attribute '{name}'"
    # an object may raise a text of its own, which Python leaves alone; a class of C has its module before its name
    raised = re.sub(r"^'(?:\w+\.)+", "'", str(error).removeprefix("partially initialized "))
    return text if raised.startswith(text) else ""


def _matched(error: BaseException, patterns: Iterable[str]) -> str:
    """Return the text of an exception if one of the patterns is all of it and its `name` occurs in the source."""
    for pattern in patterns:
        matched = re.fullmatch(pattern, str(error))
        if matched is None:
            continue
        groups = matched.groupdict()
        name = groups.get("name")
        known = name is None or any(_means(word, name) for word in _words(error))
        return groups.get("shown", matched[0]) if known else ""
    return ""


def _means(word: str, name: str) -> bool:
    """Return whether a word of the source names a module or its parent: `a.b` for `a`, and `.b` for `a.b`."""
    return word == name or word.startswith(f"{name}.") or name.endswith(f".{word}")


def _words(error: BaseException) -> set[str]:
    """Return the names and strings in the source of all functions of the traceback that stand in files."""
    codes = [frame.f_code for frame, _ in traceback.walk_tb(error.__traceback__)]
    return {word for code in codes if os.path.isfile(code.co_filename) for word in _of_code(code)}


def _of_code(code: CodeType) -> Iterator[str]:
    yield from (*code.co_names, *code.co_varnames, *code.co_freevars, *code.co_cellvars)
    for value in code.co_consts:
        # the names of keyword arguments are in a tuple
        yield from (one for one in (value if isinstance(value, tuple) else (value,)) if isinstance(one, str))
