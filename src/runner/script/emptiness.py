"""Whether a revision was begun and not written yet.

Once applied, an empty revision can never be written: its text is history. A merge is empty by nature, and a revision
that another one follows was meant to be as it is.
"""

import ast

from alembic.script import Script

from runner.errors import EmptyRevision
from runner.script import allowances, graph
from runner.script.step import Step


def is_unwritten(revision: Script) -> bool:
    """Return whether a revision is a head, no merge, and its `upgrade()` does nothing."""
    # without its source (`sourceless`) nothing can be read
    readable = str(revision.path).endswith(".py")
    return readable and revision.is_head and not revision.is_merge_point and _does_nothing(graph.source(revision))


def refuse(step: Step) -> None:
    """Raise `EmptyRevision` for a step up that `is_unwritten`, unless a comment of its file allows it with a reason."""
    if step.direction != "upgrade" or step.script is None or not is_unwritten(step.script):
        return
    found = allowances.read(graph.source(step.script), "upgrade")
    if not any(one.rule == EmptyRevision.code and one.reason for one in found):
        raise EmptyRevision(step.revision, str(step.path).rpartition("/")[2])


def _does_nothing(source: str) -> bool:
    """Return whether the function `upgrade` has no statement but `pass`, `return` and constants such as a docstring."""
    functions = [
        node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef) and node.name == "upgrade"
    ]
    # the last one counts; a decorator may do anything
    return bool(functions) and not functions[-1].decorator_list and all(map(_is_idle, functions[-1].body))


def _is_idle(statement: ast.stmt) -> bool:
    match statement:
        case ast.Pass() | ast.Expr(ast.Constant()) | ast.Return(None) | ast.Return(ast.Constant(None)):
            return True
    return False
