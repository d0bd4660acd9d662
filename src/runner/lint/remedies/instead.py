"""The Python that a finding advises instead, where it is the user's own SQL."""

import re

from runner.lint.rule import call

# what SQLAlchemy's `text` takes for a parameter
PARAMETER = re.compile(r"(?<![:\w\\]):(?=\w)")


def executed(sql: str) -> str:
    """Return a call that executes a statement."""
    return call("op.execute", written(sql.strip().removesuffix(";").rstrip()))


def written(sql: str) -> str:
    """Return SQL as an argument that SQLAlchemy reads for parameters, of which it has none."""
    return PARAMETER.sub(r"\\:", sql)


def committed_each(*lines: str) -> str:
    """Return an autocommit block, in which each statement commits by itself."""
    return "\n    ".join(("with op.get_context().autocommit_block():", *lines))
