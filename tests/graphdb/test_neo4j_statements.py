"""Each statement begins at an index as the server plans it, so its cost is that of its rows."""

import ast
import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import graphdb.neo4j
from tests.graphdb.neo4j_database import TestDatabase

WHOLE = (
    "schema.COUNT_NODES",
    "positions.SELECT_POSITIONS",
    "reading.SELECT_LABELS",
    "reading.COUNTS",
)
"""Statements about all nodes of a label, or all follows; the count is kept by the server."""

NOT_PLANNED = ("schema.SELECT_INDEX_NAMES", "schema.AWAIT_INDEXES", "schema.SCHEMA")

SCANS = ("AllNodesScan", "NodeByLabelScan", "UnionNodeByLabelsScan", "RelationshipTypeScan")

FOLDER = Path(graphdb.neo4j.__file__).parent

CLAUSE = re.compile(r"\b(MATCH|MERGE|CREATE|RETURN|UNWIND|CALL)\b")


def all_statements() -> Iterator[tuple[str, str]]:
    """The public constants of all modules that are a statement, or a dictionary of statements."""
    for module in pkgutil.iter_modules([str(FOLDER)]):
        constants = vars(importlib.import_module(f"graphdb.neo4j.{module.name}"))
        for name, value in constants.items():
            if not name.isupper() or name.startswith("_"):
                continue
            if isinstance(value, str) and CLAUSE.search(value):
                yield f"{module.name}.{name}", value
            elif isinstance(value, dict):
                yield from ((f"{module.name}.{name}[{key}]", text) for key, text in value.items())


PLANNED = {
    name: statement
    for name, statement in all_statements()
    if name.partition("[")[0] not in NOT_PLANNED
}


def operators(plan: dict[str, object]) -> Iterator[str]:
    yield str(plan["operatorType"]).partition("@")[0]
    for child in plan.get("children", ()):  # type: ignore[attr-defined]
        yield from operators(child)


def test_every_statement_begins_at_an_index(database: TestDatabase) -> None:
    assert_begins_at_an_index(database)


def test_the_newest_release_plans_alike(calendar_database: TestDatabase) -> None:
    assert_begins_at_an_index(calendar_database)


def assert_begins_at_an_index(database: TestDatabase) -> None:
    database.open()
    for name, statement in PLANNED.items():
        used = list(operators(database.plan(statement)))
        scans = [each for each in used if any(scan in each for scan in SCANS)]
        assert not scans or name.partition("[")[0] in WHOLE, (name, used)


def test_all_statements_are_looked_at() -> None:
    assert len(PLANNED) > 60
    assert {
        "follows.WRITE_FOLLOWS[False]",
        "version.ADVANCE",
        "deletions.VOID_MENTIONS[StubUser]",
    } <= PLANNED.keys()


def test_no_statement_stands_in_a_function() -> None:
    """There it would be sent without having been planned above."""
    for path in FOLDER.glob("*.py"):
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(function, ast.FunctionDef) and function.name != "of_subjects":
                assert not list(statements_in(function)), (path.name, function.name)


def statements_in(function: ast.FunctionDef) -> Iterator[str]:
    """The texts in a function, its docstring aside, that begin as a statement does."""
    for node in ast.walk(function):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value.strip()
            if text != (ast.get_docstring(function, clean=False) or "").strip() and (
                CLAUSE.match(text)
            ):
                yield text
