"""What gives a new column another value in each row, so that the rows that are there are written."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import postgast
from postgast import nodes
from postgast import pg_query_pb2 as pb
from postgast.nodes import AstNode

from runner.lint.effects.functions import STEADY, VOLATILE
from runner.lint.parsing import code, parse_tree
from runner.lint.parsing.parse_tree import Type
from runner.lint.state import domains
from runner.lint.state.database import Database
from runner.lint.state.statement import Revision, Statement
from runner.postgres.search_path import PROJECT
from runner.postgres.sql import Name

VIRTUAL = "v"
OUT = (pb.FUNC_PARAM_OUT, pb.FUNC_PARAM_TABLE)


@dataclass(frozen=True)
class Cause:
    """What makes PostgreSQL write each row."""

    text: str
    unknown: Name | None = None
    """The function of which nobody knows whether it is volatile; without it, nothing would write the rows."""


@dataclass(frozen=True)
class _Function:
    """A function as the plan or the database defines it."""

    node: nodes.CreateFunctionStmt
    options: tuple[AstNode, ...]
    """Those of each ALTER FUNCTION before those that it was made with."""

    @property
    def is_volatile(self) -> bool:
        """Return whether it is declared so, which is the default."""
        option = parse_tree.option(self.options, "volatility")
        return option is None or option.arg is None or parse_tree.words([option.arg]) == ["volatile"]

    @property
    def arguments(self) -> list[nodes.FunctionParameter]:
        listed = (one for one in self.node.parameters if isinstance(one, nodes.FunctionParameter))
        return [one for one in listed if one.mode not in OUT]

    @property
    def types(self) -> tuple[Type, ...]:
        return tuple(parse_tree.read_type(one.arg_type) for one in self.arguments)

    def takes(self, count: int) -> bool:
        """Return whether a call may have so many arguments."""
        required = sum(one.defexpr is None for one in self.arguments)
        is_variadic = any(one.mode == pb.FUNC_PARAM_VARIADIC for one in self.arguments)
        return required - is_variadic <= count and (is_variadic or count <= len(self.arguments))


Find = Callable[[Name], tuple[_Function, ...]]


def cause(column: nodes.ColumnDef, revision: Revision, statement: Statement) -> Cause | None:
    """Return what makes PostgreSQL write each row, None where nothing does."""
    parts = {one.contype: one for one in column.constraints if isinstance(one, nodes.Constraint)}
    if pb.CONSTR_IDENTITY in parts:
        return Cause("an identity")
    if pb.CONSTR_GENERATED in parts:
        is_virtual = parts[pb.CONSTR_GENERATED].generated_kind == VIRTUAL
        return None if is_virtual else Cause("a generated value that is stored")
    default = parts[pb.CONSTR_DEFAULT].raw_expr if pb.CONSTR_DEFAULT in parts else None
    if default is None and pb.CONSTR_DEFAULT not in parts:
        domain = revision.domains(statement).get(domains.named(parse_tree.read_type(column.type_name)))
        default = domain.default if domain is not None else None
    return None if default is None else _of_default(default, revision.database, statement.defined)


def _of_default(default: AstNode, database: Database, before: Iterable[AstNode]) -> Cause | None:
    """Return whether a default writes each row; `before` are the plan's statements before it."""
    made = tuple(one for one in before if isinstance(one, nodes.CreateFunctionStmt | nodes.AlterFunctionStmt))

    def find(name: Name) -> tuple[_Function, ...]:
        return _overloads(name, database.functions.get(name, ()), made)

    found = dict(_called(default, find, frozenset()))
    text = parse_tree.expression_text(default)
    if True in found.values():
        return Cause(f"the volatile default `{text}`")
    return Cause(f"the default `{text}`", next(iter(found))) if found else None


def _overloads(
    name: Name, texts: Iterable[str], made: Iterable[nodes.CreateFunctionStmt | nodes.AlterFunctionStmt]
) -> tuple[_Function, ...]:
    """Return the functions of a name, after what the plan has done to those of the database."""
    defined = filter(None, map(_definition, texts))
    there = {one.types: one for one in (_Function(node, tuple(node.options)) for node in defined)}
    for node in made:
        match node:
            case nodes.CreateFunctionStmt(funcname=parts) if parse_tree.parts_name(parts) == name:
                one = _Function(node, tuple(node.options))
                there[one.types] = one
            case nodes.AlterFunctionStmt(func=nodes.ObjectWithArgs(objname=parts, objargs=types) as func) if (
                parse_tree.parts_name(parts) == name
            ):
                wanted = tuple(parse_tree.read_type(one) for one in types if isinstance(one, nodes.TypeName))
                for key, one in there.items():
                    if func.args_unspecified or key == wanted:
                        there[key] = replace(one, options=(*node.actions, *one.options))
    return tuple(there.values())


def _called(expression: AstNode, find: Find, callers: frozenset[Name]) -> Iterator[tuple[Name, bool]]:
    """Yield the functions that an expression calls and that are volatile, or may be, and whether that is known."""
    for call in parse_tree.walk(expression, nodes.FuncCall):
        words = parse_tree.words(call.funcname)
        is_known = _is_volatile(words, len(call.args), find, callers)
        if is_known is not False:
            yield (words[-2] if len(words) > 1 else PROJECT, words[-1]), is_known is True


def _is_volatile(words: list[str], count: int, find: Find, callers: frozenset[Name]) -> bool | None:
    """Return whether a function is volatile, None where that is not known."""
    schema = words[-2] if len(words) > 1 else ""
    name = schema or PROJECT, words[-1]
    candidates = find(name) if schema != "pg_catalog" else ()
    answers = {_may_differ(one, name, find, callers) for one in candidates if one.takes(count)}
    if not answers and candidates:
        return None
    if answers:
        # which of them is called depends on the types of the arguments
        return answers.pop() if len(answers) == 1 else None
    if words[-1] in VOLATILE:
        return True
    return False if words[-1] in STEADY else None


def _may_differ(function: _Function, name: Name, find: Find, callers: frozenset[Name]) -> bool | None:
    """Return whether a function may give another value in each row, None where that is not known."""
    if not function.is_volatile:
        return False
    query = _inlined(function)
    # PostgreSQL does not inline a function into itself
    if query is None or name in callers:
        return True
    found = {is_known for _, is_known in _called(query, find, callers | {name})}
    return (True in found or None) if found else False


def _definition(text: str) -> nodes.CreateFunctionStmt | None:
    try:
        (node,) = parse_tree.parse(text) if text else (None,)
    except (postgast.PgQueryError, ValueError):
        return None
    return node if isinstance(node, nodes.CreateFunctionStmt) else None


def _inlined(function: _Function) -> AstNode | None:
    """Return the value of a function in SQL that is one SELECT, with which PostgreSQL replaces the call.

    It replaces none with the rights of its owner or with settings of its own.
    https://wiki.postgresql.org/wiki/Inlining_of_SQL_functions
    """
    if parse_tree.is_on(function.options, "security") or parse_tree.option(function.options, "set") is not None:
        return None
    match code.statements(function.node):
        case (nodes.ReturnStmt(returnval=value),):
            return value
        case (nodes.SelectStmt(target_list=[nodes.ResTarget(val=value)], from_clause=[]),):
            return value
    return None
