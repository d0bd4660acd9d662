"""What docs/benchmarks.md and RESULTS.md say was measured, and how it is put into words."""

import json

from benchmarks import report
from benchmarks.__main__ import CASES
from benchmarks.measuring import ITSELF, Chapter, Figure, Table, in_turn
from support.project import ROOT

RESULTS = json.loads((ROOT / "benchmarks" / "results.json").read_text())
WANTED = {
    "cold function, first answer": {"bare handler": 0.9, "floor": 1.5},
    "warm function, 20 revisions": {"bare handler": 0.5},
    "warm function, 200 revisions": {"bare handler": 0.5},
    "the function's memory at its first answer": {"bare handler": 1.1},
    "packages, programs and code in the image": {"bare handler": 1.1},
    **{
        f"apply {size}": {"plain Alembic": 1.0, "yoyo": 1.0, "dbmate": None, "Django": None}
        for size in ("20 revisions", "200 revisions", "1,000 revisions", "100 revisions across 2 ms")
    },
    "`upgrade` with 5,000 revisions behind it": {"plain Alembic": 0.7},
    "`current` with 5,000 revisions behind it": {"plain Alembic": 0.3},
    "`upgrade`: processor time of a further revision, after 1,000": {"up to 1,000": 2},
    "`current`: processor time of a further revision, after 1,000": {"up to 1,000": 2},
    "the application's slowest query": {ITSELF: 2.5},
    "16 runners at once: failures": {ITSELF: 0},
    "16 runners at once: rows too many or too few": {ITSELF: 0},
    "killed in a revision: steps by hand": {ITSELF: 0},
    "killed in a concurrent index build: steps by hand": {ITSELF: 0},
    "the agent: seconds for 100,000 leads": {"one INSERT a lead, autocommitted": 0.11, "a bare COPY": 2.86},
    "the agent: peak memory for 1,000,000 leads": {"100,000 leads": 1.2},
}


def test_the_page_says_what_was_measured() -> None:
    """The block stands there once, between its marks, and is what the program makes of the results."""
    page = (ROOT / "docs" / "benchmarks.md").read_text()
    assert page.count(report.block(RESULTS)) == page.count(report.BEGIN) == page.count(report.END) == 1
    assert report.into(page, RESULTS) == page
    assert (ROOT / "benchmarks" / "RESULTS.md").read_text() == report.markdown(RESULTS)
    assert [chapter["text"] for chapter in RESULTS["chapters"]] == [case.TEXT for case in CASES.values()]


def test_all_that_was_wanted_was_measured_at_least_seven_times() -> None:
    """But for what does not vary, or takes half a minute: that says so."""
    figures = [figure for chapter in RESULTS["chapters"] for figure in chapter["figures"]]
    assert {figure["name"]: figure["at_most"] for figure in figures if figure["at_most"]} == WANTED
    assert RESULTS["rounds"] >= 7
    rounds = {(figure["name"], who): len(found) for figure in figures for who, found in figure["values"].items()}
    assert rounds.pop(("apply 1,000 revisions", "yoyo")) == 1
    assert {name for (name, _), number in rounds.items() if number != RESULTS["rounds"]} == {
        "packages, programs and code in the image",
        "killed in a revision: steps by hand",
        "killed in a concurrent index build: steps by hand",
        "the agent: peak memory for 1,000,000 leads",
    }


def test_works_take_turns() -> None:
    """Each round begins with another one, the first is not counted, and who takes too long is measured once."""
    called: list[str] = []

    def work(who: str) -> float:
        called.append(who)
        return float(len(called))

    found = in_turn(3, {who: lambda who=who: work(who) for who in "abc"}, frozenset("c"))  # type: ignore[misc]
    assert "".join(called) == "abc" + "cba" + "ab" + "ba"
    assert found == {"a": [6, 7, 10], "b": [5, 8, 9], "c": [4]}


def test_a_ratio_is_the_median_of_the_rounds_ratios() -> None:
    made = Figure("it", "s", {"ours": [1, 2, 9], "theirs": [2, 2, 3]}, {"theirs": 0.9}).as_json()
    assert made["ratios"] == {"theirs": {"rounds": 3, "median": 1, "low": 0.5, "high": 3}}
    assert made["medians"] == {"ours": 2, "theirs": 2}


def test_what_is_not_reached_says_no() -> None:
    """Of a ratio the median counts, of a figure itself the worst."""
    figures = [
        Figure("slow", "s", {"ours": [2.0], "theirs": [1.0]}, {"theirs": 1.9}),
        Figure("fast", "s", {"ours": [1.0], "theirs": [2.0]}, {"theirs": 0.5}),
        Figure("hardly", "s", {"ours": [1.1049], "theirs": [1.0]}, {"theirs": 1.1}),
        Figure("only shown", "s", {"ours": [3.0], "theirs": [1.0]}, {"theirs": None}),
        Figure("worst", "", {"ours": [0, 0, 1], "one": [3, 3, 3], "another": [0, 1, 2]}, {ITSELF: 0}),
    ]
    about = {"machine": RESULTS["machine"], "postgres": "", "versions": {}, "rounds": 1, "quick": False}
    chapter = Chapter("All", "It.", figures, [Table(["a"], [["x | y"]])]).as_json()
    lines = report.markdown({**about, "chapters": [chapter]}).splitlines()
    assert "| slow | 2 s | theirs | 1 s | **2.00** (once) | 1.90 | **no** |" in lines
    assert "| fast | 1 s | theirs | 2 s | **0.50** (once) | 0.50 | yes |" in lines
    assert "| hardly | 1.1 s | theirs | 1 s | **1.10** (once) | 1.10 | **no** |" in lines
    assert "| only shown | 3 s | theirs | 1 s | **3.00** (once) |  |  |" in lines
    assert "| worst | 1 | the others | 2 to 3 |  | 0 | **no** |" in lines
    assert r"| x \| y |" in lines
