"""The page of the rules, `docs/rules.md`, made of the files of the rules: `make rules` writes it."""

import sys

from runner.lint import rules
from runner.lint.findings import BREAKING, REPLACED, STYLE
from runner.lint.report import LARGE_ROWS
from runner.lint.rule import Rule
from runner.output.rule_texts import REFUSED

HEAD = """# The rules of the lint

`migrate plan` judges each statement of the pending revisions by these rules, with the tables of the database that it
asks: their rows, columns, constraints and indexes. A table that the plan itself makes, or that the database does not
have, is nobody's yet, so nothing is said about it. Statements are read with PostgreSQL's own grammar, those in a DO
block too.

An **error** breaks the application that is running, fails, or blocks it for long; a plan with errors has no id in a
protected environment. A **warning** does so on a larger table or in some cases, a **note** tells what to know. Where
harm grows with the rows, it is an error from {large:,} rows on, or where their number is unknown.

A comment in the revision allows a rule there, with a reason:

```python
op.drop_column("leads", "tags")  # lint-allow ban-drop-column: nothing has read it since 2026-09
```

This page is made of the files in `src/runner/lint/rules/`; `make rules` writes it. The examples are tests: each unsafe
one is found, each safe one is applied to tables with rows. Several revisions are divided by `---`.

## What the runner refuses

These are about the whole revision, and found without the extra `lint` too.

| finding | level | what |
|---|---|---|
{refused}
## What squawk finds

[squawk](https://squawkhq.com/docs/rules) reads the same SQL without a database. Its rules of the ids below are turned
off; of the others, {breaking} are errors, {style} are notes, and the rest are warnings.

"""


def render() -> str:
    """Return the page as Markdown."""
    found = rules.load()
    listed = [f"`{rule}`" for rule in sorted(BREAKING)], [f"`{rule}`" for rule in sorted(STYLE)]
    refused = "".join(f"| `{rule}` | {level} | {what} |\n" for rule, (level, what) in REFUSED.items())
    head = HEAD.format(refused=refused, large=LARGE_ROWS, breaking=", ".join(listed[0]), style=", ".join(listed[1]))
    index = "".join(f"| [`{rule.id}`](#{rule.id}) | {rule.levels} |\n" for rule in found)
    replaced = ", ".join(f"`{rule}`" for rule in sorted(REPLACED))
    table = f"Turned off as well: {replaced}.\n\n## Our own rules\n\n| rule | level |\n|---|---|\n{index}"
    return head + table + "".join(map(_page, found))


def _page(rule: Rule) -> str:
    text = (sys.modules[rule.find.__module__].__doc__ or "").strip()
    return f"\n### {rule.id}\n\n{text}\n\n{rule.levels}\n\nUnsafe:\n{_code(rule.bad)}\nSafe:\n{_code(rule.safe)}"


def _code(bodies: tuple[str, ...]) -> str:
    return "".join(f"\n```python\n{body}\n```\n" for body in bodies)


if __name__ == "__main__":
    sys.stdout.write(render())
