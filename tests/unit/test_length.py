"""An answer is bounded, whatever it consists of, and says what is missing."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner import length
from runner.answer import Applied, Change, Draft
from runner.length import LONGEST_ANSWER, LONGEST_TEXT, cut_text, fit
from runner.output import console, report
from runner.results import CheckResult, read

CORE = {"status": "error", "action": "upgrade", "code": "drift", "ok": False, "request_id": "r" * 36, "target": "018"}


def size(value: Any) -> int:
    return len(json.dumps(value))


LEAF = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=40)
NUMBER = st.sampled_from([1, 3, 51, 3000, 70_000])
TEXT = st.text(min_size=1, max_size=9)
# `(value, number)` stands for a text, a list or a map in which the value is repeated
REPEATED = st.tuples(st.sampled_from(["list", "map"]), NUMBER)
VALUE = st.recursive(
    LEAF | st.tuples(TEXT, NUMBER),
    lambda child: (
        st.lists(child, max_size=3)
        | st.dictionaries(st.text(max_size=9), child, max_size=3)
        | st.tuples(child, REPEATED)
    ),
    max_leaves=6,
)
DOCUMENT = st.dictionaries(
    st.text(max_size=20) | st.sampled_from(["applied", "pending", "revisions"]), VALUE, max_size=5
)


def inflate(value: Any) -> Any:
    """Return the value that a small one stands for; no part of it has much more than the limit."""
    match value:
        case list():
            return [inflate(one) for one in value]
        case dict():
            return {key: inflate(one) for key, one in value.items()}
        case str(text), int(number):
            return text * number
        case inner, (kind, number):
            one = inflate(inner)
            times = max(1, min(number, 2 * LONGEST_ANSWER // size(one)))
            return [one] * times if kind == "list" else {f"{at}": one for at in range(times)}
    return value


@settings(max_examples=15)
@given(DOCUMENT)
def test_any_document_is_bounded(fields: dict[str, Any]) -> None:
    """What says how the call ended stays whole, each field keeps its type, and once is enough."""
    document = {**{key: inflate(value) for key, value in fields.items()}, **CORE}
    fitted = fit(document)
    assert size(fitted) <= LONGEST_ANSWER
    if size(document) <= LONGEST_ANSWER:
        assert fitted is document
        return
    assert fitted["left_out"].endswith(" left out because the answer would exceed 200 kB")
    assert fitted.keys() - {"left_out"} == document.keys() - {"left_out"}
    assert {key: fitted[key] for key in CORE} == CORE
    for key in document.keys() - {"left_out"}:
        assert type(fitted[key]) is type(document[key])
    assert fit(fitted) is fitted


@given(TEXT, NUMBER, st.integers(10, 20_000))
def test_any_text_is_bounded(part: str, number: int, room: int) -> None:
    """Its beginning and its end stay, where there is room for both."""
    text = part * number
    cut = cut_text(text, room)
    assert size(cut) <= room
    assert cut == text or cut == "" or (cut[0], cut[-1]) == (text[0], text[-1])
    assert (cut == text) == (size(text) <= room)


def test_lists_lose_their_ends_and_what_is_short_stays_whole() -> None:
    findings = [{"kind": "drift", "message": "x" * 400} for _ in range(2000)]
    told = fit({"action": "check", "findings": findings, "pending": ["018_a"], "ok": False})
    lacking = len(findings) - len(told["findings"])
    assert size(told) <= LONGEST_ANSWER
    assert size(told) > LONGEST_ANSWER - 5000
    assert told["left_out"] == f"the last {lacking} of `findings` are left out because the answer would exceed 200 kB"
    assert (told["pending"], told["ok"], "revisions" in told) == (["018_a"], False, False)
    assert told["findings"] == findings[: len(told["findings"])]


@pytest.mark.parametrize(("applied", "pending"), [(3000, 3000), (1, 6000), (6000, 0)])
def test_a_run_of_thousands_of_revisions(applied: int, pending: int) -> None:
    """The lists are cut from their ends; heads and target, by which a caller goes on, are whole."""
    names = [f"{number:04d}_{'x' * 50}" for number in range(applied + pending)]
    done = tuple(Applied(name, "d", "upgrade", 1.0, 0.0, {"public.leads": "AccessShareLock"}, ()) for name in names)
    change = Change((), (names[applied - 1],), names[-1], tuple(names[applied:]), done[:applied])
    told = fit(Draft("upgrade", "r", change, "m").succeed().as_json())
    assert size(told) <= LONGEST_ANSWER
    assert (told["to"], told["target"], told["status"]) == (names[applied - 1], names[-1], "success")
    assert [one["revision"] for one in told["applied"]] == names[: len(told["applied"])]
    assert told["pending"] == names[applied : applied + len(told["pending"])]
    assert len(told["applied"]) > 0
    assert "of `applied`" in told["left_out"] or "of `pending`" in told["left_out"]


def test_what_a_run_is_counted_by_stays_while_the_rest_is_enough() -> None:
    """The state machine counts `applied` and `pending`."""
    pending = [f"{number:04d}" for number in range(5000)]
    told = fit({"pending": pending, "differences": ["y" * 100] * 3000, "warnings": ["z" * 300] * 500})
    assert told["pending"] == pending
    assert size(told) <= LONGEST_ANSWER


def test_a_long_sentence_keeps_its_end() -> None:
    """The next step is the end of a message."""
    differences = [f"`public.leads.c{number}`: expected none, found `text`" for number in range(3000)]
    message = f"drift: {'; '.join(differences)}. Nothing was changed. Correct the differences."
    told = fit({**CORE, "message": message, "error": message, "differences": differences, "entries": differences})
    assert size(told["message"]) <= LONGEST_TEXT
    assert told["message"].startswith("drift: `public.leads.c0`")
    assert told["message"].endswith("Nothing was changed. Correct the differences.")
    assert "characters are left out…]" in told["message"]
    assert len(told["differences"]) > 500


def test_one_long_entry_is_cut_inside() -> None:
    """So that the list is not empty, and the entry has all its keys."""
    shown = {"revision": "018", "text": "x" * 300_000, "sql": None, "locks": {f"public.t{n}": "m" for n in range(9000)}}
    told = fit({"status": "success", "revisions": [shown]})
    (one,) = told["revisions"]
    assert one.keys() == shown.keys()
    assert (one["revision"], one["locks"]["public.t0"]) == ("018", "m")
    assert "a part of `revisions.text`" in told["left_out"]
    assert "of `revisions.locks`" in told["left_out"]


def test_many_long_places_are_not_all_named() -> None:
    told = fit({**CORE, **{f"field_{number}": "x" * 30_000 for number in range(40)}})
    assert size(told) <= LONGEST_ANSWER
    assert f"parts of {40 - length.SHOWN} other fields are left out" in told["left_out"]


def test_a_cut_answer_is_read_and_its_no_is_a_no(capsys: pytest.CaptureFixture[str]) -> None:
    finding = {"kind": "drift", "level": "error", "name": "x", "message": "m" * 300, "help": "h", "entry": "e" * 300}
    document = {
        "status": "success", "action": "check", "message": "m", "ok": False, "findings": [finding] * 2000,
        "accepted": [], "not_compared": [], "request_id": "r",
    }  # fmt: skip
    answer = read(fit(document))
    assert isinstance(answer.result, CheckResult)
    assert console.show(fit(document), "tables") == console.NO
    assert f"Not the whole answer: {answer.left_out}." in capsys.readouterr().err
    assert f"_Not the whole answer: {answer.left_out}._" in report.markdown(answer)
