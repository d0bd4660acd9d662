"""A plan's id changes with whatever it rests on, and the change is named."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.engine import plan_id
from runner.payloads import KINDS
from runner.script.offline import Rendered

NAMES = st.text("abcdefghij", min_size=1, max_size=6)
KINDS_OF_PARTS = ["file", "SQL", "tables", "types", "schemas"]
PARTS = st.dictionaries(st.tuples(st.sampled_from(KINDS_OF_PARTS), NAMES), NAMES, max_size=80)
FIXED = {("place", ""): "dev, db", ("heads", ""): "017", ("target", ""): "018", ("image", ""): "none"}


def rendered(*statements: str) -> Rendered:
    return Rendered("018", "", "upgrade", "", "c", statements, None, True, False)


@given(PARTS)
def test_the_same_parts_have_the_same_id(parts: plan_id.Parts) -> None:
    whole = {**FIXED, **parts}
    plan = plan_id.identify(whole)
    assert plan_id.changes(plan, dict(whole), []) == []
    assert re.fullmatch(r"[0-9a-f]{16}-[A-Za-z0-9_-]{53}", plan)
    assert KINDS["upgrade"].model_validate({"action": "upgrade", "plan": plan}).plan == plan


@given(PARTS, st.data())
def test_any_change_of_one_part_is_told(parts: plan_id.Parts, data: st.DataObject) -> None:
    """By its kind, also by one that has no hint of its own; never by its name, which would take its length."""
    whole = {**FIXED, **parts}
    plan = plan_id.identify(whole)
    part = data.draw(st.sampled_from([*whole]))
    told = plan_id.changes(plan, {**whole, part: whole[part] + "!"}, [])
    kind = part[0] if part[0] in plan_id.CHANGED else "others"
    assert told == [plan_id.CHANGED[kind].format(now=f"{whole[part]}!", before="another revision")]


def test_the_order_of_statements_is_no_change() -> None:
    """A table's indexes are a set; the file's checksum has the order that the file says."""
    made = [
        plan_id.collect("dev, db", (), "018", [rendered(*statements)], {"tables": {}}, None)
        for statements in (("create a", "create b", "create c"), ("create c", "create a", "create b"))
    ]
    assert plan_id.identify(made[0]) == plan_id.identify(made[1])


@pytest.mark.parametrize("hints", [4 * 8, 61 * 8])
def test_an_id_of_an_earlier_version_is_told_as_such(hints: int) -> None:
    """Those had six bytes for each part, from four parts on, and could be that long."""
    plan = f"0123456789abcdef-{'A_-2' * (hints // 4)}"
    assert KINDS["upgrade"].model_validate({"action": "upgrade", "plan": plan}).plan == plan
    assert plan_id.changes(plan, FIXED, []) == ["it was made by an earlier version of the runner"]


def test_a_thing_is_touched_by_its_name_and_by_that_of_its_parts() -> None:
    catalog = {
        "tables": {
            "public.leads": {"indexes": {"leads_nome": "…"}},
            'public."Odd Name"': {},
            "public.tenants": {},
            'public."my.tab"': {},
        },
        "functions": {"public.score(integer)": {}},
        "types": {"public.mood": {}},
    }
    for statement, wanted in {
        "ALTER TABLE leads ADD x int": [("tables", "public.leads")],
        'alter table "Odd Name" add x int': [("tables", 'public."Odd Name"')],
        "DROP INDEX leads_nome": [("tables", "public.leads")],
        "select SCORE(1)": [("functions", "public.score(integer)")],
        "alter type public.mood add value 'some leads'": [("types", "public.mood")],
        "comment on table tenants is 'has leads'": [("tables", "public.tenants")],
        "do $$ begin execute 'drop table leads'; end $$": [("tables", "public.leads")],
        "select touch('leads')": [("tables", "public.leads")],
        "select 'of leads'": [],
        "-- don't block\nalter table leads add x text default 'a'": [("tables", "public.leads")],
        "select E'don\\'t'; alter table leads add x int": [("tables", "public.leads")],
        "select 1 /* leads */": [],
        'alter table "my.tab" add x int': [("tables", 'public."my.tab"')],
    }.items():
        assert plan_id.touched(catalog, [rendered(statement)]) == {"018": set(wanted)}, statement
