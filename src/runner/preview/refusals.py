"""What a run refuses in a revision, whatever tables it is about, as findings of the plan."""

from collections.abc import Iterable, Iterator

from runner.lint.report import excerpt
from runner.postgres import sql
from runner.results import Finding
from runner.script.offline import Rendered


def find(revisions: Iterable[Rendered]) -> Iterator[Finding]:
    """Yield a finding for each revision that would fail, or of which not everything is known."""
    for one in revisions:
        yield from _find(one)


def _find(one: Rendered) -> Iterator[Finding]:
    if one.mistake is not None:
        yield Finding("broken-code", "error", one.revision, one.mistake, "Correct the file.", line=one.failed_at)
    elif one.statements is None:
        message = f"Its SQL is not known beforehand: {one.unrendered}. The statements after that were not checked."
        remedy = "Read the file, and rehearse it on a clone."
        yield Finding("not-rendered", "warning", one.revision, message, remedy, line=one.failed_at)
    if one.empty:
        message = "It is empty, and once it is applied its text cannot change any more, so the runner refuses it."
        yield Finding("empty-revision", "error", one.revision, message, "Write `upgrade()`.")
    if one.mixed:
        message = "It has an autocommit block after other statements, so the runner refuses it."
        yield Finding("mixed-revision", "error", one.revision, message, "Move the block into a revision of its own.")
    yield from _ends_of_transaction(one)


def _ends_of_transaction(one: Rendered) -> Iterator[Finding]:
    """Yield a finding for the first statement that ends the revision's transaction after it has written something."""
    for at, text in enumerate(one.rendered if one.transactional else ()):
        if sql.ends_transaction(text) and any(map(sql.writes, one.rendered[:at])):
            message = "It ends the revision's own transaction, so the runner refuses it."
            remedy = (
                "Remove it. What cannot run in a transaction goes into an autocommit block of a revision of its own."
            )
            yield Finding(
                "transaction-ended", "error", one.revision, message, remedy, excerpt(text), line=one.line_of(text)
            )
            return
