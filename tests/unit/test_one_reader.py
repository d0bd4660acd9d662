"""SQL is read in one place: what a regular expression makes of it elsewhere would be a second opinion."""

import ast
import re
from collections.abc import Iterator

from support.project import ROOT

SOURCE = ROOT / "src"
READER = {"runner/postgres/sql.py", "runner/postgres/tokens.py"}
# Whoever else of the runner has regular expressions, and what they are over.
OTHERS = {
    "runner/authoring.py": "the names of files",
    "runner/aws/invoke.py": "what a function logs",
    "runner/aws/promote.py": "an image's digest",
    "runner/cli.py": "an image's tag",
    "runner/handler.py": "an event's id",
    "runner/lint/remedies/instead.py": "a colon, which SQLAlchemy takes for a parameter",
    "runner/lint/parsing/nesting.py": "rows of constants, of which a list may be long",
    "runner/lint/state/partitions.py": "dates in a constant",
    "runner/lint/rules/sets_timeout.py": "a number in a constant",
    "runner/next_step.py": "commands in a message",
    "runner/lint/state/tables.py": "the end of a column's text in a catalog",
    "runner/output/command_line.py": "a target such as `-1`",
    "runner/output/report.py": "Markdown, and Python to write",
    "runner/output/sarif.py": "links in a message",
    "runner/output/wrapping.py": "the words of a sentence",
    "runner/postgres/conninfo.py": "a URL",
    "runner/postgres/connect.py": "libpq's messages",
    "runner/postgres/privileges.py": "a message of the server",
    "runner/preview/offline_plan.py": "FROM:TO of the command line",
    "runner/preview/rehearsal_only.py": "a message of the server",
    "runner/preview/table_sizes.py": "names with a schema",
    "runner/script/allowances.py": "comments in Python",
    "runner/script/identifiers.py": "Python's text",
    "runner/script/offline.py": "Python's words, where a revision's SQL is not known",
    "runner/script/python_error.py": "Python's messages",
}
SQL_WORDS = re.compile(
    r"\b(?:alter|atomic|commit|concurrently|create|delete|drop|execute|insert|reindex|rollback|select|update|validate)\b",
    re.IGNORECASE,
)


def imports_re(tree: ast.Module) -> bool:
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    froms = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return "re" in [*names, *froms]


def patterns(tree: ast.Module) -> Iterator[str]:
    """Yield the texts in calls of `re`, without escapes: the letter of one would hide where a word begins."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="re"))):
                texts = (one.value for one in ast.walk(node) if isinstance(one, ast.Constant))
                yield from (re.sub(r"\\[A-Za-z]", " ", text) for text in texts if isinstance(text, str))


def trees() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(SOURCE.rglob("*.py")):
        yield path.relative_to(SOURCE).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def test_no_other_module_reads_sql_with_regular_expressions() -> None:
    """One that begins to use them says here what it reads with them."""
    found = {name for name, tree in trees() if name.startswith("runner/") and imports_re(tree)}
    assert found == READER | OTHERS.keys()
    known = {name: tree for name, tree in trees() if name not in READER}
    assert {name: one for name, tree in known.items() for one in patterns(tree) if SQL_WORDS.search(one)} == {}


def test_the_test_sees_them() -> None:
    for pattern in (r"rf'CREATE\s+INDEX {NAME}'", r"r'\bEXECUTE\b'"):
        tree = ast.parse(f"import re\nFOUND = re.compile({pattern})")
        assert imports_re(tree)
        assert any(map(SQL_WORDS.search, patterns(tree)))
    assert imports_re(ast.parse("from re import compile"))
