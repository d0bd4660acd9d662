"""The checksums of what a revision's text runs."""

import pytest

from runner.script import syntax

TEXT = '''"""Add score."""
from alembic import op
import sqlalchemy as sa

revision = "018_add_score"
down_revision = None
TABLE: str = "leads"
LATER = {"a": None, **{}}


def name(column, /, *more, key=...) -> str:
    return f"{column!r:>{len(more)}}" if more else column


def upgrade():
    """Say why."""
    with op.get_context().autocommit_block():
        op.add_column(TABLE, sa.Column(name("pontuação"), sa.Integer(), comment=u"é"))
    for n in (1, 2.5, -1j, b"x", True):
        print(lambda: n, [x async for x in n] if n is not None else ...)


def downgrade():
    op.drop_column(TABLE, name("pontuação"))
'''


CODE = "c5e9c4bb3313256b0482798c06bf46bd3b1fd3b1840797c535f413c0ce22e9ea"
DOWNGRADE = "619f0ed0349429657dbc03ce27a85c72505875c0fc9ed0ddc56d425ad2e00a07"


def test_a_checksum_is_the_same_for_ever() -> None:
    """It is compared with rows of years ago, which another version of Python may have written."""
    found = syntax.checksums(TEXT.encode())
    assert (found.code, found.downgrade) == (CODE, DOWNGRADE)


@pytest.mark.parametrize(
    ("old", "new", "changes"),
    [
        ("\n", "\r\n", ""),
        ("down_revision =", "# why\ndown_revision =", ""),
        ('"""Say why."""', "'''Another one.'''\n    'and a string'", ""),
        ('"""Add score."""\n', "", ""),
        ('"leads"', "'leads'", ""),
        ("018_add_score", "018_score", "code"),
        ("import sqlalchemy as sa\n", "", "code"),
        ("def upgrade", "@op.f\ndef upgrade", "code downgrade"),
        ('"leads"', '"lead"', "code downgrade"),
        ("if more else column", "", "code downgrade"),
        ("op.drop_column(TABLE", "op.drop_column('leads'", "code downgrade"),
        ("from alembic import op", "from alembic import *", "code downgrade"),
        ("LATER = ", "LATER[0] = ", "code downgrade"),
    ],
)
def test_what_counts(old: str, new: str, changes: str) -> None:
    assert old in TEXT
    before, after = (syntax.checksums(text.encode()) for text in (TEXT, TEXT.replace(old, new)))
    assert (before.code != after.code, before.downgrade != after.downgrade) == (
        "code" in changes,
        "downgrade" in changes,
    )


def test_a_docstring_that_is_read_counts() -> None:
    before, after = (syntax.checksums(f'"""{text}"""\nprint(__doc__)'.encode()) for text in ("a", "b"))
    assert before.code != after.code


@pytest.mark.parametrize(
    "text", [b"def", b"\0", b"# coding: nonsense\n", b"x = " + b"(" * 5000, b"x = " + b"-" * 90_000 + b"1"]
)
def test_a_text_without_syntax(text: bytes) -> None:
    """Python would not run it either; its text has a checksum all the same."""
    found = syntax.checksums(text)
    assert (found.code, found.downgrade, len(found.text or "")) == (None, None, 64)
