"""The domains of a database, and the tables with columns of them: what is added to a domain is checked in each."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import postgast
from postgast import nodes
from postgast import pg_query_pb2 as pb
from postgast.nodes import AstNode

from runner.lint.parsing import parse_tree
from runner.lint.parsing.parse_tree import Type
from runner.lint.state.tables import Table, Tables
from runner.postgres import sql
from runner.postgres.sql import Name
from runner.schema import catalog
from runner.schema.catalog import Catalog


@dataclass(frozen=True)
class Domain:
    """A domain; a column of it is also checked by the domains that it is over."""

    base: Type
    default: AstNode | None
    not_null: bool
    checks: tuple[str, ...]
    """The definitions of its constraints, such as `CHECK ((VALUE > 0))`."""
    tables: tuple[Name, ...] = ()
    """The tables of the database with a column of it, or of a domain over it."""


def of_catalog(actual: Catalog) -> dict[Name, Domain]:
    """Return the domains of a database."""
    found = {}
    for name, sections in actual.get("types", {}).items():
        text = sections.get("definition", {}).get("", "")
        node = _definition(text.removeprefix("domain ")) if text.startswith("domain ") else None
        if node is not None:
            tables = tuple(map(sql.read_name, sorted(catalog.tables_of_types(actual, [name]))))
            found[sql.read_name(name)] = _domain(node, tables, tuple(sorted(sections.get("constraints", {}).values())))
    return found


def _definition(text: str) -> nodes.CreateDomainStmt | None:
    try:
        (node,) = parse_tree.parse(f"create domain d as {text}")
    except (postgast.PgQueryError, ValueError):
        return None
    return node if isinstance(node, nodes.CreateDomainStmt) else None


def _domain(node: nodes.CreateDomainStmt, tables: tuple[Name, ...] = (), checks: tuple[str, ...] = ()) -> Domain:
    parts = [one for one in node.constraints if isinstance(one, nodes.Constraint)]
    kinds = {one.contype for one in parts}
    default = next((one.raw_expr for one in parts if one.contype == pb.CONSTR_DEFAULT), None)
    conditions = (one.raw_expr for one in parts if one.contype == pb.CONSTR_CHECK and one.raw_expr is not None)
    made = tuple(f"CHECK ({parse_tree.expression_text(one)})" for one in conditions)
    return Domain(parse_tree.read_type(node.type_name), default, pb.CONSTR_NOTNULL in kinds, checks + made, tables)


def made(statements: Iterable[AstNode | None]) -> dict[Name, Domain]:
    """Return the domains that statements make."""
    return {
        parse_tree.parts_name(node.domainname): _domain(node)
        for node in statements
        if isinstance(node, nodes.CreateDomainStmt)
    }


def named(found: Type) -> Name:
    """Return the name that a type has if it is a domain."""
    return found.schema or "public", found.name


def over(domain: Name, domains: Mapping[Name, Domain]) -> frozenset[Name]:
    """Return a domain and those over it."""
    names = {domain}
    while more := {name for name, one in domains.items() if named(one.base) in names} - names:
        names |= more
    return frozenset(names)


def flat(domain: Name, domains: Mapping[Name, Domain]) -> Domain | None:
    """Return a domain with the constraints of those that it is over, and the type below all of them."""
    found = domains.get(domain)
    below = flat(named(found.base), domains) if found is not None else None
    if found is None or below is None:
        return found
    not_null = found.not_null or below.not_null
    return replace(found, base=below.base, not_null=not_null, checks=found.checks + below.checks)


def columns(table: Table, names: frozenset[Name]) -> tuple[str, ...]:
    """Return the columns of a table whose type is one of these."""
    return tuple(key for key, one in table.columns.items() if named(one.type) in names and not one.type.is_array)


def tables(domain: Name, domains: Mapping[Name, Domain], before: Tables) -> list[tuple[Table, tuple[str, ...]]]:
    """Return the tables of the database that have a column of a domain, or of one over it, with these columns."""
    names = over(domain, domains)
    there = domains[domain].tables if domain in domains else ()
    # a column that the plan has added is in no catalog
    changed = (one.origin for one in before.changed.values() if one is not None and one.origin is not None)
    found = filter(None, map(before.of_origin, dict.fromkeys((*there, *changed))))
    # the rows of a partitioned table are those of its partitions
    return [(one, used) for one in found if (used := columns(one, names)) and not one.is_partitioned]
