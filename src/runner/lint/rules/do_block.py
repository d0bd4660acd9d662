"""A block that puts statements together as text, or that is not in PL/pgSQL, is not checked: it may do anything.

The statements of other blocks, and texts that EXECUTE has as they are, are checked like those outside of a block. A
rehearsal runs the block, and says what it locked and wrote.
https://www.postgresql.org/docs/current/plpgsql-statements.html#PLPGSQL-STATEMENTS-EXECUTING-DYN
"""

from collections.abc import Iterator

import postgast
from postgast import nodes

from runner.lint.parsing import code, parse_tree
from runner.lint.rule import Rule, Violation
from runner.lint.state.statement import Revision


def find(revision: Revision) -> Iterator[Violation]:
    """Yield each block whose statements are not all known."""
    for statement in revision.statements:
        match statement.node:
            case nodes.DoStmt() as node:
                why = _why(node)
                if why is None:
                    continue
                message = f"Not all statements of the block were checked: {why}."
                yield Violation("note", message, "Read it, and rehearse it on a clone.", statement)


def _why(node: nodes.DoStmt) -> str | None:
    """Return why a block has statements that are not known, None where it has none."""
    language, written = code.body(node) or ("", "")
    if language != "plpgsql":
        return f"its code is {language}" if language else "it has no code"
    try:
        return None if code.read(written).is_whole else "it executes a text that it puts together"
    except parse_tree.TooDeep:
        return "the block is nested too deeply to be read"
    except (postgast.PgQueryError, ValueError):
        return "the parser does not accept it"


RULE = Rule(
    id="do-block",
    levels="A note.",
    find=find,
    bad=(
        "op.execute(\"do $$ begin execute 'drop table ' || 'visits'; end $$\")",
        "op.execute(\"do $$ declare r record; begin for r in select 'x' as n loop "
        "execute format('comment on table items is %L', r.n); end loop; end $$\")",
        'op.execute("do language plpython3u $$ plpy.execute(1) $$")',
    ),
    safe=(
        'op.execute("do $$ begin perform 1; end $$")',
        "op.execute(\"do $$ begin if not exists (select from pg_class where relname = 'x') then "
        "execute 'create table x (n int)'; end if; end $$\")",
    ),
)
