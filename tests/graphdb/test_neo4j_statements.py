"""Each statement begins at an index as the server plans it, so its cost is that of its rows."""

from collections.abc import Iterator

import pytest

from graphdb.neo4j import statements
from tests.graphdb.neo4j_database import TestDatabase
from tests.servers.server import Server

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


@pytest.fixture(scope="module")
def database(neo4j_server: Server) -> Iterator[TestDatabase]:
    database = TestDatabase(neo4j_server.url)
    database.open().close()
    yield database
    database.close()


def operators(plan: dict[str, object]) -> Iterator[str]:
    yield str(plan["operatorType"]).partition("@")[0]
    for child in plan.get("children", ()):  # type: ignore[attr-defined]
        yield from operators(child)


@pytest.mark.parametrize("name", PLANNED)
def test_a_statement_begins_at_an_index(database: TestDatabase, name: str) -> None:
    used = list(operators(database.plan(PLANNED[name])))
    scans = [each for each in used if any(scan in each for scan in SCANS)]
    assert not scans or name.partition("[")[0] in WHOLE, used


def test_all_statements_are_looked_at() -> None:
    assert len(PLANNED) > 60
    assert {"WRITE_FOLLOWS[False]", "ADVANCE", "VOID_MENTIONS[StubUser]"} <= PLANNED.keys()
