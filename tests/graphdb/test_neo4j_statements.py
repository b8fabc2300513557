"""Each statement begins at an index as the server plans it, so its cost is that of its rows."""

from collections.abc import Iterator

from graphdb.neo4j import statements
from tests.graphdb.neo4j_database import TestDatabase

WHOLE = ("COUNT_NODES", "SELECT_POSITIONS", "SELECT_LABELS", "COUNTS")
"""Statements about all nodes of a label, or all follows; the count is kept by the server."""

NOT_PLANNED = ("SELECT_INDEX_NAMES", "AWAIT_INDEXES")

SCANS = ("AllNodesScan", "NodeByLabelScan", "UnionNodeByLabelsScan", "RelationshipTypeScan")


def all_statements() -> Iterator[tuple[str, str]]:
    for name, value in vars(statements).items():
        if isinstance(value, str) and name.isupper() and not name.startswith("_"):
            yield name, value
        elif isinstance(value, dict) and not name.startswith("_"):
            yield from ((f"{name}[{key}]", text) for key, text in value.items())


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
    assert {"WRITE_FOLLOWS[False]", "ADVANCE", "VOID_MENTIONS[StubUser]"} <= PLANNED.keys()
