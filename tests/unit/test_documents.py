"""Links of the documents lead somewhere, and the indexes are whole."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest

from support.project import ROOT

DOCS = ROOT / "docs"
DOCUMENTS = [*(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")), *sorted(DOCS.glob("*.md"))]
FENCED = re.compile(r"^(`{3,}).*?^\1$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?P<inline>[^()\s]+)\)|^\[[^\]]+\]: (?P<named>\S+)", re.MULTILINE)
HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
DECISION = re.compile(r"^## (.+)$", re.MULTILINE)
ENTRY = re.compile(r"^- \[(.+)\]\((#\S+)\)$", re.MULTILINE)
ELSEWHERE = re.compile(r"[a-z]+:")


def text(document: Path) -> str:
    """Return a document without its blocks of code."""
    return FENCED.sub("", document.read_text("utf-8"))


def anchors(document: Path) -> Iterator[str]:
    """Yield the anchor that GitHub gives to each heading; a heading that is repeated gets a number."""
    seen: Counter[str] = Counter()
    for heading in HEADING.findall(text(document)):
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        yield f"{slug}-{seen[slug]}" if seen[slug] else slug
        seen[slug] += 1


def astray(document: Path) -> Iterator[str]:
    """Yield the links to a file or a heading of the project that is not there."""
    for link in LINK.finditer(text(document)):
        target = unquote(link["inline"] or link["named"])
        if ELSEWHERE.match(target):
            continue
        path, _, anchor = target.partition("#")
        file = (document.parent / path).resolve() if path else document
        if not (file.is_relative_to(ROOT) and file.exists()) or (anchor and anchor not in anchors(file)):
            yield target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda one: str(one.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    """A link into the project names a file that is there and, after `#`, one of its headings."""
    assert list(astray(document)) == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda one: str(one.relative_to(ROOT)))
def test_a_heading_stands_alone(document: Path) -> None:
    """With an empty line before it, or what stands there is one paragraph with it for many readers."""
    assert re.findall(r"(?<=[^\n]\n)#{1,6} .+", text(document)) == []


def test_the_readme_is_short() -> None:
    """A reader has it in ten minutes, and a terminal beside an editor shows its lines whole."""
    readme = (ROOT / "README.md").read_text("utf-8")
    assert len(readme.split()) <= 2000
    assert [line for line in readme.splitlines() if len(line) >= 100] == []


def test_every_decision_is_in_the_index() -> None:
    """Each heading stands in the index once, in its own words, and the index has nothing else."""
    decisions = text(DOCS / "decisions.md")
    entries = ENTRY.findall(decisions.partition("\n## ")[0])
    assert len(entries) >= 90
    assert sorted(title for title, _ in entries) == sorted(DECISION.findall(decisions))
    assert len({anchor for _, anchor in entries}) == len(entries)


def test_every_document_is_in_the_index() -> None:
    """The index of the documents names each of them once."""
    linked = Counter(link["inline"] for link in LINK.finditer(text(DOCS / "README.md")))
    wanted = {path.name for path in DOCS.glob("*.md")} - {"README.md"} | {"../CONTRIBUTING.md", "../CHANGELOG.md"}
    assert {name: linked[name] for name in wanted} == dict.fromkeys(wanted, 1)
