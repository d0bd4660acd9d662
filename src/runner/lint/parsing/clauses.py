"""The columns in the parse trees of conditions, indexes and constraints."""

from itertools import count

from postgast import nodes
from postgast import pg_query_pb2 as pb
from postgast.nodes import AstNode

from runner.lint.parsing import parse_tree


def not_null_columns(expression: AstNode | None) -> frozenset[str]:
    """Return the columns that are not null wherever a condition is true, as PostgreSQL proves it for SET NOT NULL.

    An operator proves nothing: a CHECK is met where its result is null.
    """
    match expression:
        case nodes.NullTest(nulltesttype=pb.IS_NOT_NULL, arg=nodes.ColumnRef(fields=fields)):
            return frozenset(parse_tree.words(fields)[-1:])
        case nodes.NullTest(nulltesttype=pb.IS_NOT_NULL, arg=nodes.RowExpr(args=args)):
            return frozenset(parse_tree.words(one.fields)[-1] for one in args if isinstance(one, nodes.ColumnRef))
        case nodes.BoolExpr(boolop=pb.AND_EXPR, args=args):
            return frozenset().union(*map(not_null_columns, args))
        case nodes.BoolExpr(boolop=pb.OR_EXPR, args=args):
            return frozenset.intersection(*map(not_null_columns, args))
        case nodes.BoolExpr(boolop=pb.NOT_EXPR, args=[condition]):
            return _null_columns(condition)
    return frozenset()


def _null_columns(condition: AstNode) -> frozenset[str]:
    """Return the columns that are not null wherever a condition is false: those of IS NULL, joined by OR."""
    match condition:
        case nodes.NullTest(nulltesttype=pb.IS_NULL, arg=nodes.ColumnRef(fields=fields)):
            return frozenset(parse_tree.words(fields)[-1:])
        case nodes.BoolExpr(boolop=pb.OR_EXPR, args=args):
            return frozenset().union(*map(_null_columns, args))
    return frozenset()


def index_columns(node: nodes.IndexStmt) -> list[str]:
    """Return what PostgreSQL calls the columns of an index in a name that it chooses: of a call, the function.

    Each has another one, as in `ChooseIndexColumnNames` of PostgreSQL's `indexcmds.c`.
    """
    names: list[str] = []
    for one in (*node.index_params, *node.index_including_params):
        if isinstance(one, nodes.IndexElem):
            name = one.name or _figured(one.expr) or "expr"
            numbered = (f"{name}{number or ''}" for number in count())
            names.append(next(other for other in numbered if other not in names))
    return names


def _figured(node: AstNode | None) -> str:
    """Return the name of an expression, as PostgreSQL's `FigureIndexColname` finds it; empty where it has none."""
    match node:
        case nodes.ColumnRef(fields=fields):
            return (parse_tree.words(fields) or [""])[-1]
        case nodes.FuncCall(funcname=parts):
            return parse_tree.words(parts)[-1]
        case nodes.TypeCast(arg=inner, type_name=kind):
            return _figured(inner) or parse_tree.read_type(kind).name
        case nodes.CollateClause(arg=inner):
            return _figured(inner)
        case nodes.CoalesceExpr():
            return "coalesce"
        case nodes.CaseExpr(defresult=otherwise):
            return _figured(otherwise) or "case"
    return ""


def constrained(node: nodes.Constraint) -> tuple[str, ...]:
    """Return the columns of a constraint in their order, none for the one of its own column."""
    if node.contype == pb.CONSTR_EXCLUSION:
        elements = (part for one in node.exclusions for part in parse_tree.walk(one, nodes.IndexElem))
        return tuple(one.name for one in elements)
    if node.contype == pb.CONSTR_CHECK and node.raw_expr is not None:
        found = (parse_tree.words(one.fields)[-1:] for one in parse_tree.walk(node.raw_expr, nodes.ColumnRef))
        return tuple(dict.fromkeys(name for names in found for name in names))
    return tuple(parse_tree.words(node.fk_attrs or node.keys))


def is_always_true(condition: AstNode | None) -> bool:
    """Return whether a WHERE is true for each row without looking at it: absent, TRUE, `1 = 1`, or an OR with these."""
    match condition:
        case None:
            return True
        case nodes.A_Const(val=nodes.Boolean(boolval=value)):
            return bool(value)
        case nodes.BoolExpr(boolop=pb.NOT_EXPR, args=[nodes.A_Const(val=nodes.Boolean(boolval=value))]):
            return not value
        case nodes.A_Expr(
            kind=pb.AEXPR_OP, name=operator, lexpr=nodes.A_Const() as left, rexpr=nodes.A_Const() as right
        ):
            return parse_tree.words(operator) == ["="] and same(left, right)
        case nodes.TypeCast(arg=nodes.A_Const(val=nodes.String(sval=value))):
            return value in ("t", "true", "on", "yes", "1")
        case nodes.BoolExpr(boolop=pb.OR_EXPR, args=args):
            return any(map(is_always_true, args))
        case nodes.BoolExpr(boolop=pb.AND_EXPR, args=args):
            return all(map(is_always_true, args))
    return False


def same(one: AstNode, other: AstNode) -> bool:
    """Return whether two expressions are written alike."""
    return parse_tree.expression_text(one) == parse_tree.expression_text(other)
