"""The allowances of a revision: comments that except it from a rule, each with a reason."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass

from runner.answer import Direction

MARK = "lint-allow"
COMMENT = re.compile(rf"#\s*{MARK}\b(?P<text>.*)")
ALLOWED = re.compile(r"\s+(?P<rule>[a-z-]+)\s*:\s*(?P<reason>\S.*)")


@dataclass(frozen=True)
class Allowance:
    """A comment in a revision that allows a rule's findings."""

    rule: str
    reason: str | None
    """None for a comment that is not `# lint-allow RULE: reason`; `rule` is then the whole text after `lint-allow`."""
    line: int


def read(source: str, direction: Direction) -> Iterator[Allowance]:
    """Yield the allowances for a direction: the comments in `downgrade()`, or for an upgrade all others."""
    # the lines come from the tree, the comments from the tokens: a tree has no comments
    functions = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
    lines = {line for node in functions if node.name == "downgrade" for line in range(node.lineno, _end(node) + 1)}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        comment = COMMENT.match(token.string) if token.type == tokenize.COMMENT else None
        if comment and (token.start[0] in lines) == (direction == "downgrade"):
            match = ALLOWED.fullmatch(comment["text"])
            rule, reason = (match["rule"], match["reason"]) if match else (comment["text"], None)
            yield Allowance(rule, reason, token.start[0])


def _end(node: ast.FunctionDef) -> int:
    return node.end_lineno or node.lineno
