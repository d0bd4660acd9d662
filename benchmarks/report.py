"""The results as Markdown: `RESULTS.md`, and its block in `docs/benchmarks.md`."""

from collections.abc import Iterator
from typing import Any

from benchmarks.measuring import ITSELF

Results = dict[str, Any]

BEGIN, END = "<!-- measured: make bench -->", "<!-- /measured -->"
CHART_WIDTH = 40
CHARTS = ("apply 200 revisions", "the application's slowest query")
INTRODUCTION = """`make bench` writes this file and `results.json`, which has every single figure. The subjects are
measured in turn, {rounds} rounds after one that is not counted, unless their part says otherwise. Less is better. A
figure is the median of the rounds; a ratio is ours to the other's, the median of the rounds' ratios, with the lowest
and the highest. Where the goal is a figure and not a ratio, the figure is the worst of all rounds. All run from
bytecode, on {cores} cores ({processor}, {memory}), {system}, Python {python}, {postgres}; {versions}. Load before:
{load}."""
IN_SMALL = """This was a quick run, with few rounds and small sizes: its figures are rough, and the texts describe the
whole run."""

NOT_REACHED = "Where the last column says **no**, the case's own part below gives the reason."


def markdown(results: Results) -> str:
    """Return `RESULTS.md`."""
    about = {**results["machine"], **results, "versions": _versions(results)}
    parts = [
        "# Results",
        INTRODUCTION.format(**about),
        *([IN_SMALL] if results["quick"] else []),
        "## Goals and results",
        _wanted(results),
        NOT_REACHED,
    ]
    for chapter in results["chapters"]:
        parts += [f"## {chapter['title']}", chapter["text"]]
        parts += [_figures(chapter["figures"])] if chapter["figures"] else []
        parts += [_table(table["header"], table["rows"]) for table in chapter["tables"]]
    return "\n\n".join(parts) + "\n"


def block(results: Results) -> str:
    """Return the block of `docs/benchmarks.md` between the two marks, marks included."""
    charts = "\n\n".join(_chart(figure) for figure in _all(results) if figure["name"] in CHARTS)
    return f"{BEGIN}\n\n{_wanted(results)}\n\n```text\n{charts}\n```\n\n{END}"


def into(page: str, results: Results) -> str:
    """Return `page` with the present block."""
    before, _, rest = page.partition(BEGIN)
    return before + block(results) + rest.partition(END)[2]


def _all(results: Results) -> Iterator[dict[str, Any]]:
    for chapter in results["chapters"]:
        yield from chapter["figures"]


def _wanted(results: Results) -> str:
    rows = [_row(figure, other, limit) for figure in _all(results) for other, limit in figure["at_most"].items()]
    return _table(["", "here", "compared with", "there", "ratio (lowest to highest)", "goal", ""], rows)


def _row(figure: dict[str, Any], other: str, limit: float | None) -> list[str]:
    """Return a result beside its goal: the worst value of a figure, the median of a ratio."""
    subject, *rest = figure["values"]
    unit, mine = figure["unit"], figure["medians"][subject]
    if other == ITSELF and limit is not None:
        worst = {who: max(values) for who, values in figure["values"].items()}
        theirs = sorted(worst[who] for who in rest)
        there = f"{_number(theirs[0])} to {_with(theirs[-1], unit)}"
        reached = _tick(worst[subject] <= limit)
        return [figure["name"], _with(worst[subject], unit), "the others", there, "", _with(limit, unit), reached]
    ratio = figure["ratios"][other]
    there = _with(figure["medians"][other], unit)
    spread = f"**{ratio['median']:.2f}** ({_spread(ratio)})"
    wanted, reached = ("", "") if limit is None else (f"{limit:.2f}", _tick(ratio["median"] <= limit))
    return [figure["name"], _with(mine, unit), other, there, spread, wanted, reached]


def _spread(ratio: dict[str, float]) -> str:
    return "once" if ratio["rounds"] == 1 else f"{ratio['low']:.2f} to {ratio['high']:.2f}"


def _with(value: float, unit: str) -> str:
    return f"{_number(value)} {unit}".rstrip()


def _tick(reached: bool) -> str:
    return "yes" if reached else "**no**"


def _figures(figures: list[dict[str, Any]]) -> str:
    """Return a table for the figures of each set of subjects; each other's figure has our ratio to it beside it."""
    tables = []
    for names in dict.fromkeys(tuple(figure["values"]) for figure in figures):
        rows = [
            [
                f"{figure['name']} ({figure['unit']})" if figure["unit"] else figure["name"],
                *(_cell(figure, who) for who in names),
            ]
            for figure in figures
            if tuple(figure["values"]) == names
        ]
        tables.append(_table(["", *names], rows))
    return "\n\n".join(tables)


def _cell(figure: dict[str, Any], who: str) -> str:
    ratio = figure["ratios"].get(who)
    shown = f" ({ratio['median']:.2f}; {_spread(ratio)})" if ratio else ""
    return _number(figure["medians"][who]) + shown


def _chart(figure: dict[str, Any]) -> str:
    medians = figure["medians"]
    longest, width = max(medians.values()), max(map(len, medians))
    lines = [
        f"{who:{width}} {'█' * max(1, round(value / longest * CHART_WIDTH))} {_with(value, figure['unit'])}"
        for who, value in medians.items()
    ]
    return "\n".join([figure["name"], *lines])


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def _number(value: float) -> str:
    return f"{value:,.3f}".rstrip("0").rstrip(".") if value < 1000 else f"{value:,.0f}"


def _versions(results: Results) -> str:
    return ", ".join(f"{name} {version}" for name, version in results["versions"].items())
