"""What a rule of the lint is about, in words that are the same for each of its findings.

The files of the rules are read as text: loading them needs the extra `lint`, which who reads an answer may not have.
"""

import ast
from dataclasses import dataclass
from importlib.resources import files

REFUSED = {
    "broken-code": ("error", "the revision's Python has a mistake that no database would change"),
    "empty-revision": ("error", "its `upgrade()` does nothing; [what to do](errors.md)"),
    "mixed-revision": ("error", "it has an autocommit block after other statements"),
    "transaction-ended": ("error", "it ends its own transaction"),
    "table-exists": ("error", "it creates a table that exists, without IF NOT EXISTS"),
    "downgrade-loses-rows": ("error", "a downgrade drops a table or a column with rows"),
    "not-rendered": ("warning", "its SQL is not known beforehand, so the rest was not checked"),
    "suppression-without-reason": ("warning", "a comment `lint-allow` has no rule or no reason"),
    "unused-suppression": ("warning", "a comment allows what nothing finds"),
}
"""What the runner finds without the extra `lint`: the level, and what is told of the revision."""
FAILS = frozenset({
    "ban-concurrent-index-creation-in-transaction", "broken-code", "enum-value-used", "foreign-key-type-mismatch",
    "mixed-revision", "not-in-transaction", "partitioned-needs-parts", "syntax-error", "table-exists",
    "transaction-ended",
})  # fmt: skip
"""The rules of which an error says that the run fails, also where a comment allows it."""
SQUAWK = "https://squawkhq.com/docs/"
"""The pages of squawk's rules, of which each has the rule's id as its name."""


@dataclass(frozen=True)
class RuleText:
    """What is said of a rule."""

    sentence: str
    """What breaks, and for whom."""
    page: str
    """The whole explanation."""
    address: str | None = None
    """The page of the rule, None for one that has no address."""


def describe(rule: str) -> RuleText:
    """Return the text of a rule by its id; one that neither the runner nor its rules know is squawk's."""
    if rule in REFUSED:
        what = REFUSED[rule][1].partition("; [")[0]
        return RuleText(f"Of the revision: {what}.", f"Of the revision: {what}.")
    file = files("runner") / "lint" / "rules" / f"{rule.replace('-', '_')}.py"
    if not file.is_file():
        said = f"A rule of squawk, which reads SQL without a database: `{rule}`."
        return RuleText(said, said, f"{SQUAWK}{rule}")
    page = ast.get_docstring(ast.parse(file.read_text("utf-8"))) or ""
    paragraphs = [" ".join(one.split()) for one in page.split("\n\n")]
    sentence, _, _ = paragraphs[0].partition(". ")
    return RuleText(sentence.removesuffix(".") + ".", "\n\n".join(paragraphs))
