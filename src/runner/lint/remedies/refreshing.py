"""The REFRESH of a materialized view that blocks its reads, and the one that does not."""

from postgast import nodes

from runner.lint.parsing import parse_tree
from runner.lint.remedies import instead
from runner.lint.rule import Violation
from runner.lint.state.database import Database
from runner.lint.state.statement import Statement, shown
from runner.lint.state.tables import Table


def violation(node: nodes.RefreshMatViewStmt, statement: Statement, database: Database) -> Violation | None:
    """Return what a REFRESH blocks, None for one of a view without rows or that nobody uses yet."""
    view = statement.before.find(parse_tree.name(node.relation)) if node.relation is not None else None
    if view is None or view.origin is None or database.rows(view) == 0 or node.concurrent:
        return None
    name = shown(view.name)
    if node.skip_data:
        message = f"It empties `{name}` ({database.size(view)}): each read of it fails until the next REFRESH."
        return Violation("error", message, "Leave out `WITH NO DATA`.", statement, view)
    message = f"It blocks reads of `{name}` ({database.size(view)}) while its query runs again."
    if _has_key(view):
        text = parse_tree.statement_text(node, concurrent=True)
        remedy = "Refresh it concurrently: its unique index allows that."
        return Violation(database.by_rows(view), message, remedy, statement, view, (instead.executed(text),))
    remedy = (
        "Give it a unique index of its columns in an earlier revision, with `create_index_concurrently`, and refresh "
        "it with `CONCURRENTLY`."
    )
    return Violation(database.by_rows(view), message, remedy, statement, view)


def _has_key(view: Table) -> bool:
    return any(one.unique and not one.partial and "" not in one.columns for one in view.indexes.values())
